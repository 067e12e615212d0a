/*-------------------------------------------------------------------------
 *
 * lock.h
 *	  Which of two transactions sees the other's changes in a document.
 *
 * What must not happen is that a document is stored that lacks the change of
 * another transaction, and is newer than what that one did to the document.  Versions
 * are the places of messages in WAL.  So of two transactions that have changed parts
 * of a document, the one whose message comes later has to see what the other one has
 * changed, or delete the document.
 *
 * Each of them has the document locked from before its message until its end: in
 * share mode, if all it does is to delete the document; if it builds it, in
 * exclusive mode from before its snapshot until its message is written, and in share
 * mode from then on.  So between a snapshot and the message that comes of it there is
 * no other transaction that has changed the document and is still in progress; one
 * that ended before is seen, because locks are released after a transaction has
 * become visible, and one that comes afterwards writes its message later.
 *
 * To build is given up, and the document deleted instead, once
 * wtcache.document_lock_timeout is over.  The share lock is waited for without
 * that limit: it conflicts with builders alone, and these wait for nothing without
 * one.  Locks of documents are tried again and again and never queued for, so that
 * no deadlock is found in which they take part; they are taken in one order.
 *
 * A transaction that changes more documents than it may build has the lock of all
 * documents of the definition, in share mode; a builder has that in row exclusive
 * mode, until the message is written.
 *
 * A tag stands for other tables that the document is made of.  Invalidations are
 * ordered by commits, so there the rule is: a transaction that builds a document sees
 * the one that invalidates a tag of it, or commits before that one does.  A builder
 * has the tag locked in row exclusive mode from before the snapshot until its
 * end, a transaction that invalidates it in share mode.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_LOCK_H
#define WTC_DOCUMENT_LOCK_H

#include "change/batch.h"

/* What a document is locked by; equal for others at times, which does no harm. */
extern uint64 wtc_document_lock_number(const char *name, WtcSpan texts);

/*
 * To build: false, if that is not possible by the deadline, on wtc_clock_us().
 * To delete.
 */
extern bool wtc_document_lock_to_build(const char *name, uint64 number,
									   int64 deadline_us);
extern void wtc_document_lock_to_delete(uint64 number);

/* The message is written. */
extern void wtc_document_lock_built(const char *name, uint64 number);

/*
 * All documents of a definition, to delete some: locked until the end of the
 * transaction, or of the subtransaction if that is rolled back.  Waits for
 * builders.
 */
extern void wtc_document_lock_all(const char *name);
extern bool wtc_document_all_locked(const char *name);

/*
 * The tags that a transaction invalidates, or too many of them to tell; and one
 * that a document carries: false, it is being invalidated.
 */
extern void wtc_document_lock_invalidated(WtcSpan tag);
extern void wtc_document_lock_all_tags(void);
extern bool wtc_document_lock_tag(WtcSpan tag);
extern bool wtc_document_tag_is_locked(WtcSpan tag);

#endif							/* WTC_DOCUMENT_LOCK_H */
