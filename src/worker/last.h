/*-------------------------------------------------------------------------
 *
 * last.h
 *	  The last operation of each key of a round, and the tags that the key has
 *	  left by any of them.
 *
 * Of each key only the last operation is pushed.  It takes the key out of all tags
 * that it has left on the way.
 *
 * For the worker, during a round of the replay.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_LAST_H
#define WTC_WORKER_LAST_H

#include "access/xlogdefs.h"
#include "change/batch.h"

/* Everything is in this memory context. */
extern void wtc_last_begin(MemoryContext cxt);

/* Nothing has been noted. */
extern void wtc_last_reset(void);

/*
 * Notes an operation, of a message with this version, of a key with this hash
 * (see wtc_order_hash()).  False: the keys are too many.
 */
extern bool wtc_last_note(uint64 key, const WtcOperation *op, XLogRecPtr lsn);

/*
 * Has nothing later been noted?  Then *whole becomes the operation's bytes, with all
 * tags that the key has left; valid until the next call.
 */
extern bool wtc_last_get(uint64 key, const WtcOperation *op, XLogRecPtr lsn,
						 WtcSpan *whole);

#endif							/* WTC_WORKER_LAST_H */
