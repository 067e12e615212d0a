/*-------------------------------------------------------------------------
 *
 * cdc.c
 *	  A consumer of logical decoding that writes Redis, for the benchmark.
 *
 *	cdc -d conninfo -s redis-socket -p publication
 *
 * Reads the publication through pgoutput and a temporary slot, and writes the
 * rows that are inserted or updated: SET with EX for each, and for the rows of
 * a table that are in one pipeline one SADD and one EXPIRE.  A pipeline is
 * sent when it is full or when the server has sent nothing more; so rows are
 * not kept waiting, and many share a pipeline under load.
 *
 * A position is confirmed to the server when Redis has answered for all that
 * comes before it, at most CONFIRM_US later: the slot's confirmed_flush_lsn
 * says what is in Redis.
 *
 *-------------------------------------------------------------------------
 */
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "cache.h"

#define CONFIRM_US		10000
#define MAX_TABLES		8
#define MAX_COLUMNS		16
#define NAME_SIZE		64

/* types that are numbers in JSON */
#define INT8OID			20
#define INT4OID			23
#define NUMERICOID		1700

typedef struct Table
{
	uint32_t	oid;
	char		name[NAME_SIZE];
	int			ncolumns;
	char		columns[MAX_COLUMNS][NAME_SIZE];
	bool		quoted[MAX_COLUMNS];
	Tag			tag;
} Table;

static PGconn *pg;
static Table tables[MAX_TABLES];
static int	ntables;
static uint64_t position;		/* all before it has been received */
static uint64_t confirmed;
static const char *at;			/* what of a message is read next */

/* ------------------------------------------------------------------------
 * Reading a message
 * ------------------------------------------------------------------------
 */
static int
get_byte(void)
{
	return (unsigned char) *at++;
}

static uint64_t
get_int(int bytes)
{
	uint64_t	value = 0;

	while (bytes-- > 0)
		value = value << 8 | get_byte();
	return value;
}

static void
get_name(char *name)
{
	snprintf(name, NAME_SIZE, "%s", at);
	at += strlen(at) + 1;
}

static Table *
find_table(uint32_t oid)
{
	for (int i = 0; i < ntables; i++)
		if (tables[i].oid == oid)
			return &tables[i];
	return NULL;
}

/* A table's columns, sent before its first row and after a change of it. */
static void
get_relation(void)
{
	uint32_t	oid = get_int(4);
	Table	   *table = find_table(oid);
	char		schema[NAME_SIZE];

	if (table == NULL && ntables == MAX_TABLES)
		die("too many tables");
	if (table == NULL)
		table = &tables[ntables++];
	table->oid = oid;
	get_name(schema);
	get_name(table->name);
	snprintf(table->tag.name, sizeof(table->tag.name), "tag:%s", table->name);
	get_byte();					/* replica identity */
	table->ncolumns = get_int(2);
	if (table->ncolumns > MAX_COLUMNS)
		die("table \"%s\" has too many columns", table->name);
	for (int i = 0; i < table->ncolumns; i++)
	{
		uint32_t	type;

		get_byte();				/* flags */
		get_name(table->columns[i]);
		type = get_int(4);
		table->quoted[i] =
			type != INT8OID && type != INT4OID && type != NUMERICOID;
		get_int(4);				/* typmod */
	}
}

/* A new row; the first column is its key. */
static void
get_row(void)
{
	Table	   *table = find_table(get_int(4));
	char		key[KEY_SIZE];
	char		image[IMAGE_SIZE] = "{";
	char	   *to = image + 1;

	if (table == NULL || get_byte() != 'N' || get_int(2) != table->ncolumns)
		die("unexpected message for a row");
	for (int i = 0; i < table->ncolumns; i++)
	{
		int			len;

		if (get_byte() != 't')
			die("unexpected value in table \"%s\"", table->name);
		len = get_int(4);
		if (i == 0)
			snprintf(key, sizeof(key), "%s:%.*s", table->name, len, at);
		to = append_json(to, table->columns[i], at, len, table->quoted[i]);
		at += len;
	}
	*to++ = '}';
	send_set(&table->tag, key, image, to - image);
}

/* ------------------------------------------------------------------------
 * Redis, and confirming
 * ------------------------------------------------------------------------
 */

/* Until Redis has answered for all rows received. */
static void
finish_pipeline(void)
{
	for (int i = 0; i < ntables; i++)
		send_tag(&tables[i].tag);
	redis_finish(0);
}

static char *
put_int64(char *to, uint64_t value)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		*to++ = value >> shift;
	return to;
}

/* Only with all rows received in Redis. */
static void
confirm(void)
{
	char		message[34] = "r";
	char	   *to = message + 1;

	to = put_int64(to, position);	/* written */
	to = put_int64(to, position);	/* flushed */
	to = put_int64(to, position);	/* applied */
	put_int64(to, 0);			/* the time, which nothing looks at; and no
								 * reply is asked for */
	if (PQputCopyData(pg, message, sizeof(message)) <= 0 || PQflush(pg) != 0)
		die("postgres: %s", PQerrorMessage(pg));
	confirmed = position;
}

static void
message(const char *data)
{
	at = data;
	if (get_byte() == 'k')
	{
		position = get_int(8);
		return;
	}
	at += 24;					/* two positions and the time */
	switch (get_byte())
	{
		case 'R':
			get_relation();
			break;
		case 'I':
		case 'U':
			get_row();
			break;
		case 'C':
			at += 9;			/* flags, start of the commit record */
			position = get_int(8);
			break;
		default:				/* BEGIN, for example */
			break;
	}
}

static void
consume(void)
{
	double		last = 0;		/* when a position was confirmed */

	for (;;)
	{
		char	   *data;
		int			len = PQgetCopyData(pg, &data, true);
		struct pollfd fd = {.fd = PQsocket(pg), .events = POLLIN};

		if (len < 0)
			die("postgres: %s", PQerrorMessage(pg));
		if (len > 0)
		{
			message(data);
			PQfreemem(data);
			if (pending < BATCH)
				continue;
		}
		finish_pipeline();
		if (position != confirmed && now_us() - last >= CONFIRM_US)
		{
			confirm();
			last = now_us();
		}
		if (len > 0)
			continue;
		if (poll(&fd, 1, position != confirmed ? CONFIRM_US / 1000 : -1) > 0 &&
			!PQconsumeInput(pg))
			die("postgres: %s", PQerrorMessage(pg));
	}
}

static void
start_replication(const char *conninfo, const char *publication)
{
	char		sql[256];
	PGresult   *res;

	snprintf(sql, sizeof(sql), "%s replication=database", conninfo);
	pg = PQconnectdb(sql);
	if (PQstatus(pg) != CONNECTION_OK)
		die("postgres: %s", PQerrorMessage(pg));
	res = PQexec(pg, "CREATE_REPLICATION_SLOT cdc TEMPORARY LOGICAL pgoutput"
				 " NOEXPORT_SNAPSHOT");
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		die("postgres: %s", PQerrorMessage(pg));
	PQclear(res);
	snprintf(sql, sizeof(sql), "START_REPLICATION SLOT cdc LOGICAL 0/0"
			 " (proto_version '1', publication_names '%s')", publication);
	res = PQexec(pg, sql);
	if (PQresultStatus(res) != PGRES_COPY_BOTH)
		die("postgres: %s", PQerrorMessage(pg));
	PQclear(res);
}

int
main(int argc, char **argv)
{
	const char *conninfo = NULL;
	const char *publication = NULL;
	const char *redis_socket = NULL;
	int			opt;

	while ((opt = getopt(argc, argv, "d:s:p:")) != -1)
		switch (opt)
		{
			case 'd':
				conninfo = optarg;
				break;
			case 's':
				redis_socket = optarg;
				break;
			case 'p':
				publication = optarg;
				break;
		}
	if (conninfo == NULL || redis_socket == NULL || publication == NULL)
		die("usage: cdc -d conninfo -s redis-socket -p publication");
	redis_connect(redis_socket);
	start_replication(conninfo, publication);
	consume();
}
