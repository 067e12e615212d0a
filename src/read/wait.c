/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  Waiting until Redis holds what has been committed.
 *
 * What was committed before the call is in one of three places: in Redis; in
 * the hands of the backend that committed it, which has published an in-flight
 * mark before the WAL position of the call; or with the worker.  A backend
 * whose push fails hands over to the worker before it takes its mark away, so
 * at no moment the change is in none of the three.  So first all those marks
 * have to go, and then the worker is asked for a round: one that began earlier
 * might not see what has been handed over since.
 *
 * A mark may also belong to a transaction that is still running: one that is
 * too large for the memory has it from its first message on, for hours perhaps.
 * These are not waited for.  The caller's own mark is among them, if there is
 * one: as long as the caller's transaction runs, its changes are not committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "compat.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "read/wait.h"
#include "redis/conn.h"
#include "shared/outbox.h"
#include "shared/rounds.h"
#include "shared/slots.h"
#include "shared/waits.h"
#include "storage/latch.h"
#include "walpos.h"

/* how often to look, in milliseconds */
#define POLL_MS		5

/*
 * Is a backend pushing what may have been committed before lsn?  A backend
 * that has a mark and still an xid has not committed yet as other backends see
 * it: the xid goes before the mark.  The mark is read before the xid, because a
 * mark that is read later might be that of the next transaction.
 */
static bool
being_pushed(XLogRecPtr lsn)
{
	/* the last slot is the worker's */
	for (int i = 0; i < wtc_slots_count() - 1; i++)
	{
		uint64		mark = wtc_inflight_of(i);

		if (mark == InvalidXLogRecPtr || mark >= lsn)
			continue;
		pg_memory_barrier();
		if (!TransactionIdIsValid(wtc_backend_xid(i)))
			return true;
	}
	return false;
}

bool
wtc_wait_a_moment(int64 deadline_us, uint32 event)
{
	if (wtc_clock_us() >= deadline_us)
		return false;
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 POLL_MS, event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

bool
wtc_wait_until_pushed(int64 deadline_us)
{
	XLogRecPtr	lsn;
	uint64		round;

	/* the worker pushes only what a crash cannot take back any more */
	lsn = GetXLogInsertRecPtr();
	XLogFlush(wtc_flushable(lsn));

	while (being_pushed(lsn))
	{
		if (!wtc_wait_a_moment(deadline_us, wtc_wait_await_worker))
			return false;
	}
	if (wtc_clock_us() >= deadline_us)
		return !wtc_worker_busy();

	round = wtc_round_ask();
	while (!wtc_round_done(round))
	{
		if (!wtc_wait_a_moment(deadline_us, wtc_wait_await_worker))
			return false;
	}
	return true;
}
