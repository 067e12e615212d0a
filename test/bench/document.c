/*-------------------------------------------------------------------------
 *
 * document.c
 *	  Benchmark of documents: an order with ten items, changed in one transaction.
 *
 *	cc -O2 -I$(pg_config --includedir) -o document document.c -lpq -lhiredis
 *	document WAY CONNINFO REDIS_SOCKET [CLIENTS [SECONDS]]
 *
 * The ways:
 *
 *	setup		makes the tables, and 10,000 orders
 *	plain		the transaction alone: UPDATE of an order and of two of its items
 *	wtcache		the same; attaches the document before, so that Redis has it
 *	app			what an ORM does, Prisma for one: the same transaction, then the
 *				order and its items are read back by two queries, and a program
 *				writes the document to Redis by SET with EX
 *
 * Prints transactions per second, and the latency in microseconds that a client
 * waits until it may go on.  What the program makes is a value that another
 * transaction may overtake on its way: it does less, and costs two round trips more.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "cache.h"

#define ORDERS		10000
#define ITEMS		10
#define MAX_SAMPLES	1000000

typedef enum Way
{
	PLAIN,
	WTCACHE,
	APP
} Way;

static PGconn *conn;

static PGresult *
query(const char *sql, int n, const char *const *values)
{
	PGresult   *res = PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);

	if (PQresultStatus(res) != PGRES_COMMAND_OK &&
		PQresultStatus(res) != PGRES_TUPLES_OK)
		die("%s: %s", sql, PQerrorMessage(conn));
	return res;
}

static void
run(const char *sql)
{
	PGresult   *res = PQexec(conn, sql);

	if (PQresultStatus(res) != PGRES_COMMAND_OK &&
		PQresultStatus(res) != PGRES_TUPLES_OK)
		die("%s: %s", sql, PQerrorMessage(conn));
	PQclear(res);
}

static void
setup(void)
{
	run("CREATE EXTENSION IF NOT EXISTS wtcache;"
		"DROP TABLE IF EXISTS bench_item, bench_order CASCADE;"
		"CREATE TABLE bench_order (id int PRIMARY KEY, note text, total int);"
		"CREATE TABLE bench_item (id int PRIMARY KEY, order_id int, product text, qty int);"
		"INSERT INTO bench_order SELECT i, 'note ' || i, 0 FROM generate_series(1, 10000) i;"
		"INSERT INTO bench_item SELECT i, i / 10 + 1, 'product ' || i, 1"
		" FROM generate_series(0, 99999) i;"
		"CREATE INDEX ON bench_item (order_id)");
	run("VACUUM ANALYZE bench_order, bench_item");
}

/* Both ways leave the other one out of the tables' triggers. */
static void
attach(Way way)
{
	run("DO $$ BEGIN PERFORM wtcache.detach_document(name) FROM wtcache.documents"
		" WHERE name = 'bench'; END $$");
	if (way != WTCACHE)
		return;
	run("SELECT wtcache.attach_document('bench', 'bench_order', $$"
		"SELECT jsonb_build_object('id', o.id, 'note', o.note, 'total', o.total, 'items',"
		" (SELECT jsonb_agg(jsonb_build_object('id', i.id, 'product', i.product, 'qty', i.qty) ORDER BY i.id)"
		" FROM bench_item i WHERE i.order_id = o.id)) FROM bench_order o WHERE o.id = $1$$)");
	run("SELECT wtcache.attach_part('bench', 'bench_item', 'order_id')");
}

/* Reads the order back, and writes what it is by then. */
static void
write_cache(const char *id)
{
	const char *values[1] = {id};
	PGresult   *order = query("SELECT id, note, total FROM bench_order WHERE id = $1",
							  1, values);
	PGresult   *items = query("SELECT id, order_id, product, qty FROM bench_item"
							  " WHERE order_id IN ($1) ORDER BY id", 1, values);
	char		key[KEY_SIZE];
	char		json[IMAGE_SIZE * 2];
	int			len;
	redisReply *reply;

	len = snprintf(json, sizeof(json), "{\"id\":%s,\"note\":\"%s\",\"total\":%s,\"items\":[",
				   PQgetvalue(order, 0, 0), PQgetvalue(order, 0, 1),
				   PQgetvalue(order, 0, 2));
	for (int i = 0; i < PQntuples(items); i++)
		len += snprintf(json + len, sizeof(json) - len,
						"%s{\"id\":%s,\"product\":\"%s\",\"qty\":%s}",
						i > 0 ? "," : "", PQgetvalue(items, i, 0),
						PQgetvalue(items, i, 2), PQgetvalue(items, i, 3));
	len += snprintf(json + len, sizeof(json) - len, "]}");
	snprintf(key, sizeof(key), "bench_app:%s", id);
	reply = redisCommand(rd, "SET %s %b EX " ENTRY_TTL, key, json, (size_t) len);
	if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
		die("redis: %s", reply ? reply->str : rd->errstr);
	freeReplyObject(reply);
	PQclear(order);
	PQclear(items);
}

static void
transaction(Way way, unsigned int *seed)
{
	char		id[16];
	char		first[16];
	char		second[16];
	int			order = rand_r(seed) % ORDERS + 1;
	const char *values[2] = {first, second};
	const char *root[1] = {id};

	snprintf(id, sizeof(id), "%d", order);
	snprintf(first, sizeof(first), "%d", (order - 1) * ITEMS + rand_r(seed) % 5);
	snprintf(second, sizeof(second), "%d",
			 (order - 1) * ITEMS + 5 + rand_r(seed) % 5);
	run("BEGIN");
	PQclear(query("UPDATE bench_order SET total = total + 1 WHERE id = $1", 1, root));
	PQclear(query("UPDATE bench_item SET qty = qty + 1 WHERE id IN ($1, $2)",
				  2, values));
	run("COMMIT");
	if (way == APP)
		write_cache(id);
}

/* One client: its count of transactions and their latencies go to the pipe. */
static void
client(Way way, const char *conninfo, const char *socket, double seconds,
	   unsigned int seed, FILE *out)
{
	double	   *samples = malloc(sizeof(double) * MAX_SAMPLES);
	double		end;
	int			n = 0;

	conn = PQconnectdb(conninfo);
	if (PQstatus(conn) != CONNECTION_OK)
		die("%s", PQerrorMessage(conn));
	if (way == APP)
		redis_connect(socket);
	for (int i = 0; i < 50; i++)
		transaction(way, &seed);
	end = now_us() + seconds * 1e6;
	while (now_us() < end && n < MAX_SAMPLES)
	{
		double		begun = now_us();

		transaction(way, &seed);
		samples[n++] = now_us() - begun;
	}
	fwrite(&n, sizeof(n), 1, out);
	fwrite(samples, sizeof(double), n, out);
	fclose(out);
	PQfinish(conn);
	exit(0);
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {"plain", "wtcache", "app"};
	Way			way = PLAIN;
	int			clients = argc > 4 ? atoi(argv[4]) : 4;
	double		seconds = argc > 5 ? atof(argv[5]) : 5;
	double	   *all = malloc(sizeof(double) * MAX_SAMPLES);
	double		sum = 0;
	int			n = 0;
	FILE	  **pipes = malloc(sizeof(FILE *) * clients);

	if (argc < 4)
		die("document setup|plain|wtcache|app CONNINFO REDIS_SOCKET [CLIENTS [SECONDS]]");
	conn = PQconnectdb(argv[2]);
	if (PQstatus(conn) != CONNECTION_OK)
		die("%s", PQerrorMessage(conn));
	if (strcmp(argv[1], "setup") == 0)
	{
		setup();
		return 0;
	}
	while (way < APP && strcmp(argv[1], names[way]) != 0)
		way++;
	if (strcmp(argv[1], names[way]) != 0)
		die("no such way: %s", argv[1]);
	attach(way);
	PQfinish(conn);

	for (int i = 0; i < clients; i++)
	{
		int			fds[2];

		if (pipe(fds) != 0)
			die("no pipe");
		if (fork() == 0)
			client(way, argv[2], argv[3], seconds, i + 1, fdopen(fds[1], "w"));
		close(fds[1]);
		pipes[i] = fdopen(fds[0], "r");
	}
	for (int i = 0; i < clients; i++)
	{
		int			count = 0;

		if (fread(&count, sizeof(count), 1, pipes[i]) != 1)
			die("a client has failed");
		if (count > MAX_SAMPLES - n)
			count = MAX_SAMPLES - n;
		n += (int) fread(all + n, sizeof(double), count, pipes[i]);
		fclose(pipes[i]);
	}
	while (wait(NULL) > 0)
		continue;
	qsort(all, n, sizeof(double), compare_doubles);
	for (int i = 0; i < n; i++)
		sum += all[i];
	printf("%s: %.0f transactions/s, mean %.0f us, p50 %.0f, p99 %.0f\n", names[way],
		   n / seconds, sum / n, all[n / 2], all[(int) (n * 0.99)]);
	return 0;
}
