/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Says in the server log what backends may not.
 *
 * A backend that fails to push is past its commit and must not call ereport,
 * which runs hooks of other extensions; it counts and wakes the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "change/message.h"
#include "lib/stringinfo.h"
#include "redis/conn.h"
#include "redis/status.h"
#include "redis/url.h"
#include "redis/words.h"
#include "shared/breaker.h"
#include "shared/failures.h"
#include "shared/slots.h"
#include "utils/timestamp.h"
#include "worker/report.h"

/* failures are summed up and logged no more often than this */
#define LOG_INTERVAL_MS		5000

static uint64 logged[WTC_STATUS_COUNT];
static uint64 logged_skipped;
static uint32 logged_opened;
static bool logged_open;

/* messages that are not ours, since the last time; the last of them */
static uint64 forged = 0;
static XLogRecPtr forged_at;
static TransactionId forged_by;

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
	WtcFailure	last;
	char		endpoint[512];
	uint64		total = 0;

	initStringInfo(&classes);
	for (int i = 1; i < WTC_STATUS_COUNT; i++)
	{
		uint64		now = wtc_counter_sum(WTC_FAIL_FIRST + i - 1);
		uint64		new = now - logged[i];

		if (new > 0)
		{
			appendStringInfo(&classes, "%s%s " UINT64_FORMAT,
							 total > 0 ? ", " : "",
							 wtc_status_name((WtcStatus) i), new);
			wtc_failure_get(i, &last);
			if (last.words[0] != '\0')
				appendStringInfo(&classes, " (%s)", last.words);
		}
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

/* The same for messages that are not ours. */
static bool
log_forged(void)
{
	if (forged == 0)
		return false;
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("wtcache: " UINT64_FORMAT " messages in WAL were passed over that wtcache has not written in their transactions",
					forged),
			 errdetail("The last one is at %X/%X, of transaction %u.",
					   LSN_FORMAT_ARGS(forged_at), forged_by),
			 errhint("Find out which role calls pg_logical_emit_message() with the prefix \"%s\".",
					 WTC_MESSAGE_PREFIX)));
	forged = 0;
	return true;
}

static void
log_breaker(void)
{
	TimestampTz since;
	int			failures;
	bool		open = wtc_breaker_state(wtc_clock_us(), &since, &failures) !=
	WTC_BREAKER_CLOSED;
	uint32		opened = wtc_breaker_opened();
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
void
wtc_report_start(void)
{
	for (int i = 1; i < WTC_STATUS_COUNT; i++)
		logged[i] = wtc_counter_sum(WTC_FAIL_FIRST + i - 1);
	logged_skipped = wtc_counter_sum(WTC_PUSHES_SKIPPED);
	logged_opened = wtc_breaker_opened();
	logged_open = false;
}

void
wtc_report_forged(XLogRecPtr at, TransactionId xid)
{
	wtc_count(WTC_FORGED, 1);
	forged++;
	forged_at = at;
	forged_by = xid;
}

void
wtc_report_link(WtcStatus status)
{
	static WtcStatus before = WTC_OK;
	char		endpoint[512];

	if (status == before)
		return;
	describe_endpoint(endpoint, sizeof(endpoint));
	if (status != WTC_OK)
	{
		const char *words = wtc_words_take(status);

		/* said here, so it is not counted: the worker tries all the time */
		wtc_failure_note(status, words);
		ereport(LOG,
				(errmsg("wtcache: the worker cannot talk to Redis at %s: %s",
						endpoint, words[0] == '\0' ? wtc_status_name(status) :
						psprintf("%s (%s)", wtc_status_name(status), words)),
				 errdetail("What is committed meanwhile will be replayed from WAL.")));
	}
	else
		ereport(LOG,
				(errmsg("wtcache: the worker talks to Redis at %s again",
						endpoint)));
	before = status;
}

long
wtc_report(void)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(last, now, LOG_INTERVAL_MS))
		return TimestampDifferenceMilliseconds(now, last) + LOG_INTERVAL_MS;
	log_breaker();
	if (log_failures() | log_forged())
		last = now;
	return -1;
}
