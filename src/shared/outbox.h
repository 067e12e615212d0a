/*-------------------------------------------------------------------------
 *
 * outbox.h
 *	  From where on WAL has batches that may not be in Redis.
 *
 * WAL is the outbox: what a backend has not pushed is there for the worker.  A
 * batch moves from its in-flight mark (slots.h) to replay_from, from there to
 * replaying, and to parked_from if its transaction is not over.  It is named
 * in the new place before it is taken out of the old one, and is looked for in
 * that order, with a barrier between any two, so that it cannot slip by.
 *
 * Everything here is an atomic.  Raises nothing, allocates nothing, takes no
 * lock: callable on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_OUTBOX_H
#define WTC_SHARED_OUTBOX_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

/* For wtc_shmem_add(). */
extern Size wtc_outbox_size(void);
extern void wtc_outbox_attach(void *place, bool initialise);

/* --- for backends --- */

/* A batch that begins at lsn, at the earliest, is left to the worker. */
extern void wtc_outbox_leave(XLogRecPtr lsn);

/*
 * A push has deleted something that the worker may have stored: asks the
 * worker, before the batch is left to it, to read the batch again even if it
 * has.
 */
extern void wtc_read_again_ask(void);

/*
 * May there be anything for the worker to push?  False: neither is a batch
 * left to it, nor does it know of one.
 */
extern bool wtc_worker_busy(void);

/* --- for the worker, which alone calls what changes something --- */

/*
 * What is left begins there; UINT64_MAX: nothing is.  Taken, if it still is
 * *from; false: it is not, and *from becomes what it is.
 */
extern XLogRecPtr wtc_replay_from(void);
extern bool wtc_replay_from_take(XLogRecPtr *from);
extern bool wtc_read_again_take(void);

/*
 * The worker replays what lies from there on; UINT64_MAX: nothing; 0: it has
 * not begun.  A full barrier follows the change.
 */
extern XLogRecPtr wtc_replaying(void);
extern void wtc_set_replaying(XLogRecPtr lsn);

/*
 * Batches of transactions that are not over begin there at the earliest;
 * UINT64_MAX: there are none.
 */
extern XLogRecPtr wtc_parked_from(void);
extern void wtc_set_parked_from(XLogRecPtr lsn);

/*
 * Every batch whose message starts before it is in Redis or dead; 0: not known
 * yet.
 */
extern XLogRecPtr wtc_watermark(void);
extern void wtc_set_watermark(XLogRecPtr lsn);

/*
 * The end of WAL when the server was started; 0: not known yet; UINT64_MAX once a
 * position has been stored in Redis.
 */
extern XLogRecPtr wtc_wal_at_start(void);
extern void wtc_set_wal_at_start(XLogRecPtr lsn);

/*
 * Since when there has been something committed that is not in Redis; 0: there
 * is nothing.  Begun by wtc_outbox_leave(), then kept by the worker, see
 * worker/lag.c.
 */
extern TimestampTz wtc_behind_since(void);
extern void wtc_set_behind_since(TimestampTz since);

#endif							/* WTC_SHARED_OUTBOX_H */
