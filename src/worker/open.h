/*-------------------------------------------------------------------------
 *
 * open.h
 *	  What is parked of transactions in progress: which keys and tags.
 *
 * When such a transaction is committed, its backend pushes versions that lie
 * before the end of what a round has read.  For all other keys the round knows
 * what became of them up to there.
 *
 * For the worker, during a round of the replay.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_OPEN_H
#define WTC_WORKER_OPEN_H

#include "change/batch.h"

/* Everything is in this memory context. */
extern void wtc_open_begin(MemoryContext cxt);

/*
 * Reads all of it, if that is wanted and not too much; false: it has not been
 * read, and concerns nothing.
 */
extern bool wtc_open_read(bool wanted);

/* Does it write the operation's key, or invalidate one of its tags? */
extern bool wtc_open_concerns(const WtcOperation *op);

#endif							/* WTC_WORKER_OPEN_H */
