/*-------------------------------------------------------------------------
 *
 * fence.c
 *	  What a fence costs in Redis: window hashes against companion keys.
 *
 * Applies batches of fenced SETs through one connection, one batch per round
 * trip, layout after layout in an order that rotates from round to round, and
 * prints medians per key; then the bytes a fence takes per key.  It empties
 * the server it is pointed at: give it one of its own.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "../common.h"

#define MAX_BATCH	500
#define MAX_ROUNDS	50
#define VALUE_TTL	"3600000"
#define TAG_LIFE	"3660000"
#define FENCE_SPAN	"300000"
#define VERSION		"%027llu"
#define lengthof(a) (sizeof(a) / sizeof((a)[0]))

typedef struct Layout
{
	const char *name;
	const char *file;			/* NULL: plain pipelined SET */
	enum
	{
		KEYS_ONLY,				/* KEYS are the keys */
		HASHES,					/* KEYS begin with the two fence hashes */
		PAIRS,					/* ARGV ends with the number of each key's pair */
		PRODUCT,				/* the contract of apply.lua as of push/request.c */
		PRODUCT_TAGS			/* the same, one tag per key */
	}			protocol;
	char		sha[41];
} Layout;

typedef struct Cost
{
	double		trip;			/* microseconds per key, seen by the client */
	double		script;			/* the same inside the command */
	double		cpu;			/* processor time of the server process */
} Cost;

static Layout layouts[] = {
	{"plain SET, pipelined", NULL, KEYS_ONLY, ""},
	{"script, SET only", "set.lua", KEYS_ONLY, ""},
	{"window hash", "window.lua", HASHES, ""},
	{"companion key", "companion.lua", KEYS_ONLY, ""},
	{"companion key, MGET", "companion-mget.lua", KEYS_ONLY, ""},
	{"window hash, 4096 pairs", "bucket.lua", PAIRS, ""},
	{"apply.lua, no tags", "../../../src/redis/apply.lua", PRODUCT, ""},
	{"apply.lua, one tag", "../../../src/redis/apply.lua", PRODUCT_TAGS, ""},
};
static const int batches[] = {1, 10, 200, 500};

#define NLAYOUTS	((int) lengthof(layouts))
#define NBATCHES	((int) lengthof(batches))
#define WINDOW		2
#define COMPANION	3
#define BUCKETS		5
#define PAIR_COUNT	4096

static redisContext *conn;
static char value[301];
static unsigned long long clock_version = 0x1000000000ULL;

static redisReply *
next_reply(void)
{
	redisReply *reply = NULL;

	if (redisGetReply(conn, (void **) &reply) != REDIS_OK)
		die("redis: %s", conn->errstr);
	if (reply->type == REDIS_REPLY_ERROR)
		die("redis: %s", reply->str);
	return reply;
}

static redisReply *
command(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	redisvAppendCommand(conn, fmt, args);
	va_end(args);
	return next_reply();
}

/* The number behind a name in INFO, 0 if it is not there. */
static double
info_number(const char *section, const char *name)
{
	redisReply *reply = command("INFO %s", section);
	char	   *at = strstr(reply->str, name);
	double		result = at ? atof(at + strlen(name)) : 0;

	freeReplyObject(reply);
	return result;
}

static double
server_cpu_us(void)
{
	return 1e6 * (info_number("cpu", "used_cpu_sys_main_thread:") +
				  info_number("cpu", "used_cpu_user_main_thread:"));
}

static void
load_script(Layout *layout, const char *dir)
{
	char		path[1024];
	char		text[16384];
	size_t		len;
	FILE	   *file;
	redisReply *reply;

	snprintf(path, sizeof(path), "%s/%s", dir, layout->file);
	if ((file = fopen(path, "r")) == NULL)
		die("%s: %s", path, strerror(errno));
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	reply = command("SCRIPT LOAD %b", text, len);
	snprintf(layout->sha, sizeof(layout->sha), "%s", reply->str);
	freeReplyObject(reply);
}

/*
 * Sends one batch of sets and waits for its replies.  version is the text of
 * the record without its first letter.
 */
static void
apply(const Layout *layout, const char *version, const long *ids, int n)
{
	static char keys[MAX_BATCH][32];
	static char pairs[MAX_BATCH][8];
	const char *argv[MAX_BATCH * 8 + 16];
	bool		product = layout->protocol >= PRODUCT;
	int			argc = 0;
	char		nkeys[16];
	char		created[32];
	struct timespec ts;
	redisReply *reply;
	redisReply *stored;

	for (int i = 0; i < n; i++)
		snprintf(keys[i], sizeof(keys[i]), "products:%ld", ids[i]);

	if (layout->file == NULL)
	{
		for (int i = 0; i < n; i++)
		{
			const char *set[] = {"SET", keys[i], value, "PX", VALUE_TTL};

			redisAppendCommandArgv(conn, 5, set, NULL);
		}
		for (int i = 0; i < n; i++)
			freeReplyObject(next_reply());
		return;
	}

	/* same machine, so the server's clock is ours */
	clock_gettime(CLOCK_REALTIME, &ts);
	snprintf(created, sizeof(created), "%lld", product ?
			 ts.tv_sec * 1000000LL + ts.tv_nsec / 1000 :
			 ts.tv_sec * 1000LL + ts.tv_nsec / 1000000);
	argv[argc++] = "EVALSHA";
	argv[argc++] = layout->sha;
	argv[argc++] = nkeys;
	if (layout->protocol == HASHES || product)
	{
		argv[argc++] = product ? "wtcache:fence:0" : "window:fence:0";
		argv[argc++] = product ? "wtcache:fence:1" : "window:fence:1";
	}
	for (int i = 0; i < n; i++)
		argv[argc++] = keys[i];
	snprintf(nkeys, sizeof(nkeys), "%d", argc - 3);
	argv[argc++] = version;
	argv[argc++] = created;
	if (product)
	{
		bool		tag = layout->protocol == PRODUCT_TAGS;

		argv[argc++] = FENCE_SPAN "000";
		argv[argc++] = version; /* of the commit */
		argv[argc++] = "0";		/* not a replay */
		argv[argc++] = "0";		/* tags to invalidate */
		for (int i = 0; i < n; i++)
		{
			argv[argc++] = "s";
			argv[argc++] = VALUE_TTL;
			argv[argc++] = TAG_LIFE;
			argv[argc++] = value;
			argv[argc++] = tag ? "1" : "0";
			if (tag)
				argv[argc++] = "tag:products";
			argv[argc++] = "0";	/* tags removed */
		}
	}
	else
	{
		argv[argc++] = FENCE_SPAN;
		for (int i = 0; i < n; i++)
		{
			argv[argc++] = VALUE_TTL;
			argv[argc++] = value;
		}
	}
	if (layout->protocol == PAIRS)
		for (int i = 0; i < n; i++)
		{
			snprintf(pairs[i], sizeof(pairs[i]), "%u",
					 ((uint32_t) ids[i] * 2654435769u) % PAIR_COUNT);
			argv[argc++] = pairs[i];
		}
	redisAppendCommandArgv(conn, argc, argv, NULL);

	reply = next_reply();
	stored = product ? reply->element[1] : reply;
	/* what comes before its pair of hashes may only delete */
	if (layout->protocol != PAIRS &&
		stored->integer != n && stored->integer != 0)
		die("%s: stored %lld of %d", layout->name, stored->integer, n);
	freeReplyObject(reply);
}

static Cost
measure(const Layout *layout, int batch, long nkeys, double seconds)
{
	const char *stat = layout->file ? "cmdstat_evalsha:" : "cmdstat_set:";
	long		ids[MAX_BATCH];
	long		done = 0;
	double		cpu;
	double		start;
	double		elapsed;
	Cost		cost;
	char		version[40];
	redisReply *reply;

	freeReplyObject(command("CONFIG RESETSTAT"));
	cpu = server_cpu_us();
	start = now_us();
	while ((elapsed = now_us() - start) < seconds * 1e6)
	{
		ids[0] = random() % nkeys;
		for (int i = 1; i < batch; i++)
			ids[i] = (ids[0] + i * 7919L) % nkeys;	/* no key twice */
		for (int i = 0; i < batch; i++)
			ids[i] += 100000;
		snprintf(version, sizeof(version), VERSION, ++clock_version);
		apply(layout, version, ids, batch);
		done += batch;
	}
	cost.cpu = (server_cpu_us() - cpu) / done;
	cost.trip = elapsed / done;

	reply = command("INFO commandstats");
	{
		char	   *at = strstr(reply->str, stat);

		if (at == NULL || (at = strstr(at, "usec=")) == NULL)
			die("no %s in INFO commandstats", stat);
		cost.script = atof(at + 5) / done;
	}
	freeReplyObject(reply);
	return cost;
}

static double
median(double *v, int n)
{
	qsort(v, n, sizeof(double), compare_doubles);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Writes every key once, in batches. */
static void
fill(const Layout *layout, const char *version, long nkeys)
{
	long		ids[MAX_BATCH];

	for (long at = 0; at < nkeys;)
	{
		int			n = 0;

		while (n < 200 && at < nkeys)
			ids[n++] = 100000 + at++;
		apply(layout, version, ids, n);
	}
}

static double
used_memory(void)
{
	/* freed in the background */
	while (info_number("memory", "lazyfree_pending_objects:") > 0)
		usleep(10000);
	return info_number("memory", "used_memory_dataset:") +
		info_number("memory", "used_memory_overhead:") -
		info_number("memory", "mem_clients_normal:");
}

/*
 * Bytes per key that the fence adds to keys already there.  With the first
 * pair of hashes made beforehand, as the call that makes it only deletes.
 */
static double
fence_bytes(const Layout *layout, const char *version, long nkeys)
{
	double		before;
	long		one = 1;

	freeReplyObject(command("FLUSHALL"));
	fill(&layouts[0], NULL, nkeys);
	if (layout->protocol == PAIRS)
		fill(layout, "0", PAIR_COUNT);
	else
		apply(layout, "0", &one, 1);
	usleep(20000);
	before = used_memory();
	fill(layout, version, nkeys);
	return (used_memory() - before) / nkeys;
}

static void
report_times(int rounds, double seconds, long nkeys)
{
	static Cost cost[MAX_ROUNDS][lengthof(batches)][lengthof(layouts)];
	double		v[MAX_ROUNDS];

	for (int l = 0; l < NLAYOUTS; l++)
	{
		char		version[40];

		snprintf(version, sizeof(version), VERSION, ++clock_version);
		fill(&layouts[l], version, nkeys);
	}
	for (int r = 0; r < rounds; r++)
		for (int b = 0; b < NBATCHES; b++)
			for (int i = 0; i < NLAYOUTS; i++)
			{
				int			l = (i + r) % NLAYOUTS;

				cost[r][b][l] = measure(&layouts[l], batches[b], nkeys,
										seconds);
			}

	printf("Microseconds per key, medians of %d rounds of %g s, %ld keys, "
		   "%zu-byte values.\n\n", rounds, seconds, nkeys, strlen(value));
	printf("| keys per call | layout | round trip | inside the command "
		   "| server CPU | round trip / window hash |\n"
		   "|--:|---|--:|--:|--:|--:|\n");
	for (int b = 0; b < NBATCHES; b++)
		for (int l = 0; l < NLAYOUTS; l++)
		{
			printf("| %d | %s ", batches[b], layouts[l].name);
			for (int r = 0; r < rounds; r++)
				v[r] = cost[r][b][l].trip;
			printf("| %.2f ", median(v, rounds));
			for (int r = 0; r < rounds; r++)
				v[r] = cost[r][b][l].script;
			printf("| %.2f ", median(v, rounds));
			for (int r = 0; r < rounds; r++)
				v[r] = cost[r][b][l].cpu;
			printf("| %.2f ", median(v, rounds));
			for (int r = 0; r < rounds; r++)
				v[r] = cost[r][b][l].trip / cost[r][b][WINDOW].trip;
			printf("| %.2f |\n", median(v, rounds));
		}
}

static void
report_bytes(long nkeys)
{
	static const struct
	{
		const char *name;
		int			layout;
		const char *version;
	}			kinds[] =
	{
		{"companion key, record of 25", COMPANION, "000000010000000012345678"},
		{"4096 pairs, record of 25", BUCKETS, "000000010000000012345678"},
		{"window hash, record of 25", WINDOW, "000000010000000012345678"},
		{"window hash, record of 21", WINDOW, "00000100000012345678"},
		{"window hash, record of 18", WINDOW, "10000000012345678"},
		{"window hash, record of 17", WINDOW, "1000000012345678"},
		{"window hash, record of 14", WINDOW, "1000001234567"},
		{"window hash, record of 6", WINDOW, "12345"},
	};

	/* a hash table doubles at a power of two: its best and its worst fill */
	const long	sizes[] = {nkeys, 65536 + 2000, 131072 - 2000};

	printf("\nBytes the fence adds per key ('products:123456').\n\n"
		   "| record | %ld keys | %ld keys | %ld keys |\n|---|--:|--:|--:|\n",
		   sizes[0], sizes[1], sizes[2]);
	for (int k = 0; k < (int) lengthof(kinds); k++)
	{
		printf("| %s ", kinds[k].name);
		for (int s = 0; s < 3; s++)
			printf("| %.1f ", fence_bytes(&layouts[kinds[k].layout],
										  kinds[k].version, sizes[s]));
		printf("|\n");
	}
}

int
main(int argc, char **argv)
{
	const char *socket = NULL;
	const char *dir = ".";
	int			rounds = 5;
	double		seconds = 0.5;
	long		nkeys = 100000;
	int			opt;

	while ((opt = getopt(argc, argv, "s:d:r:t:k:")) != -1)
		switch (opt)
		{
			case 's':
				socket = optarg;
				break;
			case 'd':
				dir = optarg;
				break;
			case 'r':
				rounds = atoi(optarg);
				break;
			case 't':
				seconds = atof(optarg);
				break;
			case 'k':
				nkeys = atol(optarg);
				break;
			default:
				die("usage: fence -s socket [-d scripts] [-r rounds] "
					"[-t seconds] [-k keys]");
		}
	if (socket == NULL || rounds < 1 || rounds > MAX_ROUNDS || nkeys < 1)
		die("fence: a socket, 1 to %d rounds, at least one key", MAX_ROUNDS);

	conn = redisConnectUnix(socket);
	if (conn == NULL || conn->err)
		die("redis: %s", conn ? conn->errstr : "out of memory");
	memset(value, 'x', sizeof(value) - 1);
	for (int l = 0; l < NLAYOUTS; l++)
		if (layouts[l].file)
			load_script(&layouts[l], dir);

	freeReplyObject(command("FLUSHALL"));
	report_times(rounds, seconds, nkeys);
	report_bytes(nkeys);
	redisFree(conn);
	return 0;
}
