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
 *	plain			statements only
 *	app				the same with RETURNING, then SET with EX, SADD of a tag
 *					and EXPIRE of it in one pipeline after the commit
 *	app_bt			the same, single statements being between BEGIN and COMMIT
 *
 *	update			one-row UPDATE of a random row
 *	insert			one-row INSERT
 *	ten				BEGIN, ten UPDATEs, COMMIT
 *	hot				one-row UPDATE of one of ten rows
 *	bulk			one UPDATE of the whole table; -n says how often
 *
 * -f is for ways in which another process writes Redis after the commit: a
 * statement that returns when Redis holds all that was committed.  It is
 * executed once when all clients have finished, and its time counts.  Two more
 * figures are then printed: "committed", the transactions per second without
 * it, and "lag", the milliseconds that it took.
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

#include "cache.h"

#define MAX_CLIENTS		64
#define MAX_SAMPLES		(2 * 1024 * 1024)	/* per client */
#define WARMUP			50			/* transactions before the clock starts */

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

static const char *finish;		/* statement, or NULL */
static bool caching;			/* the client writes the cache itself */
static bool in_block;			/* between BEGIN and COMMIT */
static PGconn *pg;
static Shared *shared;
static Tag	tag;
static struct drand48_data dice;

static long
roll(long n)
{
	double		x;

	drand48_r(&dice, &x);
	return (long) (x * n);
}

/* ------------------------------------------------------------------------
 * Redis
 * ------------------------------------------------------------------------
 */
static void
cache_row(const PGresult *res, int row)
{
	char		key[KEY_SIZE];
	char		image[IMAGE_SIZE] = "{";
	char	   *to = image + 1;

	for (int i = 0; i < NCOLUMNS; i++)
		to = append_json(to, column_names[i], PQgetvalue(res, row, i),
						 PQgetlength(res, row, i), column_quoted[i]);
	*to++ = '}';
	snprintf(key, sizeof(key), "%s:%s", table, PQgetvalue(res, row, 0));
	send_set(&tag, key, image, to - image);
}

/*
 * Every row's entry: batches of SETs and one SADD for each, the next batch
 * being built while the server works on the one before.
 */
static void
cache_rows(const PGresult *res)
{
	int			n = PQntuples(res);

	for (int first = 0; first < n; first += BATCH)
	{
		int			before = pending;

		for (int row = first; row < n && row < first + BATCH; row++)
			cache_row(res, row);
		send_tag(&tag);
		redis_flush();
		redis_finish(pending - before);
	}
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
connect_pg(void)
{
	pg = PQconnectdb(conninfo);
	if (PQstatus(pg) != CONNECTION_OK)
		die("postgres: %s", PQerrorMessage(pg));
}

static void
connect_all(void)
{
	const char *returning = caching ? " RETURNING " COLUMNS : "";
	char		sql[1024];

	connect_pg();
	if (caching)
		redis_connect(redis_socket);
	snprintf(tag.name, sizeof(tag.name), "tag:%s", table);

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
		{
			cache_row(res[i], 0);
			send_tag(&tag);
		}
		PQclear(res[i]);
	}
	if (caching)
		redis_finish(0);
}

static PGresult *
statement(void)
{
	switch (workload)
	{
		case UPDATE:
			return update_row(1 + roll(nrows));
		case HOT:
			return update_row(1 + roll(10));
		case INSERT:
			return insert_row();
		case BULK:
			return execute("bulk", 0, NULL);
		case TEN:
			break;
	}
	abort();
}

static void
transaction(void)
{
	PGresult   *res;

	if (workload == TEN)
	{
		ten_updates();
		return;
	}
	if (in_block)
		PQclear(execute("begin", 0, NULL));
	res = statement();
	if (in_block)
		PQclear(execute("commit", 0, NULL));
	if (caching)
	{
		cache_rows(res);
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
report(double start)
{
	float	   *all = shared->samples;
	double		stopped = now_us();
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
	if (finish)
	{
		double		finished;

		PQclear(execute("finish", 0, NULL));
		finished = now_us();
		printf("committed=%.2f lag=%.1f ", tps, (finished - stopped) / 1e3);
		tps = n / ((finished - start) / 1e6);
	}
	qsort(all, n, sizeof(float), compare_floats);
	printf("tps=%.2f n=%zu p50=%.0f p95=%.0f p99=%.0f\n", tps, n,
		   all[(size_t) (0.50 * (n - 1))], all[(size_t) (0.95 * (n - 1))],
		   all[(size_t) (0.99 * (n - 1))]);
}

/* Returns when it began. */
static double
run(void)
{
	long		seed = time(NULL) ^ getpid();
	double		start;
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
	if (finish)
	{
		connect_pg();
		prepare("finish", finish);
	}
	start = now_us();
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
	return start;
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

	while ((opt = getopt(argc, argv, "d:s:m:b:w:c:t:n:r:f:")) != -1)
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
			case 'f':
				finish = optarg;
				break;
			default:
				die("usage: load -d conninfo -s redis-socket -m way -b table "
					"-w workload [-c clients] [-t seconds | -n transactions] "
					"[-r rows] [-f statement]");
		}
	in_block = strcmp(way, "app_bt") == 0;
	caching = in_block || strcmp(way, "app") == 0;
	if (!caching && strcmp(way, "plain") != 0)
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
	report(run());
	return 0;
}
