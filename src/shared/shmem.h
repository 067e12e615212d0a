/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The shared memory of wtcache: its parts, and the struct of the backends
 *	  and the worker.
 *
 * Parts with a charter of their own (statistics, token, versions, ...) are
 * added by the files that own them.  In the struct below there are no locks:
 * every field is an atomic, and each says which process writes it.  Nothing
 * here raises an error once start-up is over, so it may be used on either
 * side of the commit record.
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
	WTC_PUSHES_DEFERRED,
	WTC_SETS,
	WTC_DELETES,
	WTC_INVALIDATIONS,
	WTC_STORED,
	WTC_OVERTAKEN,
	WTC_DEGRADED,
	WTC_BYTES_SENT,
	WTC_ROLLBACKS,
	WTC_DISCARDED,
	WTC_SPILLED,
	WTC_SPILL_BATCHES,
	WTC_REPLAYED,
	WTC_REPLAY_BATCHES,
	WTC_COLD_STARTS,
	WTC_UNLISTED,
	WTC_TOO_LARGE,
	WTC_REJECTED,
	WTC_REJECTED_UNLISTED,
	WTC_FORGED,
	WTC_NOT_OWNED,
	WTC_FAIL_FIRST,				/* + status - 1 */
	WTC_COUNTERS = WTC_FAIL_FIRST + WTC_FAIL_CLASSES
} WtcCounter;

/* One per backend, and one for the worker; only its owner writes it. */
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

/* What the worker does, for people to read; see wtc_worker_state_text(). */
typedef enum WtcWorkerState
{
	WTC_WORKER_STARTING,
	WTC_WORKER_IDLE,
	WTC_WORKER_REPLAYING,
	WTC_WORKER_NO_REDIS,
	WTC_WORKER_COLD,
	WTC_WORKER_SUPERSEDED,		/* another server writes to Redis now */
	WTC_WORKER_STATES
} WtcWorkerState;

/* Why the cache was last emptied. */
typedef enum WtcColdReason
{
	WTC_COLD_NONE,
	WTC_COLD_GAP,				/* WAL that would be needed is gone */
	WTC_COLD_SYSTEM,			/* Redis was written by another system */
	WTC_COLD_TIMELINE,			/* on a timeline that is not in our history */
	WTC_COLD_AHEAD,				/* Redis is ahead of our WAL */
	WTC_COLD_JOURNAL,			/* what a lost timeline wrote is not on record */
	WTC_COLD_POSITION,			/* Redis has a token, but no position */
	WTC_COLD_FORMAT,			/* Redis was written by an earlier release */
	WTC_COLD_KEY,				/* Redis or WAL was written with another key */
	WTC_COLD_REASONS
} WtcColdReason;

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
	 * What is left for the worker: batches whose push failed, or that nobody
	 * pushes but the worker, begin at replay_from at the earliest;
	 * UINT64_MAX: none.  Lowered by any backend, taken over by the worker,
	 * which notes it in replaying first and then puts UINT64_MAX here.
	 */
	pg_atomic_uint64 replay_from;
	pg_atomic_uint32 read_again;	/* what is left may have been read */

	/*
	 * Written by the worker only.  It replays what lies from replaying on, 0
	 * before it has begun; batches of transactions not yet over begin at
	 * parked_from at the earliest; UINT64_MAX: none.  Every batch whose
	 * message starts before watermark is in Redis or dead; 0: not known yet.
	 */
	pg_atomic_uint64 replaying;
	pg_atomic_uint64 parked_from;
	pg_atomic_uint64 watermark;

	/*
	 * Written by the worker only: the end of WAL when the server was started,
	 * 0 if it is not known yet; UINT64_MAX once it has stored a position in
	 * Redis.
	 */
	pg_atomic_uint64 wal_at_start;

	/*
	 * Asking the worker to look: whoever wants it counts wanted up, and waits
	 * until done has reached that number.  Written by any backend, and by the
	 * worker, which counts progress up with every batch that it has pushed.
	 */
	pg_atomic_uint64 rounds_wanted;
	pg_atomic_uint64 rounds_done;
	pg_atomic_uint64 progress;

	/* for people to read; written by the worker */
	pg_atomic_uint32 worker_pid;	/* 0: not running */
	pg_atomic_uint32 worker_state;	/* WtcWorkerState */
	pg_atomic_uint32 parked;	/* how many batches */
	pg_atomic_uint64 retained;	/* WAL is kept from here on; 0: no slot */
	pg_atomic_uint64 cold_at;	/* TimestampTz; 0: never */
	pg_atomic_uint32 cold_reason;	/* WtcColdReason */
	pg_atomic_uint64 cold_known;	/* the cold_at that an operator has
									 * acknowledged; written by any backend */
	pg_atomic_uint32 mode;		/* WtcMode, without role and database */
	pg_atomic_uint32 link;		/* WtcStatus: how the worker's last talk with
								 * Redis ended */
	pg_atomic_uint64 link_since;	/* TimestampTz */

	/*
	 * Since when there has been something committed that is not in Redis
	 * (TimestampTz); 0: there is nothing.  Begun by whoever leaves the first
	 * batch to the worker, then kept by the worker, see lag.c.
	 */
	pg_atomic_uint64 behind_since;

	/*
	 * 1: the worker sleeps, or is about to, and has to be woken when there is
	 * work for it.  Set by the worker before it looks for work; taken back by
	 * the first process that wakes it, so that the others need not.
	 */
	pg_atomic_uint32 worker_asleep;

	/*
	 * 1: what is stored is noted in Redis' journal, because a standby may be
	 * promoted.  Written by the worker.
	 */
	pg_atomic_uint32 journal;

	/*
	 * 1: a superuser has asked to take Redis over from another server.  Set
	 * by any backend, taken back by the worker.
	 */
	pg_atomic_uint32 take_over;

	/* number of the worker's PGPROC, or -1; written by the worker */
	pg_atomic_uint32 worker_procno;

	/* developers' brake on the push, see debug.c */
	pg_atomic_uint32 holding;
	pg_atomic_uint32 released;

	int			nslots;			/* set once at start-up; the last is the
								 * worker's */
	WtcSlot		slots[FLEXIBLE_ARRAY_MEMBER];
} WtcShared;

extern WtcShared *wtc_shared;

/*
 * Adds a part of shared memory: how large it is, and what to do with its place
 * in each process; initialise is true in the first one.  Both run during
 * start-up and may raise errors.  From _PG_init only.
 */
extern void wtc_shmem_add(Size (*size) (void),
						  void (*attach) (void *place, bool initialise));

/* Installs the shared memory hooks; from _PG_init only. */
extern void wtc_shmem_init(void);

/* This backend's slot, or NULL in a process that has none. */
extern WtcSlot *wtc_my_shared_slot(void);

/* A number for this process, above 0; in a process that has a slot. */
extern int	wtc_my_owner(void);

/* How many backends have a batch under way. */
extern int	wtc_inflight_count(void);

/*
 * In-flight marks.  Publish before the message is written; settle once its
 * push is known to have been good or bad.  A bad one lowers replay_from
 * first, so that at every moment one of the two names the batch.  After a
 * good one that has invalidated tags, invalidated is the end of its commit
 * record (else 0), and the watermark is held back, see holds.h.
 */
extern void wtc_inflight_publish(uint64 lsn);
extern void wtc_inflight_settle(bool pushed, uint64 invalidated);

/*
 * A push has deleted something that the worker may have stored: asks the worker,
 * before the push is settled as a bad one, to read its batch again even if it
 * has.  The worker takes the question.
 */
extern void wtc_read_again_ask(void);
extern bool wtc_read_again_take(void);
extern void wtc_inflight_drop(void);

/* Counting.  No-ops in a process without a slot. */
extern void wtc_count(WtcCounter counter, uint64 n);
extern uint64 wtc_counter_sum(WtcCounter counter);

/* Wakes the worker, if there is one and it sleeps. */
extern void wtc_worker_wake(void);

/*
 * Asks the worker for a round: to look again at everything that it has to
 * replay and to push what is committed by now.  The number returned is for
 * wtc_round_done(), which is true once such a round is over.
 */
extern uint64 wtc_round_ask(void);
extern bool wtc_round_done(uint64 number);

/*
 * May there be anything for the worker to push?  False: neither is a batch
 * left to it, nor does it know of one.
 */
extern bool wtc_worker_busy(void);

/* The smallest in-flight mark, or UINT64_MAX. */
extern uint64 wtc_inflight_min(void);

/* The worker takes the last slot as its own. */
extern void wtc_shmem_be_worker(void);
extern bool wtc_am_worker(void);

#endif							/* WTC_SHARED_SHMEM_H */
