/*-------------------------------------------------------------------------
 *
 * find.h
 *	  What the catalogs say of documents.
 *
 * No lock on a table is taken.  Everything here may raise an error and belongs
 * before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_FIND_H
#define WTC_DOCUMENT_FIND_H

#include "nodes/pg_list.h"

/* The trigger of the document of a name; or InvalidOid. */
extern Oid	wtc_document_named(const char *name);

/* The triggers of its parts. */
extern List *wtc_document_parts(const char *name);

/* The relations that the function with a query reads. */
extern List *wtc_document_reads(Oid function);

/* The triggers of the documents whose query reads a relation. */
extern List *wtc_documents_reading(Oid relid);

/* Does the document of a trigger carry tags? */
extern bool wtc_document_has_tags(Oid trigger);

#endif							/* WTC_DOCUMENT_FIND_H */
