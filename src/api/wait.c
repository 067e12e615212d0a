/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  wtcache.flush(): waiting until Redis holds what has been committed.
 *
 * What was committed before the call is in one of three places: in Redis; in
 * the hands of the backend that committed it, which has published an in-flight
 * mark before the WAL position of the call; or with the worker.  A backend
 * that fails hands over to the worker before it takes its mark away (R18).  So
 * first all those marks have to go, and then the worker is asked for a round:
 * one that began earlier might not see what has been handed over since.
 *
 * A mark may also belong to a transaction that is still running: one that is
 * too large for the memory has it from its first message on, for hours perhaps.
 * Nobody has to wait for those.  The caller's own is among them, if there is
 * one: as long as it runs, its changes are not committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "api/api.h"
#include "compat.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "redis/conn.h"
#include "shared/shmem.h"
#include "shared/waits.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "worker/wal.h"

/* how often to look, in milliseconds */
#define POLL_MS		5

PG_FUNCTION_INFO_V1(wtcache_flush);

/* As good as for ever. */
#define LONGEST_US	((double) USECS_PER_DAY * 366 * 100)

int64
wtc_timeout_us(const Interval *interval)
{
	double		us = interval->time + (double) USECS_PER_DAY *
	(interval->day + (double) DAYS_PER_MONTH * interval->month);

	if (us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative")));
	return (int64) Min(us, LONGEST_US);
}

/*
 * Is a backend pushing what may have been committed before lsn?  A backend
 * that has a mark and still an xid has not committed yet, as far as anybody
 * can see: the xid goes first.  The mark is to be read before the xid: one
 * read later might be that of the next transaction.
 */
static bool
being_pushed(XLogRecPtr lsn)
{
	/* the last slot is the worker's */
	for (int i = 0; i < wtc_shared->nslots - 1; i++)
	{
		uint64		mark = pg_atomic_read_u64(&wtc_shared->slots[i].inflight);

		if (mark == InvalidXLogRecPtr || mark >= lsn)
			continue;
		pg_memory_barrier();
		if (!TransactionIdIsValid(wtc_backend_xid(i)))
			return true;
	}
	return false;
}

/* Sleeps for a moment; false: the time is over. */
static bool
wait_a_moment(int64 deadline_us)
{
	if (wtc_clock_us() >= deadline_us)
		return false;
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 POLL_MS, wtc_wait_await_worker);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

void
wtc_sleep_until(int64 until_us)
{
	int64		left;

	while ((left = until_us - wtc_clock_us()) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) Min(left / 1000 + 1, 60000),
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	CHECK_FOR_INTERRUPTS();
}

bool
wtc_flush_until(int64 deadline_us)
{
	XLogRecPtr	lsn;
	uint64		round;

	/* the worker goes no further than what is flushed: see to it (R14) */
	lsn = GetXLogInsertRecPtr();
	wtc_wal_flush(lsn);

	while (being_pushed(lsn))
	{
		if (!wait_a_moment(deadline_us))
			return false;
	}
	if (wtc_clock_us() >= deadline_us)
		return !wtc_worker_busy();

	round = wtc_round_ask();
	while (!wtc_round_done(round))
	{
		if (!wait_a_moment(deadline_us))
			return false;
	}
	return true;
}

Datum
wtcache_flush(PG_FUNCTION_ARGS)
{
	int64		timeout = wtc_timeout_us(PG_GETARG_INTERVAL_P(0));

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("wtcache.flush() cannot be executed during recovery: only the primary server pushes.")));

	PG_RETURN_BOOL(wtc_flush_until(wtc_clock_us() + timeout));
}
