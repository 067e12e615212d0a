/*-------------------------------------------------------------------------
 *
 * query.h
 *	  The query of a document: the body of a function.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_QUERY_H
#define WTC_DOCUMENT_QUERY_H

#include "document/document.h"
#include "nodes/parsenodes.h"

/*
 * The function that the trigger's WHEN clause names; or InvalidOid.
 */
extern Oid	wtc_document_function_of(const Trigger *trigger);

/*
 * Why a function cannot be the query of a document, whose keys are known; NULL:
 * it can.
 */
extern const char *wtc_document_unfit(const WtcDocument *doc, Oid function);

/* Fills in the function, or why the document is broken. */
extern void wtc_document_find_query(WtcDocument *doc, const Trigger *trigger);

/*
 * The text of a function's body, with all names qualified.  Locks what the query
 * reads as that would.
 */
extern char *wtc_document_query_text(Oid function);

#endif							/* WTC_DOCUMENT_QUERY_H */
