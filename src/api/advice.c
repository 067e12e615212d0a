/*-------------------------------------------------------------------------
 *
 * advice.c
 *	  What is wrong, and what would have to happen for all to be well.
 *
 * Everything is judged by what shared memory says at this moment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "api/advice.h"
#include "commands/dbcommands.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "redis/conn.h"
#include "redis/status.h"
#include "redis/url.h"
#include "schema/shape.h"
#include "shared/breaker.h"
#include "shared/failures.h"
#include "shared/filled.h"
#include "shared/outbox.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "sql.h"
#include "txn/prefix.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "worker/position.h"
#include "worker/worker.h"

/* a replay that is behind by less is nothing to speak of */
#define LAG_SECONDS		10.0
/* for how long a refusal by Redis is a matter of the present */
#define RECENT_MS		60000
/* the part of max_wal_retained from which on it is said to be near */
#define NEAR			0.75

/* What happened, and what is to be done about it. */
static const struct
{
	const char *what;
	const char *todo;
}			failures[WTC_STATUS_COUNT] = {
	[WTC_FAIL_CONNECT] = {"no connection can be made", "Start Redis, or set \"wtcache.url\" to where it is."},
	[WTC_FAIL_TIMEOUT] = {"it does not answer in time", "See what Redis is busy with, or raise \"wtcache.connect_timeout\" and \"wtcache.push_timeout\"."},
	[WTC_FAIL_CLOSED] = {"it closes the connection", "See the log of Redis for the reason."},
	[WTC_FAIL_PROTOCOL] = {"what answers does not speak the protocol of Redis", "Set \"wtcache.url\" to where Redis is."},
	[WTC_FAIL_AUTH] = {"it does not accept the login", "Correct the user in \"wtcache.url\" and the password there or in \"wtcache.password_file\"."},
	[WTC_FAIL_OOM] = {"it is at maxmemory", "Raise maxmemory, or let Redis evict by setting maxmemory-policy to volatile-lru or volatile-lfu."},
	[WTC_FAIL_READONLY] = {"it is a replica, which cannot be written", "Set \"wtcache.url\" to the primary, or promote this one."},
	[WTC_FAIL_LOADING] = {"it is loading its data", "Wait until it is done."},
	[WTC_FAIL_MISCONF] = {"it cannot save its data and refuses writes (MISCONF)", "See the log of Redis for the reason."},
	[WTC_FAIL_NOREPLICAS] = {"too few of its replicas are there (NOREPLICAS)", "Bring its replicas back, or lower min-replicas-to-write."},
	[WTC_FAIL_WRONGTYPE] = {"keys of wtcache hold something of another type", "Give wtcache a database of Redis for itself, or delete these keys."},
	[WTC_FAIL_BUSY] = {"it is busy with a script (BUSY)", "Wait until that is over, or end it by SCRIPT KILL."},
	[WTC_FAIL_CLUSTER] = {"it is a cluster", "Set \"wtcache.url\" to a single server."},
	[WTC_FAIL_NOPERM] = {"the user lacks permissions (NOPERM)", "Allow the user of \"wtcache.url\" the commands and keys that the documentation lists."},
	[WTC_FAIL_CANCELLED] = {"talking to it was cancelled", "Wait."},
	[WTC_FAIL_CONFIG] = {"\"wtcache.url\" or \"wtcache.password_file\" cannot be used", "Correct them, and see that the server can read the file, a regular one whose first line has at most 8190 bytes."},
	[WTC_FAIL_OTHER] = {"it refuses what it is asked, or another PostgreSQL server writes to it", "See wtcache.stat_failure for what it says."},
	[WTC_FAIL_HOST] = {"the name of its host cannot be resolved", "Correct the host in \"wtcache.url\", or the name service of this machine."},
	[WTC_FAIL_SOCKET] = {"there is no such socket", "Start Redis, or set \"wtcache.url\" to what \"unixsocket\" is set to in its configuration."},
	[WTC_FAIL_SOCKET_PERMISSION] = {"the server may not connect to this socket", "Let the operating system user of this server write to the socket and search its directories: see \"unixsocketperm\" in the configuration of Redis."},
	[WTC_FAIL_CLIENTS] = {"it has as many clients as it accepts", "Raise maxclients of Redis, or let fewer sessions use it: each has a connection of its own."},
	[WTC_FAIL_COMMAND] = {"it does not know a command that wtcache needs", "Set \"wtcache.url\" to the Redis server itself, neither to a Sentinel nor to a proxy; if its commands have been renamed, give them back their names."},
};

const char *
wtc_endpoint_text(void)
{
	WtcEndpoint ep;
	char		endpoint[512];

	if (wtc_url[0] == '\0' || wtc_url_parse(wtc_url, &ep) != NULL)
		return NULL;
	wtc_endpoint_describe(&ep, endpoint, sizeof(endpoint));
	return pstrdup(endpoint);
}

double
wtc_lag_seconds(void)
{
	TimestampTz since = wtc_behind_since();
	TimestampTz now = GetCurrentTimestamp();

	return since == 0 || since >= now ? 0 : (now - since) / 1000000.0;
}

/* What happened last, and what was said. */
static const char *
what(uint32 status)
{
	WtcFailure	failure;

	wtc_failure_get((int) status, &failure);
	return failure.words[0] == '\0' ? failures[status].what :
		psprintf("%s (%s)", failures[status].what, wtc_foreign_text(failure.words));
}

/* A new line, if it is not the first. */
static StringInfo
line(StringInfo buf)
{
	if (buf->len > 0)
		appendStringInfoChar(buf, '\n');
	return buf;
}

static const char *
time_text(TimestampTz at)
{
	return pstrdup(timestamptz_to_str(at));
}

/* Has another database the keys that this one would write? */
static void
about_database(StringInfo buf)
{
	char	   *owner = wtc_prefix_taken();
	char	   *name = get_database_name(MyDatabaseId);

	if (owner != NULL && wtc_attached_roots() != NIL)
		appendStringInfo(line(buf), "The keys with prefix \"%s\" are those of database \"%s\", so nothing of database \"%s\" is pushed. Use ALTER DATABASE %s SET wtcache.key_prefix to give it a prefix of its own, and connect again.",
						 wtc_key_prefix, owner, name, quote_identifier(name));
}

/* Is there a worker, and can it work? */
static void
about_worker(StringInfo buf)
{
	WtcWorkerState state = wtc_worker_state();
	TimestampTz since;
	int			link = wtc_worker_link(&since);

	if (wtc_worker_pid() == 0)
		appendStringInfoString(line(buf), "The worker is not running, so nothing is replayed. The server starts it again after a second; if it does not, see the server log for the reason.");
	else if (link != WTC_OK && link < WTC_STATUS_COUNT)
		appendStringInfo(line(buf), "The worker has not been able to use Redis at %s since %s: %s. %s What is committed meanwhile will be replayed.",
						 wtc_endpoint_text(), time_text(since),
						 what(link), failures[link].todo);
	else if (state == WTC_WORKER_NO_REDIS)
		appendStringInfoString(line(buf), "The worker was stopped by an error and tries again. See the server log for the reason.");
	else if (state == WTC_WORKER_SUPERSEDED)
		appendStringInfoString(line(buf), "Another PostgreSQL server has taken Redis over, and this one writes to it no more. Shut down the one that should not write, or set its \"wtcache.url\" to another Redis database. If this server is to write again, call wtcache.take_over() then.");
	else if (state == WTC_WORKER_STARTING)
		appendStringInfoString(line(buf), "The worker has just been started. Wait until it knows how far Redis has come.");
	else if (state == WTC_WORKER_COLD)
		appendStringInfoString(line(buf), "The cache is being emptied. Wait until it is.");
	else if (wtc_lag_seconds() > LAG_SECONDS)
		appendStringInfo(line(buf), "Redis lacks what has been committed since %s. Wait until the worker has replayed it, or call wtcache.wait(), which waits for that.",
						 time_text(wtc_behind_since()));
}

/* Do commits push?  As long as Redis is loading, the worker says so. */
static void
about_commits(StringInfo buf)
{
	TimestampTz since;
	int			n;
	TimestampTz last_at;
	int			last = wtc_last_failure(&last_at);

	if (last == 0 || last >= WTC_STATUS_COUNT)
		return;
	if (wtc_breaker_state(wtc_clock_us(), &since, &n) != WTC_BREAKER_CLOSED)
		appendStringInfo(line(buf), "The circuit breaker has been open since %s, after %d failures in a row, the last one: %s. Commits do not wait for Redis and are replayed. It closes by itself as soon as Redis answers.",
						 time_text(since), n, what(last));
	else if (!wtc_status_is_outage((WtcStatus) last) &&
			 last != WTC_FAIL_CANCELLED && last != WTC_FAIL_LOADING &&
			 !TimestampDifferenceExceeds(last_at, GetCurrentTimestamp(),
										 RECENT_MS))
		appendStringInfo(line(buf), "Redis refused a write at %s: %s. %s",
						 time_text(last_at), what(last), failures[last].todo);
}

/* Will there be WAL to replay from? */
static void
about_wal(StringInfo buf)
{
	uint64		watermark = wtc_watermark();
	uint64		waits;
	double		most = wtc_max_wal_retained * 1024.0 * 1024.0;

	if (wtc_worker_retained() == InvalidXLogRecPtr)
	{
		if (wtc_worker_pid() != 0 && wtc_slot_wanted())
			appendStringInfoString(line(buf), "There is no replication slot \"wtcache\", so the server may remove WAL that has not been replayed, and the cache would be emptied. Set \"wal_level\" to replica or logical, raise \"max_replication_slots\", and restart the server.");
		return;
	}
	if (watermark == InvalidXLogRecPtr)
		return;
	waits = GetXLogInsertRecPtr() - watermark;
	if (wtc_max_wal_retained >= 0 && waits > NEAR * most)
		appendStringInfo(line(buf), "%.0f MB of WAL wait to be replayed, and at \"wtcache.max_wal_retained\" (%d MB) the cache is emptied instead. See to it that Redis can be used and that no prepared transaction is left behind, or raise the limit.",
						 waits / 1024.0 / 1024.0, wtc_max_wal_retained);
}

/*
 * Have all tables that are attached in this database been warmed since, or found to
 * be in the cache?  Of one without any, it is not known what the cache has lost:
 * other databases are not seen from here.
 */
static bool
all_filled(TimestampTz since)
{
	List	   *roots = wtc_attached_roots();
	ListCell   *lc;

	foreach(lc, roots)
	{
		if (wtc_filled_since(lfirst_oid(lc)) < since)
			return false;
	}
	return roots != NIL;
}

/*
 * What was in the cache before it was emptied would have expired by now, if it
 * had the usual time to live and was not written again.
 */
static void
about_content(StringInfo buf)
{
	TimestampTz at = wtc_cold_at();
	TimestampTz until = at + (TimestampTz) wtc_default_ttl * USECS_PER_SEC;
	const char *since;

	if (at == 0 || until < GetCurrentTimestamp() ||
		wtc_cold_is_acknowledged() ||
		all_filled(at))
		return;
	since = time_text(at);
	appendStringInfo(line(buf), "The cache was emptied at %s: %s. It fills as rows are written; CALL wtcache.warm() fills it at once, for each table. This line goes when all tables attached in this database have been warmed or verified, when wtcache.acknowledge() is called, or at %s.",
					 since,
					 wtc_cold_reason_text(wtc_cold_reason()),
					 time_text(until));
}

const char *
wtc_advice(void)
{
	StringInfoData buf;

	/* a standby has nothing to do */
	if (RecoveryInProgress())
		return NULL;
	initStringInfo(&buf);
	if (wtc_endpoint_text() == NULL)
		appendStringInfoString(&buf, "\"wtcache.url\" is empty, so nothing is pushed. Set it to where Redis is, and reload the configuration.");
	else
	{
		about_database(&buf);
		about_worker(&buf);
		about_commits(&buf);
		about_wal(&buf);
		about_content(&buf);
	}
	return buf.len > 0 ? buf.data : NULL;
}
