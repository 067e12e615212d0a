/*-------------------------------------------------------------------------
 *
 * make.h
 *	  Making a document: its root row, and what its query returns.
 *
 * Both are read as the owner of the root, in a security-restricted operation, with
 * the active snapshot, and read only.  Everything here may raise an error and belongs
 * before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_MAKE_H
#define WTC_DOCUMENT_MAKE_H

#include "document/document.h"

/* What a look at the tables has shown; palloc'd, as is what it points to. */
typedef struct WtcMade
{
	bool		failed;			/* by an error, or the document is broken */
	int			sqlstate;		/* of the error; 0: it is broken */
	bool		rooted;			/* there is a root row */
	bool		exists;			/* and a document that can be stored */
	bool		too_large;
	WtcSpan		value;			/* in UTF-8 */
	WtcList		tags;
	int			ninvalidates;
	WtcSpan    *invalidates;	/* names of tags, complete */
} WtcMade;

/*
 * Makes a document by the values of its key as texts; or without its query, just
 * the tags.  The query waits for no lock longer than wtcache.document_lock_timeout.  An
 * error in it is returned, unless it says that the session has to stop.
 */
extern void wtc_document_make(WtcDocument *doc, WtcSpan texts, bool query,
							  WtcMade *made);

/* The same, but an error is raised; also if the document is broken. */
extern void wtc_document_try(WtcDocument *doc, WtcSpan texts, WtcMade *made);

/* The tags that a row of the root carries, and those that it invalidates. */
extern void wtc_document_tags(WtcDocument *doc, TupleTableSlot *slot,
							  WtcMade *made);

#endif							/* WTC_DOCUMENT_MAKE_H */
