/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The one shared memory struct of wtcache.
 *
 * There are no locks in it: every field is an atomic, and each says who
 * writes it.  Nothing here raises an error once start-up is over, so it may
 * be used on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_SHMEM_H
#define WTC_SHARED_SHMEM_H

#include "port/atomics.h"

/* Room for the failure classes of redis/status.h. */
#define WTC_FAIL_CLASSES	24

/* The counters of wtcache.stat, in the order of its columns. */
typedef enum WtcCounter
{
	WTC_PUSHES_OK,
	WTC_PUSHES_FAILED,
	WTC_PUSHES_SKIPPED,
	WTC_SETS,
	WTC_DELETES,
	WTC_INVALIDATIONS,
	WTC_STORED,
	WTC_REFUSED_OLDER,
	WTC_DEGRADED,
	WTC_BYTES_SENT,
	WTC_ROLLBACKS,
	WTC_DISCARDED,
	WTC_IMAGES_DROPPED,
	WTC_FAIL_FIRST,				/* + status - 1 */
	WTC_COUNTERS = WTC_FAIL_FIRST + WTC_FAIL_CLASSES
} WtcCounter;

/* One per backend; only its backend writes it. */
typedef struct WtcSlot
{
	/*
	 * The LSN at or after which this backend has a batch in WAL whose push is
	 * not settled; InvalidXLogRecPtr when there is none.
	 */
	pg_atomic_uint64 inflight;
	pg_atomic_uint64 counters[WTC_COUNTERS];
	char		pad[128 - ((1 + WTC_COUNTERS) * sizeof(uint64)) % 128];
} WtcSlot;

typedef struct WtcShared
{
	/* circuit breaker: written by any backend, see breaker.c */
	pg_atomic_uint32 failures;	/* outages in a row */
	pg_atomic_uint64 open_until;	/* monotonic us; 0: closed */
	pg_atomic_uint64 changed_at;	/* TimestampTz of the last change */
	pg_atomic_uint32 opened;	/* how often it opened */

	/* the last failure: written by any backend, for people to read */
	pg_atomic_uint32 last_failure;	/* WtcStatus */
	pg_atomic_uint64 last_failure_at;	/* TimestampTz */

	/*
	 * Every batch whose message starts before this is in Redis or is in some
	 * slot's inflight; UINT64_MAX: nothing to replay.  Lowered by any
	 * backend, raised by nobody yet.
	 */
	pg_atomic_uint64 replay_from;

	/* number of the worker's PGPROC, or -1; written by the worker */
	pg_atomic_uint32 worker_procno;

	/* developers' brake on the push, see debug.c */
	pg_atomic_uint32 holding;
	pg_atomic_uint32 released;

	int			nslots;			/* set once at start-up */
	WtcSlot		slots[FLEXIBLE_ARRAY_MEMBER];
} WtcShared;

extern WtcShared *wtc_shared;

/* Installs the shared memory hooks; from _PG_init only. */
extern void wtc_shmem_init(void);

/* This backend's slot, or NULL in a process that has none. */
extern WtcSlot *wtc_my_shared_slot(void);

/* How many backends have a batch under way. */
extern int	wtc_inflight_count(void);

/*
 * In-flight marks.  Publish before the message is written; settle once its
 * push is known to have been good or bad.  A bad one lowers replay_from
 * first, so that at every moment one of the two names the batch.
 */
extern void wtc_inflight_publish(uint64 lsn);
extern void wtc_inflight_settle(bool pushed);
extern void wtc_inflight_drop(void);

/* Counting.  No-ops in a process without a slot. */
extern void wtc_count(WtcCounter counter, uint64 n);
extern void wtc_count_failure(int status);
extern uint64 wtc_counter_sum(WtcCounter counter);

/* Wakes the worker, if there is one. */
extern void wtc_worker_wake(void);

#endif							/* WTC_SHARED_SHMEM_H */
