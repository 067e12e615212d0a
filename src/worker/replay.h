/*-------------------------------------------------------------------------
 *
 * replay.h
 *	  Pushing what backends have not pushed, from WAL.
 *
 * For the worker.  Reading WAL may raise errors; wtc_replay_reset() is due
 * after one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_REPLAY_H
#define WTC_WORKER_REPLAY_H

#include "access/xlogdefs.h"
#include "redis/status.h"
#include "shared/state.h"

typedef enum WtcReplayResult
{
	WTC_REPLAY_DONE,			/* nothing is left but what is parked */
	WTC_REPLAY_UNSURE,			/* something is: another round has to read on */
	WTC_REPLAY_FAILED,			/* Redis failed, *status says how */
	WTC_REPLAY_CLOSED,			/* a backend has closed Redis: look at it */
	WTC_REPLAY_GAP				/* WAL that is needed is gone */
} WtcReplayResult;

/*
 * Takes over what backends have left, looks again at what is parked, and
 * pushes all that is committed by now.  The connection must stand.
 */
extern WtcReplayResult wtc_replay_round(WtcStatus *status);

/* Is there anything for a round to do, parked batches apart? */
extern bool wtc_replay_wanted(void);

/*
 * Without Redis: if there are no batches at all in what is to be replayed,
 * it need not be.  Keeps WAL from piling up on behalf of nothing.
 */
extern void wtc_replay_skim(void);

/* Is that the case with all that is to be replayed? */
extern bool wtc_replay_skimmed(void);

/*
 * The worker begins: as long as no Redis has said how far it has come, all from
 * start on may have to be replayed.
 */
extern void wtc_replay_begin(XLogRecPtr start);

/*
 * Everything from start on is to be replayed, whatever has been so far: Redis
 * may have lost it.
 */
extern void wtc_replay_restart(XLogRecPtr start);

/*
 * Everything before lsn is dead: the cache has been emptied.  Or nearly: the
 * commit of a prepared transaction whose WAL is gone will be a gap, and so
 * will, if stranded, what a running one has written before lsn.
 */
extern void wtc_replay_forget(XLogRecPtr lsn, bool stranded);

/*
 * The cache is about to be emptied of what lies before lsn.  What is in there
 * of transactions that are not over is written to WAL again, behind it.
 */
extern void wtc_replay_rescue(XLogRecPtr lsn);

/*
 * Is there WAL to be replayed that is gone, or cannot be read?  Then nothing is
 * left but to empty the cache; until then.  WTC_COLD_NONE: no.
 */
extern WtcColdReason wtc_replay_gap(void);

/* Cleans up after an error; unreadable: why WAL cannot be read, if so. */
extern void wtc_replay_reset(WtcColdReason unreadable);

#endif							/* WTC_WORKER_REPLAY_H */
