/*-------------------------------------------------------------------------
 *
 * shaper.c
 *	  Changes the schema of the tables that shape.c reads and writes.
 *
 * Every change is looked for in the catalog before it is made, and what has
 * become of the table is taken from there in the same transaction: whatever was
 * lost on the way, it needs to know nothing of what was before.  Some changes
 * are rolled back.  What is committed is told to the oracle before, and
 * once more when it is acknowledged and surely pushed.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"
#include "shape.h"

#define MOST_COLUMNS	8		/* of those that come and go */
#define MOST_EVER		1000	/* a table has 1600 in its life */

/* Rows that a change takes out of the table */
typedef struct Range
{
	int			from;
	int			to;
} Range;

static const Range none = {0, 0};
static const Range all = {0, SHAPE_ROWS};

typedef struct Shaper
{
	Session		session;
	Shaped	   *shaped;
	const char *name;
	long		number;			/* of the last shape */

	/* as the catalog has it */
	bool		exists;
	bool		attached;
	bool		enabled;
	bool		few_columns;	/* in the image */
	int			columns;		/* those that come and go */
	int			columns_ever;
	char		parts[PARTS + 1];	/* attached, pending, detached, - none */

	bool		unheard;		/* the outcome of an earlier change */
} Shaper;

static Range
part_range(int part)
{
	return (Range) {part * PART_ROWS, (part + 1) * PART_ROWS};
}

/* ------------------------------------------------------------------------
 * A change as a transaction
 * ------------------------------------------------------------------------
 */

/* As shape.c writes the columns of an image */
static Outcome
read_shape(Shaper *s, char *text)
{
	char		sql[600];

	snprintf(sql, sizeof(sql), "SELECT string_agg(attname || ':' || CASE"
			 " WHEN atttypid = 25 THEN 's' ELSE 'n' END || ' ', ''"
			 " ORDER BY attnum) FROM pg_attribute LEFT JOIN"
			 " wtcache.attachments() ON relation = attrelid"
			 " WHERE attrelid = '%s'::regclass AND attnum > 0 AND NOT"
			 " attisdropped AND (columns IS NULL OR attname = ANY (columns))",
			 s->name);
	return run_text(&s->session, sql, text, SHAPE_TEXT);
}

static Outcome
next_seq(Shaper *s, long *seq)
{
	char		value[24];
	Outcome		outcome = run_text(&s->session, "SELECT nextval('shape_seq')",
								   value, sizeof(value));

	*seq = atol(value);
	return outcome;
}

static void
tell_sent(Shaper *s, const char *text, const char *change, Range rows,
		  Mark mark)
{
	shape_sent(s->shaped, ++s->number, text, change);
	for (int i = rows.from; i < rows.to; i++)
	{
		oracle_sent(&s->shaped->rows[i], mark);
		history_note(SENT, s->session.number, &s->shaped->rows[i], mark);
	}
}

/*
 * A change of which nobody heard may have been committed, and be replayed while
 * later ones are acknowledged: what it leaves is not theirs to delete.
 */
static bool
heard_all(Shaper *s)
{
	char		value[8];

	if (s->unheard &&
		run_text(&s->session, "SELECT wtcache.wait('20s')", value,
				 sizeof(value)) == DONE && value[0] == 't')
		s->unheard = false;
	return !s->unheard;
}

static void
tell_done(Shaper *s, Range rows, Mark mark, const Claim *claim)
{
	COUNT(SCHEMA_CHANGES, 1);
	for (int i = 0; i < SHAPE_ROWS; i++)
		history_note(CHANGED, s->session.number, &s->shaped->rows[i],
					 MARK(s->number, 0));
	if (!heard_all(s) || !claim_sure(claim))
		return;
	oracle_sure(&s->shaped->shape, s->number, claim);
	for (int i = rows.from; i < rows.to && odd(mark); i++)
	{
		Entity	   *row = &s->shaped->rows[i];

		if (atomic_load(&s->shaped->deleting[i]) <=
			oracle_known(atomic_load(&row->sure), claim->loss))
			oracle_sure(row, mark, claim);
	}
}

/* Ends a transaction in which mark says what became of some rows. */
static Outcome
end(Shaper *s, const char *change, Range rows, Mark mark, const Claim *claim)
{
	char		text[SHAPE_TEXT];
	Outcome		outcome = read_shape(s, text);

	if (outcome != DONE || percent(15))
	{
		if (outcome != LOST)
			(void) run(&s->session, "ROLLBACK");
		return REFUSED;
	}
	tell_sent(s, text, change, rows, mark);
	outcome = run(&s->session, "COMMIT");
	if (outcome == DONE)
		tell_done(s, rows, mark, claim);
	s->unheard |= outcome == LOST;
	return outcome;
}

/* Statements that take some rows out of the table, under a lock of it */
static Outcome
perform(Shaper *s, const char *sql, Range gone)
{
	Claim		claim;
	long		seq = 0;
	Outcome		outcome;

	claim_begin(&claim);
	outcome = run(&s->session, "BEGIN");
	if (outcome == DONE)
		outcome = run(&s->session, sql);
	if (outcome == DONE)
		outcome = next_seq(s, &seq);
	if (outcome == DONE)
		return end(s, sql, gone, MARK(seq, 1), &claim);
	if (outcome == REFUSED)
		(void) run(&s->session, "ROLLBACK");
	return outcome;
}

/*
 * The cache begins to follow the table (again).  What it has not seen
 * meanwhile are newer versions of rows: so are all rows that it may see now.
 */
static Outcome
follow(Shaper *s, const char *sql)
{
	char		renew[200];
	Claim		claim;
	long		seq = 0;
	Outcome		outcome;

	claim_begin(&claim);
	snprintf(renew, sizeof(renew), "BEGIN; LOCK TABLE %s IN SHARE ROW EXCLUSIVE"
			 " MODE", s->name);
	outcome = run(&s->session, renew);
	if (outcome == DONE)
		outcome = next_seq(s, &seq);
	snprintf(renew, sizeof(renew), "UPDATE %s SET seq = %ld", s->name, seq);
	if (outcome == DONE)
		outcome = run(&s->session, renew);
	if (outcome == DONE)
		outcome = run(&s->session, sql);
	if (outcome == DONE)
		return end(s, sql, all, MARK(seq, 0), &claim);
	if (outcome == REFUSED)
		(void) run(&s->session, "ROLLBACK");
	return outcome;
}

/* ------------------------------------------------------------------------
 * Columns, triggers, attachments
 * ------------------------------------------------------------------------
 */
static Outcome
change_columns(Shaper *s)
{
	char		column[70];
	char		sql[400];
	long		x = roll(s->columns < MOST_COLUMNS ? 4 : 1);
	Outcome		outcome;

	snprintf(sql, sizeof(sql), "SELECT attname || CASE WHEN atttypid = 25"
			 " THEN ' int' ELSE ' text' END FROM pg_attribute WHERE"
			 " attrelid = '%s'::regclass AND attname ~ '^c' AND attnum > 0"
			 " AND NOT attisdropped ORDER BY random() LIMIT 1", s->name);
	outcome = run_text(&s->session, sql, column, sizeof(column));
	if (outcome != DONE)
		return outcome;
	if (column[0] == '\0' || x == 3)
		snprintf(sql, sizeof(sql), "ALTER TABLE %s ADD COLUMN c%ld %s"
				 " NOT NULL DEFAULT '7'", s->name, s->number,
				 percent(50) ? "int" : "text");
	else
	{
		char	   *type = strchr(column, ' ');

		*type++ = '\0';
		if (x == 0)
			snprintf(sql, sizeof(sql), "ALTER TABLE %s DROP COLUMN %s",
					 s->name, column);
		else if (x == 1)
			snprintf(sql, sizeof(sql), "ALTER TABLE %s RENAME COLUMN %s TO"
					 " c%ld", s->name, column, s->number);
		else
			snprintf(sql, sizeof(sql), "ALTER TABLE %s ALTER COLUMN %s DROP"
					 " DEFAULT, ALTER COLUMN %s TYPE %s USING %s::%s,"
					 " ALTER COLUMN %s SET DEFAULT '7'", s->name, column,
					 column, type, column, type, column);
	}
	return perform(s, sql, none);
}

/* Also again, for other columns */
static Outcome
attach(Shaper *s, bool few_columns)
{
	char		sql[120];

	snprintf(sql, sizeof(sql), "SELECT wtcache.attach('%s'%s, replace => true)", s->name,
			 few_columns ? ", columns => '{id,seq}'" : "");
	return s->attached && s->enabled ? perform(s, sql, none) : follow(s, sql);
}

/* "Statement of the table" */
static Outcome
statement(Shaper *s, const char *format, Range gone)
{
	char		sql[160];

	snprintf(sql, sizeof(sql), format, s->name);
	return perform(s, sql, gone);
}

static Outcome
create(Shaper *s)
{
	if (s->shaped->table == SHAPED)
		return perform(s, "DROP TABLE IF EXISTS shaped;"
					   " CREATE TABLE shaped (id int PRIMARY KEY,"
					   " seq bigint NOT NULL);"
					   " SELECT wtcache.attach('shaped')", all);
	return perform(s, "DROP TABLE IF EXISTS parted, parted_0, parted_1,"
				   " parted_2, parted_3;"
				   " CREATE TABLE parted (id int PRIMARY KEY,"
				   " seq bigint NOT NULL) PARTITION BY RANGE (id);"
				   " SELECT wtcache.attach('parted')", all);
}

/* ------------------------------------------------------------------------
 * Partitions
 * ------------------------------------------------------------------------
 */
static Outcome
partition(Shaper *s, const char *format, int part, Range gone)
{
	char		sql[200];
	Range		range = part_range(part);

	snprintf(sql, sizeof(sql), format, part, range.from, range.to);
	return perform(s, sql, gone);
}

/* It leaves for itself; nobody can write its rows from then on. */
static Outcome
detach_concurrently(Shaper *s, int part)
{
	Range		gone = part_range(part);
	char		text[SHAPE_TEXT];
	char		sql[100];
	Claim		claim;
	long		seq;
	Outcome		outcome;

	claim_begin(&claim);
	snprintf(sql, sizeof(sql), "ALTER TABLE parted DETACH PARTITION parted_%d"
			 " CONCURRENTLY", part);
	s->shaped->leaving |= 1;
	outcome = run(&s->session, sql);
	if (outcome == DONE)
		outcome = next_seq(s, &seq);
	if (outcome == DONE)
		outcome = read_shape(s, text);
	if (outcome != DONE)
		return outcome;
	tell_sent(s, text, sql, gone, MARK(seq, 1));
	tell_done(s, gone, MARK(seq, 1), &claim);
	return DONE;
}

/*
 * What is done to it while it is none is not to be seen; nor is anything when
 * it is back, until it is written.  One that does not fit any more is dropped.
 */
static Outcome
attach_partition(Shaper *s, int part)
{
	Range		range = part_range(part);
	char		sql[300];
	Claim		claim;
	long		seq = 0;
	Outcome		outcome;

	snprintf(sql, sizeof(sql), "UPDATE parted_%d SET seq = - seq", part);
	outcome = run(&s->session, sql);
	if (outcome != DONE)
		return outcome;
	nap(roll(20));
	claim_begin(&claim);
	outcome = run(&s->session, "BEGIN");
	if (outcome == DONE)
		outcome = next_seq(s, &seq);
	if (outcome == DONE)
	{
		snprintf(sql, sizeof(sql), "UPDATE parted_%d SET seq = %ld;"
				 " ALTER TABLE parted ATTACH PARTITION parted_%d"
				 " FOR VALUES FROM (%d) TO (%d)", part, seq, part, range.from,
				 range.to);
		outcome = run(&s->session, sql);
	}
	if (outcome == DONE)
		return end(s, sql, range, MARK(seq, 0), &claim);
	if (outcome == LOST || run(&s->session, "ROLLBACK") != DONE)
		return outcome;
	return partition(s, "DROP TABLE parted_%d", part, none);
}

/* One step towards a table that has all of them; *whole: it has. */
static Outcome
mend_partitions(Shaper *s, bool *whole)
{
	*whole = false;
	for (int part = 0; part < PARTS; part++)
		switch (s->parts[part])
		{
			case '-':
				return partition(s, "CREATE TABLE parted_%d PARTITION OF parted"
								 " FOR VALUES FROM (%d) TO (%d)", part, none);
			case 'd':
				return attach_partition(s, part);
			case 'p':
				return partition(s, "ALTER TABLE parted DETACH PARTITION"
								 " parted_%d FINALIZE", part, part_range(part));
		}
	*whole = true;
	return DONE;
}

static Outcome
change_partitions(Shaper *s)
{
	int			part = roll(PARTS);
	Range		range = part_range(part);
	long		x = roll(100);

	if (s->parts[part] != 'a')
		return DONE;
	if (x < 35)
		return partition(s, "ALTER TABLE parted DETACH PARTITION parted_%d",
						 part, range);
	if (x < 55)
		return detach_concurrently(s, part);
	return partition(s, x < 75 ? "DROP TABLE parted_%d" :
					 "TRUNCATE parted_%d", part, range);
}

/* ------------------------------------------------------------------------
 * Which change
 * ------------------------------------------------------------------------
 */
static Outcome
look_at_table(Shaper *s)
{
	char		sql[1400];
	char		text[64];
	char		flags[4];
	Outcome		outcome;

	snprintf(sql, sizeof(sql), "SELECT format('%%s%%s%%s%%s %%s %%s',"
			 " to_regclass('%s') IS NOT NULL, count(*) > 0,"
			 " coalesce(bool_or(enabled), false),"
			 " coalesce(bool_or(columns IS NOT NULL), false),"
			 " (SELECT format('%%s %%s', count(*) FILTER (WHERE attname ~ '^c'"
			 " AND NOT attisdropped), count(*)) FROM pg_attribute"
			 " WHERE attrelid = to_regclass('%s') AND attnum > 0),"
			 " (SELECT string_agg(CASE WHEN c.oid IS NULL THEN '-' WHEN"
			 " inhparent IS NULL THEN 'd' WHEN inhdetachpending THEN 'p' ELSE"
			 " 'a' END, '' ORDER BY i) FROM generate_series(0, %d) i"
			 " LEFT JOIN pg_class c ON c.oid = to_regclass('parted_' || i)"
			 " LEFT JOIN pg_inherits ON inhrelid = c.oid), '')"
			 " FROM wtcache.attachments() WHERE relation = to_regclass('%s')",
			 s->name, s->name, PARTS - 1, s->name);
	outcome = run_text(&s->session, sql, text, sizeof(text));
	if (outcome != DONE)
		return outcome;
	if (sscanf(text, "%c%c%c%c %d %d %4s", &flags[0], &flags[1],
			   &flags[2], &flags[3], &s->columns, &s->columns_ever,
			   s->parts) != 7)
		die("the catalog says \"%s\"", text);
	s->exists = flags[0] == 't';
	s->attached = flags[1] == 't';
	s->enabled = flags[2] == 't';
	s->few_columns = flags[3] == 't';
	if (s->attached && s->enabled && odd(s->shaped->unfollowed))
		s->shaped->unfollowed++;
	if (strchr(s->parts, 'p') == NULL && odd(s->shaped->leaving))
		s->shaped->leaving++;
	return DONE;
}

/* One step; *whole: nothing is missing. */
static Outcome
mend(Shaper *s, bool *whole)
{
	char		sql[80];

	*whole = false;
	if (!s->exists || s->columns_ever > MOST_EVER)
		return create(s);
	if (!s->attached || (s->few_columns && LOOK(RUN) == 0))
		return attach(s, false);
	if (!s->enabled)
	{
		snprintf(sql, sizeof(sql), "ALTER TABLE %s ENABLE TRIGGER USER", s->name);
		return follow(s, sql);
	}
	if (s->shaped->table == PARTED)
		return mend_partitions(s, whole);
	*whole = true;
	return DONE;
}

static Outcome
change(Shaper *s)
{
	long		x = roll(100);
	bool		whole;

	if (percent(50) || !s->exists)
	{
		Outcome		outcome = mend(s, &whole);

		if (outcome != DONE || !whole)
			return outcome;
	}
	if (s->shaped->table == PARTED && x < 50)
		return change_partitions(s);
	x = roll(100);
	if (x < 60)
		return change_columns(s);
	if (x < 70)
		return statement(s, "TRUNCATE %s", all);
	if (x < 80)
	{
		s->shaped->unfollowed |= 1;
		return statement(s, "ALTER TABLE %s DISABLE TRIGGER USER", all);
	}
	if (x < 90)
		return attach(s, percent(50));
	if (x >= 96 || !s->attached)
		return create(s);
	s->shaped->unfollowed |= 1;
	return statement(s, "SELECT wtcache.detach('%s')", all);
}

static bool
ready(Session *session)
{
	if (session->pg != NULL)
		return true;
	return session_open(session) &&
		run(session, "SET lock_timeout = '3s'") != LOST;
}

void *
shaper_main(void *arg)
{
	Shaper	   *s = calloc(1, sizeof(Shaper));
	bool		idle = true;

	s->session.number = (int) (intptr_t) arg;
	s->session.operator = true;
	s->shaped = &shaped_tables[s->session.number % 2];
	s->name = table_name(s->shaped->table);
	seed_dice(s->session.number);
	while (operator_may_work(WORK_SCHEMA, &idle))
	{
		bool		work = LOOK(RUN) && LOOK(AT_WORK) & WORK_SCHEMA;

		if (!ready(&s->session))
			session_close(&s->session);
		else if (look_at_table(s) == DONE)
		{
			if (work)
				(void) change(s);
			else
				(void) mend(s, &idle);
		}
		if (s->session.pg != NULL && PQstatus(s->session.pg) != CONNECTION_OK)
			session_close(&s->session);
		if (work)
		{
			idle = false;
			nap(20 + roll(150));
		}
	}
	session_close(&s->session);
	free(s);
	return NULL;
}
