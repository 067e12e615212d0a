/*-------------------------------------------------------------------------
 *
 * load.c
 *	  Load generator of the benchmark.
 *
 * Runs one workload in one way with a number of clients, each a process of
 * its own, and prints one line: transactions per second and latencies in
 * microseconds.  A latency is what the client waits until it may go on: for
 * "app" that includes its own writes to Redis.
 *
 *	plain, wtcache	statements only (with wtcache the table is attached)
 *	app				the same with RETURNING, then SET with EX, SADD of a tag
 *					and EXPIRE of it in one pipeline after the commit
 *	app_set			the same without the tag
 *
 *	update			one-row UPDATE of a random row
 *	insert			one-row INSERT
 *	ten				BEGIN, ten UPDATEs, COMMIT
 *	hot				one-row UPDATE of one of ten rows
 *	bulk			one UPDATE of the whole table; -n says how often
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>
#include <hiredis/hiredis.h>

#include "common.h"

#define MAX_CLIENTS		64
#define MAX_SAMPLES		(2 * 1024 * 1024)	/* per client */
#define WARMUP			50			/* transactions before the clock starts */
#define BULK_BATCH		1000		/* keys per pipeline in "bulk" */
#define IMAGE_SIZE		2048
#define ENTRY_TTL		"3600"
#define TAG_TTL			"3660"

/* Columns of RETURNING, and which of them are numbers in JSON. */
#define COLUMNS			"id, name, price, stock, description, updated_at"
static const char *const column_names[] = {
	"id", "name", "price", "stock", "description", "updated_at"
};
static const bool column_quoted[] = {false, true, false, false, true, true};

#define NCOLUMNS		6

typedef enum Workload
{
	UPDATE,
	INSERT,
	TEN,
	HOT,
	BULK
} Workload;

/* What the clients share with their parent, in anonymous shared memory. */
typedef struct Shared
{
	atomic_int	ready;
	atomic_bool go;
	atomic_bool stop;
	long		count[MAX_CLIENTS];
	double		elapsed[MAX_CLIENTS];
	float		samples[];		/* MAX_SAMPLES for each client */
} Shared;

static const char *conninfo = "";
static const char *redis_socket;
static const char *way = "plain";
static const char *table = "products";
static Workload workload = UPDATE;
static int	clients = 1;
static double seconds = 3;
static long count_limit = 0;
static long nrows = 100000;

static bool caching;			/* the client writes the cache itself */
static bool tagging;
static PGconn *pg;
static redisContext *rd;
static Shared *shared;
static int	pending;			/* Redis replies not read yet */
static char tag_key[128];
static struct drand48_data dice;

static long
roll(long n)
{
	double		x;

	drand48_r(&dice, &x);
	return (long) (x * n);
}

/* ------------------------------------------------------------------------
 * Redis, as a careful application would use it
 * ------------------------------------------------------------------------
 */
static void
redis_send(int argc, const char **argv, const size_t *lens)
{
	if (redisAppendCommandArgv(rd, argc, argv, lens) != REDIS_OK)
		die("redis: %s", rd->errstr);
	pending++;
}

static void
redis_flush(void)
{
	int			done = 0;

	while (!done)
		if (redisBufferWrite(rd, &done) != REDIS_OK)
			die("redis: %s", rd->errstr);
}

static void
redis_finish(int leave)
{
	while (pending > leave)
	{
		redisReply *reply;

		if (redisGetReply(rd, (void **) &reply) != REDIS_OK)
			die("redis: %s", rd->errstr);
		if (reply->type == REDIS_REPLY_ERROR)
			die("redis: %s", reply->str);
		freeReplyObject(reply);
		pending--;
	}
}

static char *
append_json(char *to, const char *name, const char *text, bool quoted)
{
	to += sprintf(to, "\"%s\":", name);
	if (quoted)
		*to++ = '"';
	for (; *text; text++)
	{
		if ((unsigned char) *text < ' ')
		{
			to += sprintf(to, "\\u%04x", *text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	if (quoted)
		*to++ = '"';
	return to;
}

static size_t
make_image(char *image, const PGresult *res, int row)
{
	char	   *to = image;

	*to++ = '{';
	for (int i = 0; i < NCOLUMNS; i++)
	{
		if (i > 0)
			*to++ = ',';
		to = append_json(to, column_names[i], PQgetvalue(res, row, i),
						 column_quoted[i]);
	}
	*to++ = '}';
	return to - image;
}

static void
send_set(const PGresult *res, int row, const char *key)
{
	char		image[IMAGE_SIZE];
	const char *argv[5] = {"SET", key, image, "EX", ENTRY_TTL};
	size_t		lens[5] = {3, strlen(key), 0, 2, strlen(ENTRY_TTL)};

	lens[2] = make_image(image, res, row);
	redis_send(5, argv, lens);
}

static void
make_key(char *key, size_t size, const PGresult *res, int row)
{
	snprintf(key, size, "%s:%s", table, PQgetvalue(res, row, 0));
}

static void
send_tag_life(void)
{
	const char *argv[3] = {"EXPIRE", tag_key, TAG_TTL};

	redis_send(3, argv, NULL);
}

/* One row's entry. */
static void
cache_row(const PGresult *res)
{
	char		key[64];

	make_key(key, sizeof(key), res, 0);
	send_set(res, 0, key);
	if (tagging)
	{
		const char *sadd[3] = {"SADD", tag_key, key};

		redis_send(3, sadd, NULL);
		send_tag_life();
	}
}

/*
 * Every row's entry: batches of SETs and one SADD for each, the next batch
 * being built while the server works on the one before.
 */
static void
cache_rows(const PGresult *res)
{
	static char keys[BULK_BATCH][64];
	const char *sadd[BULK_BATCH + 2] = {"SADD", tag_key};
	int			n = PQntuples(res);

	for (int first = 0; first < n; first += BULK_BATCH)
	{
		int			last = first + BULK_BATCH < n ? first + BULK_BATCH : n;
		int			before = pending;

		for (int row = first; row < last; row++)
		{
			char	   *key = keys[row - first];

			make_key(key, sizeof(keys[0]), res, row);
			send_set(res, row, key);
			sadd[row - first + 2] = key;
		}
		if (tagging)
			redis_send(last - first + 2, sadd, NULL);
		redis_flush();
		redis_finish(pending - before);
	}
	if (tagging)
		send_tag_life();
	redis_finish(0);
}

/* ------------------------------------------------------------------------
 * PostgreSQL
 * ------------------------------------------------------------------------
 */
static void
check(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die("postgres: %s", PQerrorMessage(pg));
}

static void
prepare(const char *name, const char *sql)
{
	PGresult   *res = PQprepare(pg, name, sql, 0, NULL);

	check(res);
	PQclear(res);
}

static PGresult *
execute(const char *name, int nparams, const char *const *params)
{
	PGresult   *res = PQexecPrepared(pg, name, nparams, params,
									 NULL, NULL, 0);

	check(res);
	return res;
}

static void
connect_all(void)
{
	const char *returning = caching ? " RETURNING " COLUMNS : "";
	char		sql[1024];

	pg = PQconnectdb(conninfo);
	if (PQstatus(pg) != CONNECTION_OK)
		die("postgres: %s", PQerrorMessage(pg));
	if (caching)
	{
		rd = redisConnectUnix(redis_socket);
		if (rd == NULL || rd->err)
			die("redis: %s", rd ? rd->errstr : "out of memory");
	}
	snprintf(tag_key, sizeof(tag_key), "tag:%s", table);

	snprintf(sql, sizeof(sql), "UPDATE %s SET price = $2, stock = $3,"
			 " updated_at = now() WHERE id = $1%s", table, returning);
	prepare("update", sql);
	snprintf(sql, sizeof(sql), "INSERT INTO %s"
			 " (name, price, stock, description, updated_at)"
			 " VALUES ($1, $2, $3, repeat('lorem ipsum dolor si', 10), now())%s",
			 table, returning);
	prepare("insert", sql);
	snprintf(sql, sizeof(sql), "UPDATE %s SET price = price + 0.01,"
			 " updated_at = now()%s", table, returning);
	prepare("bulk", sql);
	prepare("begin", "BEGIN");
	prepare("commit", "COMMIT");
}

static PGresult *
update_row(long id)
{
	char		id_text[24];
	char		price[24];
	char		stock[24];
	const char *params[3] = {id_text, price, stock};

	snprintf(id_text, sizeof(id_text), "%ld", id);
	snprintf(price, sizeof(price), "%ld.%02ld", 1 + roll(999), roll(100));
	snprintf(stock, sizeof(stock), "%ld", roll(1000));
	return execute("update", 3, params);
}

static PGresult *
insert_row(void)
{
	char		name[32];
	char		price[24];
	char		stock[24];
	const char *params[3] = {name, price, stock};

	snprintf(name, sizeof(name), "Product %ld", roll(1000000));
	snprintf(price, sizeof(price), "%ld.%02ld", 1 + roll(999), roll(100));
	snprintf(stock, sizeof(stock), "%ld", roll(1000));
	return execute("insert", 3, params);
}

static int
compare_longs(const void *a, const void *b)
{
	long		x = *(const long *) a;
	long		y = *(const long *) b;

	return (x > y) - (x < y);
}

static void
ten_updates(void)
{
	long		ids[10];
	PGresult   *res[10];

	for (int i = 0; i < 10; i++)
		ids[i] = 1 + roll(nrows);
	qsort(ids, 10, sizeof(long), compare_longs);	/* no deadlocks */

	PQclear(execute("begin", 0, NULL));
	for (int i = 0; i < 10; i++)
		res[i] = update_row(ids[i]);
	PQclear(execute("commit", 0, NULL));
	for (int i = 0; i < 10; i++)
	{
		if (caching)
			cache_row(res[i]);
		PQclear(res[i]);
	}
	if (caching)
		redis_finish(0);
}

static void
transaction(void)
{
	PGresult   *res;

	switch (workload)
	{
		case UPDATE:
			res = update_row(1 + roll(nrows));
			break;
		case HOT:
			res = update_row(1 + roll(10));
			break;
		case INSERT:
			res = insert_row();
			break;
		case BULK:
			res = execute("bulk", 0, NULL);
			if (caching)
				cache_rows(res);
			PQclear(res);
			return;
		case TEN:
			ten_updates();
			return;
		default:
			abort();
	}
	if (caching)
	{
		cache_row(res);
		redis_finish(0);
	}
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * Clients and their sum
 * ------------------------------------------------------------------------
 */
static void
client(int number, long seed)
{
	float	   *samples = &shared->samples[(size_t) number * MAX_SAMPLES];
	double		start;
	double		last;
	long		n = 0;

	srand48_r(seed * 1000 + number, &dice);
	connect_all();
	for (int i = 0; i < (workload == BULK ? 0 : WARMUP); i++)
		transaction();
	shared->ready++;
	while (!shared->go)
		usleep(200);

	start = last = now_us();
	while (!shared->stop && n < MAX_SAMPLES &&
		   (count_limit == 0 || n < count_limit))
	{
		double		now;

		transaction();
		now = now_us();
		samples[n++] = now - last;
		last = now;
	}
	shared->count[number] = n;
	shared->elapsed[number] = last - start;
	PQfinish(pg);
	if (rd)
		redisFree(rd);
}

static int
compare_floats(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x > y) - (x < y);
}

static void
report(void)
{
	float	   *all = shared->samples;
	double		tps = 0;
	size_t		n = 0;

	for (int i = 0; i < clients; i++)
	{
		memmove(&all[n], &shared->samples[(size_t) i * MAX_SAMPLES],
				shared->count[i] * sizeof(float));
		n += shared->count[i];
		tps += shared->count[i] / (shared->elapsed[i] / 1e6);
	}
	if (n == 0)
		die("no transaction was completed");
	qsort(all, n, sizeof(float), compare_floats);
	printf("tps=%.2f n=%zu p50=%.0f p95=%.0f p99=%.0f\n", tps, n,
		   all[(size_t) (0.50 * (n - 1))], all[(size_t) (0.95 * (n - 1))],
		   all[(size_t) (0.99 * (n - 1))]);
}

static void
run(void)
{
	long		seed = time(NULL) ^ getpid();
	int			status;
	int			running = clients;

	for (int i = 0; i < clients; i++)
	{
		pid_t		pid = fork();

		if (pid < 0)
			die("could not fork: %s", strerror(errno));
		if (pid == 0)
		{
			client(i, seed);
			_exit(0);
		}
	}
	while (shared->ready < clients)
	{
		if (waitpid(-1, &status, WNOHANG) > 0)
		{
			shared->go = shared->stop = true;
			die("a client failed to start");
		}
		usleep(1000);
	}
	shared->go = true;
	if (count_limit == 0)
	{
		usleep(seconds * 1e6);
		shared->stop = true;
	}
	while (running-- > 0)
		if (wait(&status) < 0 || status != 0)
		{
			shared->stop = true;
			die("a client failed");
		}
}

static Workload
parse_workload(const char *name)
{
	static const char *const names[] = {
		"update", "insert", "ten", "hot", "bulk"
	};

	for (int i = 0; i <= BULK; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	die("unknown workload \"%s\"", name);
	return UPDATE;
}

int
main(int argc, char **argv)
{
	int			opt;

	while ((opt = getopt(argc, argv, "d:s:m:b:w:c:t:n:r:")) != -1)
		switch (opt)
		{
			case 'd':
				conninfo = optarg;
				break;
			case 's':
				redis_socket = optarg;
				break;
			case 'm':
				way = optarg;
				break;
			case 'b':
				table = optarg;
				break;
			case 'w':
				workload = parse_workload(optarg);
				break;
			case 'c':
				clients = atoi(optarg);
				break;
			case 't':
				seconds = atof(optarg);
				break;
			case 'n':
				count_limit = atol(optarg);
				break;
			case 'r':
				nrows = atol(optarg);
				break;
			default:
				die("usage: load -d conninfo -s redis-socket -m way -b table "
					"-w workload [-c clients] [-t seconds | -n transactions] "
					"[-r rows]");
		}
	tagging = strcmp(way, "app") == 0;
	caching = tagging || strcmp(way, "app_set") == 0;
	if (!caching && strcmp(way, "plain") != 0 && strcmp(way, "wtcache") != 0)
		die("unknown way \"%s\"", way);
	if (caching && redis_socket == NULL)
		die("this way needs a Redis socket");
	if (clients < 1 || clients > MAX_CLIENTS)
		die("1 to %d clients", MAX_CLIENTS);
	if (workload == BULK && count_limit == 0)
		count_limit = 1;

	shared = mmap(NULL, sizeof(Shared) +
				  (size_t) clients * MAX_SAMPLES * sizeof(float),
				  PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared == MAP_FAILED)
		die("could not map shared memory: %s", strerror(errno));
	run();
	report();
	return 0;
}
