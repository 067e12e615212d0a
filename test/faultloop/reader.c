/*-------------------------------------------------------------------------
 *
 * reader.c
 *	  Readers of Redis, and who compares what they read with the table.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"
#include "resp.h"

size_t
put_mget(char *buf, Key **what, int n)
{
	char	   *p = buf + sprintf(buf, "*%d\r\n$4\r\nMGET\r\n", n + 1);

	for (int i = 0; i < n; i++)
	{
		char		name[32];
		int			len = snprintf(name, sizeof(name), "%s:%ld",
								   table_name(what[i]->table), what[i]->id);

		p += sprintf(p, "$%d\r\n%s\r\n", len, name);
	}
	return p - buf;
}

/*
 * Whose Redis it is and how far it has come, for a violation's history.
 */
static void
ask_why(Resp *r, char *text, size_t size)
{
	static const char request[] =
	"*2\r\n$3\r\nGET\r\n$13\r\nwtcache:token\r\n"
	"*3\r\n$4\r\nHGET\r\n$16\r\nwtcache:position\r\n$3\r\nlsn\r\n";
	static const char *const names[] = {"token", "position"};
	char	   *p = text;

	*p = '\0';
	if (!resp_send(r, request, sizeof(request) - 1))
		return;
	for (int i = 0; i < 2; i++)
	{
		char	   *value;
		size_t		len;

		if (!resp_value(r, &value, &len))
			return;
		p += snprintf(p, size - (p - text), "%s: %.100s  ", names[i],
					  value == NULL ? "none" : value);
	}
}

/* Reads some keys at once and holds each against the oracle. */
static bool
read_keys(Resp *r, Key **what, int n)
{
	char		request[MAX_REQUEST];
	Before		before[MAX_KEYS];
	Finding		findings[MAX_KEYS];
	char	   *line;

	for (int i = 0; i < n; i++)
		oracle_before(what[i], &before[i]);
	/* after a loss it may be another server */
	if (before[n - 1].loss != r->loss)
		return false;
	if (!resp_send(r, request, put_mget(request, what, n)))
		return false;
	line = resp_line(r);
	if (line == NULL || line[0] != '*')
		return false;
	for (int i = 0; i < n; i++)
	{
		char	   *value;
		size_t		len;

		if (!resp_value(r, &value, &len))
			return false;
		oracle_after(what[i], &before[i], value, len, &findings[i]);
	}
	COUNT(READS, 1);
	for (int i = 0; i < n; i++)
		if (findings[i].class != 0)
		{
			char		why[512];

			ask_why(r, why, sizeof(why));
			report(findings[i].class, what[i], findings[i].text, why);
		}
	return true;
}

/* Rows of the hot and small tables more often than those of the large one */
Key *
any_key(void)
{
	long		x = roll(100);

	if (x < 30)
		return key_of(HOT, roll(HOT_ROWS));
	if (x < 82)
		return key_of(ITEMS, roll(nwriters) * OWN_ROWS + roll_own());
	if (x < 90)
		return key_of(BULK, roll(SLICES * SLICE_ROWS));
	return key_of(x < 94 ? SECTION : PAGE, roll((nwriters + 1) * SECTIONS));
}

void *
reader_main(void *arg)
{
	Resp	   *r = calloc(1, sizeof(Resp));
	Key		   *what[MAX_KEYS];

	seed_dice((int) (intptr_t) arg);
	r->fd = -1;
	while (!LOOK(STOP))
	{
		int			n = percent(50) ? 1 : 1 + roll(MAX_KEYS);

		if (r->fd < 0 && !resp_open(r))
		{
			nap(20);
			continue;
		}
		for (int i = 0; i < n; i++)
			what[i] = any_key();
		if (!read_keys(r, what, n))
		{
			COUNT(READ_ERRORS, 1);
			resp_close(r);
			nap(5);
		}
		/* leave some of the machine to others */
		if (percent(20))
			nap(1);
	}
	resp_close(r);
	free(r);
	return NULL;
}

/* ------------------------------------------------------------------------
 * The comparer: reads a key, and then its row, which must not be older
 * ------------------------------------------------------------------------
 */
static bool
get_key(Resp *r, Key *key, long *seq)
{
	char		request[128];
	char	   *line;
	char	   *value;
	size_t		len;

	if (!resp_send(r, request, put_mget(request, &key, 1)))
		return false;
	line = resp_line(r);
	if (line == NULL || line[0] != '*' || !resp_value(r, &value, &len))
		return false;
	*seq = value == NULL ? -1 : oracle_seq(key, value, len);
	return true;
}

static void
compare_key(Session *session, Key *key, long seq, uint64_t before)
{
	char		sql[80];
	char		row[40];
	char		text[120];

	snprintf(sql, sizeof(sql), "SELECT seq FROM %s WHERE id = %ld",
			 table_name(key->entity->table), key->id);
	if (run_text(session, sql, row, sizeof(row)) != DONE || row[0] == '\0')
		return;
	/* the row may be another server's, which has never had that version */
	if (odd(before) || LOOK(SWITCH) != before)
		return;
	COUNT(CHECKED_AHEAD, 1);
	if (atol(row) >= seq)
		return;
	snprintf(text, sizeof(text), "read %ld, and then the row is still %s",
			 seq, row);
	report(W_V_AHEAD, key, text, NULL);
}

void *
comparer_main(void *arg)
{
	Resp	   *r = calloc(1, sizeof(Resp));
	Session		session = {.number = (int) (intptr_t) arg};

	seed_dice(session.number);
	r->fd = -1;
	while (!LOOK(STOP))
	{
		Key		   *key = any_key();
		long		seq;
		uint64_t	before;

		nap(2);
		if (session.pg == NULL && !session_open(&session))
			break;
		if (r->fd < 0 && !resp_open(r))
			continue;
		before = LOOK(SWITCH);
		if (!get_key(r, key, &seq))
			resp_close(r);
		else if (seq >= 0)
			compare_key(&session, key, seq, before);
		if (PQstatus(session.pg) != CONNECTION_OK)
			session_close(&session);
	}
	resp_close(r);
	session_close(&session);
	free(r);
	return NULL;
}
