/*-------------------------------------------------------------------------
 *
 * lag.c
 *	  How long after the commit has returned is the change in Redis?
 *
 *	lag -d conninfo -s redis-socket -b table -r rate -n transactions
 *
 * One client updates row after row at a fixed rate, in async mode or whatever
 * mode -m names.  A process of its own listens to what Redis says about keys
 * being set, so that nobody polls.  Each row is updated once, and so its key
 * is set once: from the end of the COMMIT to this notice it is the lag.  One
 * that comes before the COMMIT has returned counts as 0.
 *
 * The Redis server must have notify-keyspace-events "E$".
 *
 *-------------------------------------------------------------------------
 */
#include <signal.h>
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

#include "../common.h"

#define CHANNEL		"__keyevent@0__:set"

/* patience with the last notices */
#define WAIT_US		(30 * 1000 * 1000)

/* Shared by the two processes. */
typedef struct Shared
{
	atomic_bool ready;
	atomic_long seen;
	double		visible[];		/* by row, in microseconds */
} Shared;

static const char *conninfo = "";
static const char *redis_socket;
static const char *table = "products";
static const char *mode = "async";
static double rate = 500;
static long transactions = 1000;
static Shared *shared;

static void
sleep_until(double us)
{
	struct timespec ts = {
		.tv_sec = (time_t) (us / 1e6),
		.tv_nsec = (long) (us - (double) (time_t) (us / 1e6) * 1e6) * 1000
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
		continue;
}

/* The row that a key belongs to, or 0. */
static long
row_of(const char *key)
{
	size_t		len = strlen(table);
	long		row;

	if (strncmp(key, table, len) != 0 || key[len] != ':')
		return 0;
	row = atol(key + len + 1);
	return row <= transactions ? row : 0;
}

static void
listen_to_redis(void)
{
	redisContext *rd = redisConnectUnix(redis_socket);
	redisReply *reply;

	if (rd == NULL || rd->err)
		die("redis: %s", rd ? rd->errstr : "out of memory");
	reply = redisCommand(rd, "SUBSCRIBE " CHANNEL);
	if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
		die("redis: %s", reply ? reply->str : rd->errstr);
	freeReplyObject(reply);
	shared->ready = true;
	while (redisGetReply(rd, (void **) &reply) == REDIS_OK)
	{
		double		now = now_us();
		long		row = 0;

		if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
			reply->element[2]->type == REDIS_REPLY_STRING)
			row = row_of(reply->element[2]->str);
		if (row > 0 && shared->visible[row] == 0)
		{
			shared->visible[row] = now;
			shared->seen++;
		}
		freeReplyObject(reply);
	}
	die("redis: %s", rd->errstr);
}

static void
execute(PGconn *pg, const char *sql)
{
	PGresult   *res = PQexec(pg, sql);

	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		die("postgres: %s", PQerrorMessage(pg));
	PQclear(res);
}

static PGconn *
connect_pg(void)
{
	PGconn	   *pg = PQconnectdb(conninfo);
	char		sql[256];
	PGresult   *res;

	if (PQstatus(pg) != CONNECTION_OK)
		die("postgres: %s", PQerrorMessage(pg));
	snprintf(sql, sizeof(sql), "SET wtcache.mode = %s", mode);
	execute(pg, sql);
	snprintf(sql, sizeof(sql), "UPDATE %s SET stock = stock + 1,"
			 " updated_at = now() WHERE id = $1", table);
	res = PQprepare(pg, "update", sql, 0, NULL);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		die("postgres: %s", PQerrorMessage(pg));
	PQclear(res);
	return pg;
}

static void
update_rows(double *returned)
{
	PGconn	   *pg = connect_pg();
	double		start = now_us();

	for (long row = 1; row <= transactions; row++)
	{
		char		id[24];
		const char *params[1] = {id};
		PGresult   *res;

		sleep_until(start + row * 1e6 / rate);
		snprintf(id, sizeof(id), "%ld", row);
		res = PQexecPrepared(pg, "update", 1, params, NULL, NULL, 0);
		returned[row] = now_us();
		if (PQresultStatus(res) != PGRES_COMMAND_OK)
			die("postgres: %s", PQerrorMessage(pg));
		if (strcmp(PQcmdTuples(res), "1") != 0)
			die("there is no row %ld", row);
		PQclear(res);
	}
	printf("rate=%.0f ", transactions / ((now_us() - start) / 1e6));
	PQfinish(pg);
}

static void
report(const double *returned)
{
	double	   *lag = calloc(transactions, sizeof(double));
	long		n = transactions;
	double		deadline = now_us() + WAIT_US;

	while (shared->seen < n && now_us() < deadline)
		usleep(10000);
	if (shared->seen < n)
		die("%ld of %ld changes never came", n - shared->seen, n);
	for (long i = 0; i < n; i++)
	{
		double		us = shared->visible[i + 1] - returned[i + 1];

		lag[i] = us > 0 ? us : 0;
	}
	qsort(lag, n, sizeof(double), compare_doubles);
	printf("n=%ld p50=%.0f p99=%.0f max=%.0f\n", n, lag[(n - 1) / 2],
		   lag[(long) (0.99 * (n - 1))], lag[n - 1]);
}

int
main(int argc, char **argv)
{
	int			opt;
	int			status;
	pid_t		listener;
	double	   *returned;

	while ((opt = getopt(argc, argv, "d:s:b:m:r:n:")) != -1)
		switch (opt)
		{
			case 'd':
				conninfo = optarg;
				break;
			case 's':
				redis_socket = optarg;
				break;
			case 'b':
				table = optarg;
				break;
			case 'm':
				mode = optarg;
				break;
			case 'r':
				rate = atof(optarg);
				break;
			case 'n':
				transactions = atol(optarg);
				break;
			default:
				die("usage: lag -d conninfo -s redis-socket [-b table] "
					"[-m mode] [-r rate] [-n transactions]");
		}
	if (redis_socket == NULL || rate <= 0 || transactions < 1)
		die("a Redis socket, a rate and a number of transactions are needed");

	returned = calloc(transactions + 1, sizeof(double));
	shared = mmap(NULL, sizeof(Shared) + (transactions + 1) * sizeof(double),
				  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || returned == NULL)
		die("out of memory");
	listener = fork();
	if (listener == 0)
		listen_to_redis();
	while (listener > 0 && !shared->ready)
	{
		if (waitpid(listener, &status, WNOHANG) != 0)
			die("no listener");
		usleep(1000);
	}
	update_rows(returned);
	report(returned);
	kill(listener, SIGTERM);
	waitpid(listener, &status, 0);
	return 0;
}
