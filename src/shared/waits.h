/*-------------------------------------------------------------------------
 *
 * waits.h
 *	  What pg_stat_activity says that a process waits for.
 *
 * On PostgreSQL 17 and later each has a name of its own; before, all are
 * "Extension".  The numbers are there once shared memory is, so they may be
 * used on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_WAITS_H
#define WTC_SHARED_WAITS_H

extern uint32 wtc_wait_await_reader;	/* WtcacheAwaitReader */
extern uint32 wtc_wait_await_replay;	/* WtcacheAwaitReplay */
extern uint32 wtc_wait_await_worker;	/* WtcacheAwaitWorker */
extern uint32 wtc_wait_connect; /* WtcacheConnect */
extern uint32 wtc_wait_document;	/* WtcacheDocument */
extern uint32 wtc_wait_push;	/* WtcachePush */
extern uint32 wtc_wait_worker_main; /* WtcacheWorkerMain */

/* From the shared memory start-up hook only: takes a lock, allocates. */
extern void wtc_waits_init(void);

#endif							/* WTC_SHARED_WAITS_H */
