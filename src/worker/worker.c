/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The background worker: says in the server log what backends may not.
 *
 * A backend that fails to push is past its commit and must not call ereport
 * (F7), so it counts and wakes this process.  It has no database connection,
 * opens no transaction, and sleeps without a time-out while all is well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "redis/conn.h"
#include "redis/status.h"
#include "redis/url.h"
#include "shared/breaker.h"
#include "shared/shmem.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

/* failures are summed up and logged no more often than this */
#define LOG_INTERVAL_MS		5000

static uint64 logged[WTC_STATUS_COUNT];
static uint64 logged_skipped;
static uint32 logged_opened;
static bool logged_open;

static void
sign_off(int code, Datum arg)
{
	pg_atomic_write_u32(&wtc_shared->worker_procno, PG_UINT32_MAX);
}

static void
describe_endpoint(char *buf, size_t size)
{
	WtcEndpoint ep;

	if (wtc_url[0] == '\0' || wtc_url_parse(wtc_url, &ep) != NULL)
		strlcpy(buf, "nowhere", size);
	else
		wtc_endpoint_describe(&ep, buf, size);
}

/* Logs the failures since the last time; false if there were none. */
static bool
log_failures(void)
{
	StringInfoData classes;
	char		endpoint[512];
	uint64		total = 0;

	initStringInfo(&classes);
	for (int i = 1; i < WTC_STATUS_COUNT; i++)
	{
		uint64		now = wtc_counter_sum(WTC_FAIL_FIRST + i - 1);
		uint64		new = now - logged[i];

		if (new > 0)
			appendStringInfo(&classes, "%s%s " UINT64_FORMAT,
							 total > 0 ? ", " : "",
							 wtc_status_name((WtcStatus) i), new);
		total += new;
		logged[i] = now;
	}
	if (total > 0)
	{
		describe_endpoint(endpoint, sizeof(endpoint));
		ereport(LOG,
				(errmsg("wtcache: talking to Redis at %s failed " UINT64_FORMAT " times: %s",
						endpoint, total, classes.data)));
	}
	pfree(classes.data);
	return total > 0;
}

static void
log_breaker(void)
{
	TimestampTz since;
	int			failures;
	bool		open = wtc_breaker_state(wtc_clock_us(), &since, &failures) !=
	WTC_BREAKER_CLOSED;
	uint32		opened = pg_atomic_read_u32(&wtc_shared->opened);
	uint64		skipped = wtc_counter_sum(WTC_PUSHES_SKIPPED);

	if (open && !logged_open)
		ereport(LOG,
				(errmsg("wtcache: circuit breaker opened after %d failures in a row",
						failures),
				 errdetail("Commits go on without waiting for Redis.")));
	else if (!open && (logged_open || opened != logged_opened))
		ereport(LOG,
				(errmsg("wtcache: circuit breaker closed, " UINT64_FORMAT " commits were not pushed meanwhile",
						skipped - logged_skipped)));
	if (!open)
		logged_skipped = skipped;
	logged_open = open;
	logged_opened = opened;
}

/* What happened before this worker was started has been said, or is lost. */
static void
start_counting(void)
{
	for (int i = 1; i < WTC_STATUS_COUNT; i++)
		logged[i] = wtc_counter_sum(WTC_FAIL_FIRST + i - 1);
	logged_skipped = wtc_counter_sum(WTC_PUSHES_SKIPPED);
	logged_opened = pg_atomic_read_u32(&wtc_shared->opened);
	logged_open = false;
}

void
wtc_worker_main(Datum arg)
{
	TimestampTz last = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	start_counting();
	before_shmem_exit(sign_off, (Datum) 0);
	pg_atomic_write_u32(&wtc_shared->worker_procno, wtc_my_procno());

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		long		wait = -1;

		CHECK_FOR_INTERRUPTS();
		/* not 0: whoever is terminated by hand shall be started again */
		if (ShutdownRequestPending)
			proc_exit(1);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		if (TimestampDifferenceExceeds(last, now, LOG_INTERVAL_MS))
		{
			log_breaker();
			if (log_failures())
				last = now;
		}
		else
			wait = TimestampDifferenceMilliseconds(now, last) + LOG_INTERVAL_MS;

		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (wait > 0 ? WL_TIMEOUT : 0),
						 wait, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
wtc_worker_register(void)
{
	BackgroundWorker worker = {
		.bgw_name = "wtcache worker",
		.bgw_type = "wtcache worker",
		.bgw_flags = BGWORKER_SHMEM_ACCESS,
		.bgw_start_time = BgWorkerStart_ConsistentState,
		.bgw_restart_time = 5,
		.bgw_library_name = "wtcache",
		.bgw_function_name = "wtc_worker_main"
	};

	RegisterBackgroundWorker(&worker);
}
