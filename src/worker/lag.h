/*-------------------------------------------------------------------------
 *
 * lag.h
 *	  Since when there has been something that is not in Redis yet.
 *
 * For the worker.  Raises nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_LAG_H
#define WTC_WORKER_LAG_H

/*
 * Remembers where WAL ends at this moment, and tells shared memory how old the
 * oldest change is that waits to be pushed.  At every turn, and when a round
 * is over.
 */
extern void wtc_lag_note(bool skimmed);

#endif							/* WTC_WORKER_LAG_H */
