/*-------------------------------------------------------------------------
 *
 * filler.c
 *	  Readers that fill what they miss, under a lease.
 *
 * Nobody is given a lease by wtcache yet.  These play by the rules of DESIGN.md
 * ("Leases"), so that the scripts' part of them can be tried: a push, and a
 * deletion, voids the lease of its key.  They are slow, to be overtaken.
 *
 * A push that a fill has overtaken may delete what it should store.  So with
 * fillers nothing has to be there, and only what is there is checked.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"
#include "resp.h"

#define LEASE_MS	"5000"
#define SLOW_MS		300

/*
 * KEYS: the fence, the key, its lease, its tag's set; ARGV: the token, the
 * bound of what may have been seen, the value.
 */
static const char fill_script[] =
"if redis.call('GET', KEYS[4]) ~= ARGV[1] or"
"  redis.call('EXISTS', KEYS[3]) == 1 then return 0 end "
"local a = redis.call('HMGET', KEYS[1], '\\0b', '\\0s', KEYS[3]) "
"local b = redis.call('HMGET', KEYS[2], '\\0b', '\\0s', KEYS[3]) "
"if not (a[1] and a[2] and b[1] and b[2]) then return 0 end "
"redis.call('UNLINK', KEYS[4]) "
"local cur = KEYS[1] "
"if tonumber(b[1]) > tonumber(a[1]) then cur, a, b = KEYS[2], b, a end "
"local record, bound = a[3] or b[3], ARGV[2] "
"if record and string.sub(record, 2, 28) > bound then"
"  bound = string.sub(record, 2, 28) end "
"redis.call('HSET', cur, KEYS[3], '1' .. bound) "
"redis.call('SET', KEYS[3], ARGV[3], 'PX', 3600000) "
"redis.call('SADD', KEYS[5], KEYS[3]) "
"return 1";

typedef struct Filler
{
	Session		session;
	Resp		redis;
	long		leases;
} Filler;

static bool
send_command(Resp *r, int argc, const char *const *argv)
{
	char		buf[4096];
	char	   *p = buf + sprintf(buf, "*%d\r\n", argc);

	for (int i = 0; i < argc; i++)
		p += sprintf(p, "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);
	return resp_send(r, buf, p - buf);
}

/* 1: there is a value; 0: there is none; -1: no answer */
static int
has_value(Resp *r, const char *name)
{
	const char *const get[] = {"GET", name};
	char	   *value;
	size_t		len;

	if (!send_command(r, 2, get) || !resp_value(r, &value, &len))
		return -1;
	return value != NULL;
}

/* Nobody else has it, and now we do. */
static bool
take_lease(Resp *r, const char *lease, const char *token)
{
	const char *const set[] = {"SET", lease, token, "PX", LEASE_MS, "NX"};
	char	   *line;

	if (!send_command(r, 6, set) || (line = resp_line(r)) == NULL)
	{
		resp_close(r);
		return false;
	}
	return strcmp(line, "+OK") == 0;
}

/* "bound tag value" of the row; the bound is read after the snapshot. */
static bool
read_row(Session *session, const Key *key, char *text, size_t size)
{
	char		sql[512];

	snprintf(sql, sizeof(sql), "SELECT lpad((SELECT timeline_id FROM"
			 " pg_control_checkpoint())::text, 8, '0') ||"
			 " lpad((pg_current_wal_insert_lsn() - '0/0')::text, 19, '0') ||"
			 " ' tag:cat:' || category || ' ' || row_to_json(t)"
			 " FROM %s t WHERE id = %ld", table_name(key->table), key->id);
	return run_text(session, sql, text, size) == DONE && text[0] != '\0';
}

static void
fill(Filler *f, const char *name, const char *lease, const char *token,
	 char *row)
{
	char	   *tag = strchr(row, ' ');
	char	   *value = strchr(tag + 1, ' ');
	char	   *line;
	const char *argv[] = {
		"EVAL", fill_script, "5", "wtcache:fence:0", "wtcache:fence:1",
		name, lease, tag + 1, token, row, value + 1
	};

	*tag = *value = '\0';
	if (!send_command(&f->redis, 11, argv) ||
		(line = resp_line(&f->redis)) == NULL)
		resp_close(&f->redis);
	else if (strcmp(line, ":1") == 0)
		COUNT(FILLS, 1);
}

static void
try_key(Filler *f, const Key *key)
{
	char		name[40];
	char		lease[60];
	char		token[40];
	char		row[700];
	int			has;

	snprintf(name, sizeof(name), "%s:%ld", table_name(key->table), key->id);
	snprintf(lease, sizeof(lease), "wtcache:lease:%s", name);
	snprintf(token, sizeof(token), "%d-%ld", f->session.number, ++f->leases);
	has = has_value(&f->redis, name);
	if (has < 0)
		resp_close(&f->redis);
	if (has != 0 || !take_lease(&f->redis, lease, token))
		return;
	if (!read_row(&f->session, key, row, sizeof(row)))
		return;
	if (percent(50))
		nap(roll(SLOW_MS));
	fill(f, name, lease, token, row);
}

/* A page has another tag, and is no row's image. */
static const Key *
any_image(void)
{
	const Key  *key;

	do
		key = any_key();
	while (key->table == PAGE);
	return key;
}

void *
filler_main(void *arg)
{
	Filler	   *f = calloc(1, sizeof(Filler));

	f->session.number = (int) (intptr_t) arg;
	seed_dice(f->session.number);
	f->redis.fd = -1;
	while (!LOOK(STOP))
	{
		nap(1);
		if (f->session.pg == NULL && !session_open(&f->session))
			break;
		if (f->redis.fd < 0 && !resp_open(&f->redis))
			continue;
		try_key(f, any_image());
		if (PQstatus(f->session.pg) != CONNECTION_OK)
			session_close(&f->session);
	}
	resp_close(&f->redis);
	session_close(&f->session);
	free(f);
	return NULL;
}
