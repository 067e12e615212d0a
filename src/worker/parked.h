/*-------------------------------------------------------------------------
 *
 * parked.h
 *	  Batches whose transactions were not over when they were read.
 *
 * In memory there is only where they stand; WAL is kept for them
 * (wtc_parked_from()), and they are read again when they are due.  For the
 * worker.  Reading and writing WAL may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_PARKED_H
#define WTC_WORKER_PARKED_H

#include "worker/wal.h"

/* What has become of a transaction. */
typedef enum WtcFate
{
	WTC_FATE_OPEN,				/* in progress or prepared */
	WTC_FATE_COMMITTED,
	WTC_FATE_DEAD,
	WTC_FATE_UNKNOWN			/* too long ago to be on record */
} WtcFate;

/*
 * Asks first whether it is in progress, and only then whether it committed:
 * one that has its commit record may still be invisible to others, and must
 * not be pushed yet.  wtc_fate_horizon() is due before a series of questions.
 */
extern void wtc_fate_horizon(void);
extern WtcFate wtc_fate_of(TransactionId xid);

typedef struct WtcParked
{
	XLogRecPtr	start;			/* its message is here or further on */
	XLogRecPtr	open_at;		/* it had not been committed by then */
	uint32		len;
	TransactionId xid;
	XLogRecPtr	lsn;
	bool		lost;			/* its WAL is gone */
	bool		due;			/* over, and to be pushed */
	bool		blind;			/* nobody knows whether it committed */
} WtcParked;

extern void wtc_park(const WtcWalMessage *message);

/* Is this batch parked?  Its transaction and its version tell which it is. */
extern bool wtc_is_parked(const WtcWalMessage *message);

/*
 * Looks at all of them; true if any is due.  *missed: one was committed whose
 * keys are not known any more.
 */
extern bool wtc_parked_examine(bool *missed);

/*
 * What is parked has not been committed before this, or UINT64_MAX.  What is lost
 * does not count, here and below: the cache will be emptied for its sake, or its
 * backend pushes it.
 */
extern XLogRecPtr wtc_parked_open_at(void);

/* Of those that are not due, the smallest version, or UINT64_MAX. */
extern XLogRecPtr wtc_parked_open_version(void);

/* The next one that is due, from *pos on, which begins as 0; NULL at the end. */
extern const WtcParked *wtc_parked_due(int *pos);

/* The same of those whose transactions are not over. */
extern const WtcParked *wtc_parked_open(int *pos);

/* Reads its message again; valid until wtc_wal_close(). */
extern void wtc_parked_reopen(const WtcParked *p, WtcWalMessage *message);

/* What is due has been pushed. */
extern void wtc_parked_settle(void);

/* All from start on will be read again. */
extern void wtc_parked_restart(XLogRecPtr start);

/*
 * WAL before lsn is dead.  What has not been written again behind it is lost;
 * so are, if not all of it could be read, prepared transactions that are not
 * parked.
 */
extern void wtc_parked_forget(XLogRecPtr lsn, bool all_read);

/* Writes those that begin before lsn to WAL again. */
extern void wtc_parked_carry(XLogRecPtr lsn);

/*
 * The same for those that begin far behind, so that the WAL before them can
 * go; most: how much may be kept, or UINT64_MAX.  Only now and then: writing
 * it again moves the end of the log as well.
 */
extern void wtc_parked_carry_far(uint64 most);

/* Tells shared memory; the functions above that end something do so too. */
extern void wtc_parked_publish(void);

#endif							/* WTC_WORKER_PARKED_H */
