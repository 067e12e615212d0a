/*-------------------------------------------------------------------------
 *
 * touch.h
 *	  Noting that a document has been changed.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_TOUCH_H
#define WTC_DOCUMENT_TOUCH_H

#include "document/document.h"
#include "document/make.h"

/*
 * The document with this key, as texts, is to be built at the end of the
 * transaction; if there are too many of them, it is deleted.
 */
extern void wtc_document_touch(WtcDocument *doc, WtcSpan texts);

/*
 * Queues the deletion of a document.  It has to be locked for that.  left: tags that
 * it may carry.
 */
extern void wtc_document_delete(WtcDocument *doc, WtcSpan texts,
								const WtcList *left);

/* Queues the invalidations of a row of the root. */
extern void wtc_document_invalidate(WtcDocument *doc, const WtcMade *made);

/*
 * Queues the deletion of all documents that there are roots for; returns how many.
 * They are locked until the transaction ends.
 */
extern uint64 wtc_document_forget(WtcDocument *doc);

#endif							/* WTC_DOCUMENT_TOUCH_H */
