/*-------------------------------------------------------------------------
 *
 * slots.h
 *	  A slot for each process: the mark of its batch in flight, its counters.
 *
 * Only its owner writes a slot, so that counting touches no cache line that
 * another process writes.  It outlives its owner: counters go on where the
 * last one left them.  The last slot is the worker's.
 *
 * Raises nothing but where it says so, allocates nothing, takes no lock:
 * callable on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_SLOTS_H
#define WTC_SHARED_SLOTS_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

/* Room for the failure classes of redis/status.h. */
#define WTC_FAIL_CLASSES	24

/*
 * The counters of wtcache.stat and wtcache.stat_read, in the order of their
 * columns.
 */
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
	WTC_READ_HITS,				/* the first of wtcache.stat_read */
	WTC_READ_MISSES,
	WTC_READ_WAITS,
	WTC_READ_UNANSWERED,
	WTC_READ_BYPASSED,
	WTC_FAIL_FIRST,				/* + status - 1 */
	WTC_COUNTERS = WTC_FAIL_FIRST + WTC_FAIL_CLASSES
} WtcCounter;

/* For wtc_shmem_add(). */
extern Size wtc_slots_size(void);
extern void wtc_slots_attach(void *place, bool initialise);

/* --- whose slot --- */

extern int	wtc_slots_count(void);

/* The number of this process' slot, from 0 on; -1: it has none. */
extern int	wtc_slots_mine(void);

/* A number for this process, above 0; in a process that has a slot. */
extern int	wtc_my_owner(void);

/* The worker takes the last slot as its own. */
extern void wtc_slots_be_worker(void);
extern bool wtc_am_worker(void);

/* --- in-flight marks --- */

/*
 * The position at or after which this process has a batch in WAL whose push is
 * not settled.  Published before the message is written, which may raise an
 * error; settled once its push is known to have been good or bad.  A bad one
 * is left to the worker first (outbox.h), so that at every moment one of the
 * two names the batch.  After a good one that has invalidated tags,
 * invalidated is the end of its commit record (else 0), and the watermark is
 * held back, see holds.h.
 */
extern void wtc_inflight_publish(XLogRecPtr lsn);
extern void wtc_inflight_settle(bool pushed, XLogRecPtr invalidated);

/* There is no batch after all. */
extern void wtc_inflight_drop(void);

/* The mark in a slot; InvalidXLogRecPtr: there is none. */
extern XLogRecPtr wtc_inflight_of(int slot);

/* The smallest of all marks, or UINT64_MAX. */
extern XLogRecPtr wtc_inflight_min(void);

/* How many processes have a batch under way. */
extern int	wtc_inflight_count(void);

/* --- counting; nothing is counted in a process without a slot --- */

extern void wtc_count(WtcCounter counter, uint64 n);

/*
 * status: a failure, of redis/status.h; see wtc_count_failure().  Wakes the worker,
 * which reports it.
 */
extern void wtc_count_class(int status);

extern uint64 wtc_counter_sum(WtcCounter counter);

/* The last failure of any process (0: there was none), and when it was. */
extern int	wtc_last_failure(TimestampTz *at);

#endif							/* WTC_SHARED_SLOTS_H */
