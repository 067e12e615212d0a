/*-------------------------------------------------------------------------
 *
 * shape.c
 *	  Rows of tables whose schema is changed, and what may be read of them.
 *
 * Such a table has rows of id and seq and columns that come and go.  seq is
 * taken from a sequence by who has the row locked, or the table: so the order
 * of the seqs is that of the changes.  A statement that takes rows out of the
 * table is a deletion of them, and takes a seq when it has the lock.
 *
 * SHAPE	an image whose columns are not those of the table at any moment of
 *			the read: after the change that made them others was
 *			acknowledged, and surely pushed, nothing of the old shape is left
 *
 * and of oracle.c's classes UNSENT, STALE and BACKWARDS hold for rows here, too,
 * so that nothing may be read of rows that have left the table.  POISON is
 * what was written into a partition that was none at that time.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"
#include "resp.h"
#include "shape.h"

Shaped		shaped_tables[2];

void
shape_init(void)
{
	for (int t = 0; t < 2; t++)
	{
		Shaped	   *shaped = &shaped_tables[t];

		shaped->table = shaped->shape.table = t == 0 ? SHAPED : PARTED;
		for (int i = 0; i < SHAPE_ROWS; i++)
		{
			shaped->rows[i].table = shaped->keys[i].table = shaped->table;
			shaped->rows[i].id = shaped->keys[i].id = i;
			shaped->keys[i].entity = &shaped->rows[i];
		}
	}
}

void
shape_sent(Shaped *shaped, long number, const char *text, const char *change)
{
	snprintf(shaped->texts[number % SHAPE_RING], SHAPE_TEXT, "%s", text);
	snprintf(shaped->changes[number % SHAPE_RING], CHANGE_TEXT, "%.6f %ld: %s",
			 now(), number, change);
	oracle_sent(&shaped->shape, number);
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */

/*
 * Takes {"id":1,"seq":2,"c3":7,"c4":"7"} apart: "id:n seq:n c3:n c4:s " as the
 * text of its shape.  Extra columns are 7; false: it is no such image.
 */
static bool
take_apart(const char *value, long *id, long *seq, char *text)
{
	char	   *end = text + SHAPE_TEXT - 1;

	*id = *seq = -1;
	*text = '\0';
	if (*value++ != '{')
		return false;
	for (;;)
	{
		char		name[64];
		int			n = 0;
		bool		quoted;
		char	   *after;
		long		number;

		if (sscanf(value, "\"%63[a-z0-9]\":%n", name, &n) != 1 || n == 0)
			return false;
		value += n;
		quoted = *value == '"';
		value += quoted;
		number = strtol(value, &after, 10);
		if (after == value || (quoted && *after++ != '"'))
			return false;
		value = after;
		if (strcmp(name, "id") == 0)
			*id = number;
		else if (strcmp(name, "seq") == 0)
			*seq = number;
		else if (number != 7)
			return false;
		if (text + strlen(name) + 3 > end)
			return false;
		text += sprintf(text, "%s:%c ", name, quoted ? 's' : 'n');
		if (*value == '}')
			return value[1] == '\0';
		if (*value++ != ',')
			return false;
	}
}

static void
check_shape(Shaped *shaped, const Before *before, const char *value,
			const char *text, Finding *finding)
{
	long		sent = atomic_load(&shaped->shape.sent);
	long		sure = oracle_known(before->sure, before->loss);

	COUNT(SHAPES_READ, 1);
	/* nothing is known of what Redis has lost, or of what is too long ago */
	if (odd(before->loss) || LOOK(LOSS) != before->loss || sure == 0 ||
		sent - sure >= SHAPE_RING - 10)
		return;
	COUNT(SHAPES_SURE, 1);
	for (long number = sure; number <= sent; number++)
		if (strcmp(shaped->texts[number % SHAPE_RING], text) == 0)
			return;
	oracle_found(finding, W_V_SHAPE, before, value,
				 shaped->texts[sure % SHAPE_RING], sure);
}

static void
check_image(Shaped *shaped, Key *key, const Before *row, const Before *shape,
			const char *value, Finding *finding)
{
	char		text[SHAPE_TEXT];
	long		id;
	long		seq;

	finding->class = 0;
	COUNT(CHECKED, 1);
	if (!take_apart(value, &id, &seq, text) || id != key->id)
		oracle_found(finding, W_V_BROKEN, row, value, "sent was",
					 atomic_load(&key->entity->sent));
	else if (seq < 0)
		oracle_found(finding, W_V_POISON, row, value, "sent was",
					 atomic_load(&key->entity->sent));
	else
	{
		if (atomic_load(&shaped->deleting[id]) < MARK(seq, 0))
			check_shape(shaped, shape, value, text, finding);
		if (finding->class == 0)
			oracle_age(key, row, value, MARK(seq, 0), finding);
	}
}

/* The last changes of the schema */
static void
tell(Shaped *shaped, const Key *key, const Finding *finding)
{
	char		more[8 * (CHANGE_TEXT + 4)] = "changes:";
	long		last = atomic_load(&shaped->shape.sent);

	for (long number = last > 6 ? last - 6 : 1; number <= last; number++)
	{
		strcat(more, "\n  ");
		strcat(more, shaped->changes[number % SHAPE_RING]);
	}
	report(finding->class, key, finding->text, more);
}

static bool
read_shapes(Resp *r, Shaped *shaped)
{
	Key			shape = {.entity = &shaped->shape};
	Before		shape_before;
	Before		before[MAX_KEYS];
	Key		   *what[MAX_KEYS];
	Finding		finding;
	char		request[MAX_REQUEST];
	char	   *line;

	oracle_before(&shape, &shape_before);
	for (int i = 0; i < MAX_KEYS; i++)
	{
		what[i] = &shaped->keys[roll(SHAPE_ROWS)];
		oracle_before(what[i], &before[i]);
	}
	if (!resp_send(r, request, put_mget(request, what, MAX_KEYS)))
		return false;
	line = resp_line(r);
	if (line == NULL || line[0] != '*')
		return false;
	COUNT(READS, 1);
	for (int i = 0; i < MAX_KEYS; i++)
	{
		char	   *value;
		size_t		len;

		if (!resp_value(r, &value, &len))
			return false;
		if (value == NULL)
			continue;
		check_image(shaped, what[i], &before[i], &shape_before, value, &finding);
		if (finding.class != 0)
			tell(shaped, what[i], &finding);
	}
	return true;
}

void *
shape_reader_main(void *arg)
{
	Resp	   *r = calloc(1, sizeof(Resp));

	seed_dice((int) (intptr_t) arg);
	r->fd = -1;
	while (!LOOK(STOP))
	{
		nap(1);
		if (r->fd < 0 && !resp_open(r))
			nap(20);
		else if (!read_shapes(r, &shaped_tables[roll(2)]))
		{
			COUNT(READ_ERRORS, 1);
			resp_close(r);
		}
	}
	resp_close(r);
	free(r);
	return NULL;
}

/* ------------------------------------------------------------------------
 * Writing: one for each table
 * ------------------------------------------------------------------------
 */

/*
 * The seq is to be taken behind the lock: of a partition that is locked only
 * as the row goes into it, it would be taken before.
 */
static Outcome
begin(Session *session, const Shaped *shaped, int part, bool async)
{
	char		sql[200];
	Outcome		outcome = run(session, "BEGIN");

	if (outcome == DONE && async)
		outcome = run(session, "SET LOCAL wtcache.mode = async");
	if (outcome == DONE && shaped->table == PARTED)
	{
		snprintf(sql, sizeof(sql), "LOCK TABLE ONLY parted IN ROW EXCLUSIVE MODE;"
				 " LOCK TABLE parted_%d IN ROW EXCLUSIVE MODE", part);
		outcome = run(session, sql);
	}
	return outcome;
}

static Outcome
change(Session *session, const Shaped *shaped, long id, Write *write)
{
	bool		remove = percent(10);
	const char *name = table_name(shaped->table);
	char		sql[300];
	char		seq[24];
	Outcome		outcome;

	if (remove)
		snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE id = %ld"
				 " RETURNING nextval('shape_seq')", name, id);
	else
		snprintf(sql, sizeof(sql), "INSERT INTO %s (id, seq) VALUES (%ld,"
				 " nextval('shape_seq')) ON CONFLICT (id) DO UPDATE SET"
				 " seq = nextval('shape_seq') RETURNING seq", name, id);
	outcome = run_text(session, sql, seq, sizeof(seq));
	write->entity = (Entity *) &shaped->rows[id];
	write->mark = MARK(atol(seq), remove);
	return outcome;
}

static void
transaction(Session *session, Shaped *shaped)
{
	int			part = roll(PARTS);
	long		id = part * PART_ROWS + roll(PART_ROWS - 4);
	bool		async = LOOK(MIX) & MIX_ASYNC && percent(10);
	int			most = percent(70) ? 1 : 4;
	int			n = 0;
	Write		writes[4];
	uint64_t	unfollowed = shaped->unfollowed;
	Claim		claim;
	Outcome		outcome;

	claim_begin(&claim);
	outcome = begin(session, shaped, part, async);
	for (; n < most && outcome == DONE; n++)
		outcome = change(session, shaped, id + n, &writes[n]);
	if (outcome == REFUSED)
		(void) run(session, "ROLLBACK");
	if (outcome != DONE)
		return;
	for (int i = 0; i < n; i++)
	{
		if (odd(writes[i].mark) && MARK_SEQ(writes[i].mark) > 0)
			atomic_store(&shaped->deleting[writes[i].entity->id],
						 writes[i].mark);
		oracle_sent(writes[i].entity, writes[i].mark);
		history_note(async ? SENT_ASYNC : SENT, session->number,
					 writes[i].entity, writes[i].mark);
	}
	outcome = run(session, "COMMIT");
	for (int i = 0; i < n && outcome == DONE; i++)
	{
		if (!async && claim_sure(&claim) && !odd(unfollowed) &&
			shaped->unfollowed == unfollowed)
			oracle_sure(writes[i].entity, writes[i].mark, &claim);
		history_note(ACKED, session->number, writes[i].entity, writes[i].mark);
	}
	COUNT(COMMITS, outcome == DONE);
	COUNT(ROWS, outcome == DONE ? n : 0);
}

void *
shape_writer_main(void *arg)
{
	Session		session = {.number = (int) (intptr_t) arg,.operator = true};
	Shaped	   *shaped = &shaped_tables[session.number % 2];
	bool		idle = true;

	seed_dice(session.number);
	while (operator_may_work(WORK_SCHEMA, &idle))
	{
		if (session.pg == NULL && !session_open(&session))
			break;
		transaction(&session, shaped);
		if (PQstatus(session.pg) != CONNECTION_OK)
			session_close(&session);
		nap(1 + roll(8));
	}
	session_close(&session);
	return NULL;
}
