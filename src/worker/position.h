/*-------------------------------------------------------------------------
 *
 * position.h
 *	  Meeting Redis: taking it with a token, and finding out how far it is.
 *
 * The worker stores the watermark in Redis.  Wherever a replay may have to make
 * good what Redis has lost, by a restart, a fail-over or anything else, the one
 * found there says where it has to begin.
 *
 * For the worker; the connection must stand.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_POSITION_H
#define WTC_WORKER_POSITION_H

#include "access/xlogdefs.h"
#include "redis/status.h"
#include "shared/state.h"

/*
 * The worker begins.  Where WAL ends then is what this server had when it was
 * started: if the first position that it finds is beyond that, it is of a newer
 * copy of it.
 */
extern void wtc_position_begin(void);

/*
 * Sets a new token and opens Redis to the backends.  The replay begins where the
 * position found there is; what cannot be replayed from there, or has a gap (see
 * replay.h), empties the cache.  fresh: the connection was made just now, so
 * Redis may have lost anything since it was last talked to.
 */
extern WtcStatus wtc_position_meet(bool fresh);

/* Is Redis open, under the token that the worker has set? */
extern bool wtc_position_known(void);

/* Has another server taken Redis over?  Then this one writes no more. */
extern bool wtc_position_superseded(void);

/*
 * Stores the watermark, and trims the journal if told to.  If Redis holds the
 * token no more it is closed, and has to be met again.
 */
extern WtcStatus wtc_position_store(XLogRecPtr watermark, bool trim);

/* In plain words; static storage. */
extern const char *wtc_cold_reason_text(WtcColdReason reason);

#endif							/* WTC_WORKER_POSITION_H */
