/*-------------------------------------------------------------------------
 *
 * round.h
 *	  A round of the replay: what lies in WAL is read, compacted and pushed.
 *
 * For the worker.  Reading WAL may raise errors; wtc_wal_close() and
 * wtc_order_end() are due after one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_ROUND_H
#define WTC_WORKER_ROUND_H

#include "access/xlogdefs.h"
#include "worker/replay.h"

typedef struct WtcRound
{
	XLogRecPtr	from;			/* WAL to read; UINT64_MAX: only what is
								 * parked */
	XLogRecPtr	upto;
	bool		again;			/* the one before has left something out */
	bool		last_try;		/* what is unsure is deleted, not left out */

	/* what comes of it */
	XLogRecPtr	settled;		/* if it failed: before this all is in Redis,
								 * or InvalidXLogRecPtr */
} WtcRound;

/*
 * Pushes what is committed of it, and the parked batches that are due.  What is
 * in progress is parked.  WTC_REPLAY_UNSURE: something has been left out, of which
 * it is not known whether it has been overtaken by what lies behind upto.
 * Allocates in the current memory context, without freeing.
 */
extern WtcReplayResult wtc_round_push(WtcRound *about, WtcStatus *status);

#endif							/* WTC_WORKER_ROUND_H */
