/*-------------------------------------------------------------------------
 *
 * order.h
 *	  The order of the commits, which is what tags go by.
 *
 * The images of a row are ordered by the positions of their messages, for a
 * lock on the row lets the next transaction write its own only when the one
 * before is over.  Nothing like that orders an invalidation of a tag and what
 * is stored under it: there what counts is which transaction was committed
 * first.  That may be long after its message, if it was prepared or is large.
 *
 * For the worker, during a round of the replay.  All of it is kept in the
 * memory context given at the beginning, and is of bounded size: beyond that
 * more counts as invalidated than was.  May raise an error (out of memory).
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_ORDER_H
#define WTC_WORKER_ORDER_H

#include "access/xlogreader.h"
#include "change/batch.h"

/* Of a key or a tag, which are different things even if they have one name. */
extern uint64 wtc_order_hash(WtcSpan name, bool tag);

extern void wtc_order_begin(MemoryContext cxt);
extern void wtc_order_end(void);

/* Where this transaction was committed will be asked. */
extern void wtc_order_want(TransactionId xid);

/* Has one been asked for that has not been found in WAL? */
extern bool wtc_order_incomplete(void);

/* Looks at a record that is being read, whether it is a commit. */
extern void wtc_order_take(XLogReaderState *record);

/*
 * The end of the transaction's commit record; unknown, if it has not been found
 * or not been asked for.
 */
extern XLogRecPtr wtc_order_commit(TransactionId xid, XLogRecPtr unknown);

/*
 * A tag, by its hash, was invalidated by a transaction committed there.  False:
 * that is no news.
 */
extern bool wtc_order_invalidate(uint64 tag, XLogRecPtr commit);

/* The commit of its last invalidation; 0 if there is none. */
extern XLogRecPtr wtc_order_invalidated(uint64 tag);

#endif							/* WTC_WORKER_ORDER_H */
