/*-------------------------------------------------------------------------
 *
 * push.h
 *	  Taking operations to Redis, after they have been committed.
 *
 * A backend makes a push before its commit record, and adds the batches of its
 * transaction; behind the record it runs it.  The worker pushes chunks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_PUSH_H
#define WTC_PUSH_PUSH_H

#include "access/xlogdefs.h"
#include "push/chunk.h"
#include "redis/status.h"

typedef struct WtcPush WtcPush;

typedef enum WtcPushOutcome
{
	WTC_PUSH_DONE,				/* all of it is in Redis, or overtaken */
	WTC_PUSH_SKIPPED,			/* not tried: breaker open, or Redis closed */
	WTC_PUSH_FAILED,
	WTC_PUSH_REJECTED,			/* all of it is settled, but Redis refused to
								 * store something, which was deleted and is
								 * listed, see shared/rejected.h */
	WTC_PUSH_UNSURE,			/* the same, but what was deleted may have to
								 * be stored: see wtc_read_again_ask() */
	WTC_PUSH_DEFERRED			/* left to the worker; see txn/xact.h */
} WtcPushOutcome;

/*
 * A push without operations, in the current memory context.  Notes whether
 * there is a connection, so wtc_link_connect() comes first.  May raise an error
 * (out of memory).  Before the commit record only.
 */
extern WtcPush *wtc_push_create(void);

/*
 * Adds a batch, which must stay where it is; lsn is the end of its message in
 * WAL, its version.  Sets aside all the memory that will be needed.  May raise
 * an error (out of memory).  Before the commit record only.
 */
extern void wtc_push_add(WtcPush *push, const char *batch, size_t len,
						 XLogRecPtr lsn);

/* Does it invalidate tags?  Callable anywhere. */
extern bool wtc_push_invalidates(const WtcPush *push);

/*
 * Pushes what the transaction whose commit record ends at commit has added,
 * and counts failures by class.  A transaction may go on for push_timeout for
 * each WTC_BATCH_BYTES, as long as every request is answered within push_timeout, or
 * gets on if it is large.  Raises nothing, allocates nothing but what
 * hiredis mallocs for replies, holds no lock while it waits, and needs no
 * resource owner.  Meant for after the commit record.
 */
extern WtcPushOutcome wtc_push_run(WtcPush *push, XLogRecPtr commit,
								   int64 deadline_us);

/*
 * Pushes one chunk.  *status says why, unless it is done; *rejected is set to
 * why Redis refused to store something, if it did.  Otherwise the same.
 */
extern WtcPushOutcome wtc_chunk_push(WtcChunk *chunk, int64 deadline_us,
									 WtcStatus *status, WtcStatus *rejected);

/* When a push that begins now has to be over: wtc_clock_us() + push_timeout. */
extern int64 wtc_push_deadline(void);

#endif							/* WTC_PUSH_PUSH_H */
