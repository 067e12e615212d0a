/*-------------------------------------------------------------------------
 *
 * state.h
 *	  What the worker says of itself.
 *
 * Only the worker writes it; what changes something is for the worker alone.
 * Most of it is for people to read.  Whether there is a worker, what it does
 * and whether a journal is kept also decides what a commit does.
 *
 * Every field is an atomic by itself.  Raises nothing, allocates nothing,
 * takes no lock: callable on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_STATE_H
#define WTC_SHARED_STATE_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

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

/* For wtc_shmem_add(). */
extern Size wtc_state_size(void);
extern void wtc_state_attach(void *place, bool initialise);

/* Its process id; 0: there is no worker. */
extern int	wtc_worker_pid(void);
extern void wtc_worker_set_pid(int pid);

extern WtcWorkerState wtc_worker_state(void);
extern void wtc_worker_set_state(WtcWorkerState now);

/* wtcache.mode, as it is without settings of a role or database: WtcMode. */
extern int	wtc_worker_mode(void);
extern void wtc_worker_set_mode(int mode);

/* How many batches are parked. */
extern int	wtc_worker_parked(void);
extern void wtc_worker_set_parked(int n);

/* From where on WAL is kept; InvalidXLogRecPtr: there is no slot. */
extern XLogRecPtr wtc_worker_retained(void);
extern void wtc_worker_set_retained(XLogRecPtr lsn);

/*
 * Is a replication slot to keep WAL?  A database that wtcache leaves may be the
 * last one that had it: then not, until there is something to push again.
 * Callable on either side of the commit record.
 */
extern bool wtc_slot_wanted(void);
extern void wtc_slot_set_wanted(bool wanted);

/* How its last talk with Redis ended, a WtcStatus, and since when it has. */
extern int	wtc_worker_link(TimestampTz *since);
extern void wtc_worker_set_link(int status);

/* When and why the cache was last emptied; 0: never. */
extern TimestampTz wtc_cold_at(void);
extern WtcColdReason wtc_cold_reason(void);
extern void wtc_cold_note(WtcColdReason reason);

/*
 * An operator knows of it.  Acknowledging returns whether that is news; from any
 * backend.
 */
extern bool wtc_cold_is_acknowledged(void);
extern bool wtc_cold_acknowledge(void);

/*
 * Is what is stored noted in Redis' journal, because a standby may be
 * promoted?
 */
extern bool wtc_journaling(void);
extern void wtc_set_journaling(bool on);

/*
 * For how many milliseconds a reader gets a lease to fill a missing key, under the
 * token that holds; 0: there are no leases, and no push need void them.  Changed
 * while Redis is closed.
 */
extern int	wtc_lease_ms(void);
extern void wtc_set_lease_ms(int ms);

#endif							/* WTC_SHARED_STATE_H */
