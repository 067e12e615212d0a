/*-------------------------------------------------------------------------
 *
 * documents.h
 *	  What a change of the schema does to documents.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_DOCUMENTS_H
#define WTC_SCHEMA_DOCUMENTS_H

#include "capture/catalog.h"
#include "schema/statement.h"
#include "utils/rel.h"

/* Is it a function of a trigger of documents? */
extern bool wtc_is_document_function(Oid function);

/* Is the table the root of a document, or a part? */
extern bool wtc_has_documents(Relation rel);

/*
 * Deletes the keys of all documents that the table is the root or a part of; or
 * whose query reads it.  Once for each statement.
 */
extern void wtc_forget_documents_of(Oid relid);
extern void wtc_forget_documents_reading(Oid relid);

/* A trigger of documents is about to be dropped, or replaced. */
extern void wtc_document_trigger_goes(Oid trigger);

/*
 * After triggers of the table were enabled or disabled: its documents go if it is
 * not watched any more; warn says whether to say so.
 */
extern void wtc_document_triggers_changed(Oid relid, bool warn);

/* What of documents names a column of the table, as of attachments. */
extern WtcColumnUse wtc_document_column_use(Oid trigger, Relation rel,
											const char *column);

/* An error if there is another document of the name of a trigger just made. */
extern void wtc_check_document_name(Oid trigger, const char *name);

/* A trigger has made a table a part of a document. */
extern void wtc_part_created(const char *document);

#endif							/* WTC_SCHEMA_DOCUMENTS_H */
