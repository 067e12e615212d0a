/*-------------------------------------------------------------------------
 *
 * guc.c
 *	  The settings, in alphabetical order.
 *
 * What decides how keys are named is for superusers, and meant for ALTER
 * DATABASE: a row must have the same key whoever writes it.  So is how long a
 * commit may take.  Where Redis is concerns the whole server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "guc.h"
#include "redis/url.h"
#include "utils/guc.h"

int			wtc_batch_memory;
int			wtc_breaker_cooldown;
int			wtc_breaker_failures;
char	   *wtc_cold_pattern;
int			wtc_connect_timeout;
bool		wtc_debug_hold_push;
int			wtc_default_ttl;
int			wtc_document_limit;
int			wtc_document_lock_timeout;
bool		wtc_enabled;
int			wtc_heal_window;
int			wtc_journal;
char	   *wtc_key_prefix;
int			wtc_lease_ttl;
bool		wtc_leases;
int			wtc_max_image_size;
int			wtc_max_wal_retained;
int			wtc_mode;
char	   *wtc_password_file;
int			wtc_push_timeout;
char	   *wtc_tag_prefix;
int			wtc_ttl_jitter;
char	   *wtc_url;
int			wtc_version_memory;

uint64		wtc_endpoint_generation = 1;

/* there was something that is no URL */
static bool url_refused = false;

static bool
check_url(char **newval, void **extra, GucSource source)
{
	WtcEndpoint ep;
	const char *problem;

	if (**newval == '\0')
		return true;
	problem = wtc_url_parse(*newval, &ep);
	if (problem != NULL)
	{
		url_refused = true;
		/* not the usual message, which would tell a password */
		GUC_check_errmsg("invalid value for parameter \"wtcache.url\"");
		GUC_check_errdetail("%s", problem);
		GUC_check_errhint("Use redis://[[user]:password@]host[:port][/database] or unix://[[user]:password@]/path[?db=database].");
		return false;
	}
	return true;
}

static void
assign_endpoint(const char *newval, void *extra)
{
	wtc_endpoint_generation++;
}

static void
define_developer_settings(void)
{
	DefineCustomBoolVariable("wtcache.debug_hold_push",
							 "Holds this session's pushes until released by a test.",
							 NULL,
							 &wtc_debug_hold_push,
							 false,
							 PGC_SUSET,
							 GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
}

static void
define_limits(void)
{
	DefineCustomIntVariable("wtcache.batch_memory",
							"Limits the memory for the pending changes of one transaction.",
							"Beyond it they are written to WAL, and pushed from there once the transaction has committed.",
							&wtc_batch_memory,
							128 * 1024, 64, 512 * 1024,
							PGC_SUSET,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.breaker_cooldown",
							"Sets how long Redis is left alone once the circuit breaker has opened.",
							NULL,
							&wtc_breaker_cooldown,
							2000, 1, INT_MAX,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.breaker_failures",
							"Sets after how many outages in a row the circuit breaker opens.",
							"Zero switches the circuit breaker off.",
							&wtc_breaker_failures,
							3, 0, INT_MAX,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.connect_timeout",
							"Limits the time to connect to Redis.",
							NULL,
							&wtc_connect_timeout,
							500, 1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	/* each takes a lock, for which the server has limited room */
	DefineCustomIntVariable("wtcache.document_limit",
							"Limits how many documents are built at the end of one transaction.",
							"Those of a transaction that changes more are deleted from the cache instead of stored.",
							&wtc_document_limit,
							100, 0, 10000,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.document_lock_timeout",
							"Limits how long a transaction waits for others that have changed the same documents.",
							"Then, and where the query of a document waits for a table for that long, the document is deleted from the cache instead of stored.",
							&wtc_document_lock_timeout,
							500, 1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	/*
	 * Redis takes up to 512 MB, but is not to be kept from others for long:
	 * it takes some ten milliseconds for this much.  The backend that makes
	 * an image has several copies of it.
	 */
	DefineCustomIntVariable("wtcache.max_image_size",
							"Limits the size of what is cached of one row.",
							"A row whose values or whose image are larger is deleted from the cache instead of stored.",
							&wtc_max_image_size,
							16 * 1024, 1, 512 * 1024,
							PGC_SUSET,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.push_timeout",
							"Limits the time that a commit waits for Redis.",
							NULL,
							&wtc_push_timeout,
							2000, 1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.version_memory",
							"Sets the shared memory that remembers which version of a key was sent last.",
							"Where it is too small for the keys that are written at the same time, some are deleted from the cache instead of stored.",
							&wtc_version_memory,
							4096, 64, 1024 * 1024,
							PGC_POSTMASTER,
							GUC_UNIT_KB,
							NULL, NULL, NULL);
}

static void
define_replay(void)
{
	static const struct config_enum_entry journal[] = {
		{"auto", WTC_JOURNAL_AUTO, false},
		{"off", WTC_JOURNAL_OFF, false},
		{"on", WTC_JOURNAL_ON, false},
		{NULL, 0, false}
	};

	DefineCustomStringVariable("wtcache.cold_pattern",
							   "Sets which keys are deleted when the cache has to be emptied.",
							   "A glob pattern of Redis; empty means what wtcache has stored. Keys without a time to live are never deleted.",
							   &wtc_cold_pattern,
							   "",
							   PGC_SIGHUP,
							   0,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.heal_window",
							"Sets how far back a Redis that has lost writes can be healed.",
							"WAL is kept for this time after it is in Redis.",
							&wtc_heal_window,
							600, 0, INT_MAX,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomEnumVariable("wtcache.journal",
							 "Sets whether Redis keeps a list of what was stored lately.",
							 "A standby that is promoted needs it; without it the cache is emptied then. \"auto\" means as soon as there is a standby.",
							 &wtc_journal,
							 WTC_JOURNAL_AUTO, journal,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.max_wal_retained",
							"Limits the WAL that is kept to be replayed.",
							"Beyond it the cache is emptied instead; -1 means no limit.",
							&wtc_max_wal_retained,
							4096, -1, INT_MAX,
							PGC_SIGHUP,
							GUC_UNIT_MB,
							NULL, NULL, NULL);
}

static void
define_content(void)
{
	DefineCustomIntVariable("wtcache.default_ttl",
							"Sets the time to live of what is cached without one of its own.",
							NULL,
							&wtc_default_ttl,
							3600, 1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("wtcache.enabled",
							 "Stores rows in the cache.",
							 "When off, changed rows are deleted from the cache instead of stored.",
							 &wtc_enabled,
							 true,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("wtcache.key_prefix",
							   "Sets what precedes every key and tag set in Redis.",
							   NULL,
							   &wtc_key_prefix,
							   "",
							   PGC_SUSET,
							   0,
							   NULL, NULL, NULL);

	DefineCustomStringVariable("wtcache.tag_prefix",
							   "Sets what precedes a tag in the name of its set in Redis.",
							   NULL,
							   &wtc_tag_prefix,
							   "tag:",
							   PGC_SUSET,
							   0,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("wtcache.ttl_jitter",
							"Sets by how many per cent at most a time to live is shortened.",
							"By how many is a matter of the key, so that what is stored together does not expire together.",
							&wtc_ttl_jitter,
							10, 0, 50,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);
}

static void
define_readers(void)
{
	DefineCustomIntVariable("wtcache.lease_ttl",
							"Sets for how long one reader may fill a missing key.",
							"Others wait meanwhile.",
							&wtc_lease_ttl,
							3000, 100, 60000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("wtcache.leases",
							 "Lets readers fill what is missing in the cache.",
							 "Each push then sees to it that nothing older than it is filled.",
							 &wtc_leases,
							 false,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);
}

static void
define_mode(void)
{
	static const struct config_enum_entry modes[] = {
		{"write_through", WTC_MODE_WRITE_THROUGH, false},
		{"async", WTC_MODE_ASYNC, false},
		{NULL, 0, false}
	};

	DefineCustomEnumVariable("wtcache.mode",
							 "Sets whether a commit waits until the cache has its changes.",
							 "What holds is the value at the end of the transaction.",
							 &wtc_mode,
							 WTC_MODE_WRITE_THROUGH, modes,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
}

static void
define_endpoint(void)
{
	DefineCustomStringVariable("wtcache.password_file",
							   "Names a file whose first line is the password for Redis.",
							   "It takes the place of a password in wtcache.url.",
							   &wtc_password_file,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL, assign_endpoint, NULL);

	DefineCustomStringVariable("wtcache.url",
							   "Sets where Redis is.",
							   "An empty value means that there is none.",
							   &wtc_url,
							   "redis://127.0.0.1:6379/0",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   check_url, assign_endpoint, NULL);

	/*
	 * What stood in the configuration file before the setting was known is
	 * only warned of, and the default holds.  But whose Redis that is nobody
	 * has said.  A reload sets it right.
	 */
	if (url_refused)
		SetConfigOption("wtcache.url", "", PGC_SIGHUP, PGC_S_DYNAMIC_DEFAULT);
}

void
wtc_guc_init(void)
{
	define_content();
	define_developer_settings();
	define_endpoint();
	define_limits();
	define_mode();
	define_readers();
	define_replay();
	MarkGUCPrefixReserved("wtcache");
}
