/*-------------------------------------------------------------------------
 *
 * writer.c
 *	  Writers: small transactions of every kind, and big ones.
 *
 * A writer owns rows of "items", so that it knows the order of their versions,
 * and shares those of "hot".  A version that has been used is never used
 * again, whatever became of its transaction.  What is going to be rolled back
 * is written as poison.
 *
 * Pages are made of anybody's sections, and of a section by who changes it, in
 * the same transaction.
 *
 * When the connection breaks during a commit nobody knows its outcome: the
 * versions count as sent and not as acknowledged, and whether the rows exist
 * is left to their next upsert.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"

/* The finisher may be slow: it waits for the worker, which waits for Redis. */
#define MAX_PREPARED	60

typedef struct Writer
{
	Session		session;
	int			number;
	Row			rows[WRITER_ROWS];
	long		transactions;

	/* the transaction under way */
	Write		writes[MAX_WRITES];
	int			n;
	Claim		claim;
	bool		async;
	bool		discard;		/* it will be rolled back: poison */
	bool		prepare;
} Writer;

static void
note_all(Writer *w, EventKind kind)
{
	for (int i = 0; i < w->n; i++)
		history_note(kind, w->number, w->writes[i].entity, w->writes[i].mark);
}

/* Nobody knows which of our rows exist. */
static void
doubt_all(Writer *w)
{
	for (int i = 0; i < WRITER_ROWS; i++)
		if (w->rows[i].state != BUSY)
			w->rows[i].state = UNSURE;
}

static Write *
add_write(Writer *w, Entity *entity, Row *row)
{
	Write	   *write = &w->writes[w->n++];

	write->entity = entity;
	write->row = row;
	write->mark = 0;
	write->then = ALIVE;
	return write;
}

/* Does the trigger of items change this version once more? */
static bool
replaced(const Row *row, long seq)
{
	return row->entity->table == ITEMS && REPLACED(seq);
}

static Outcome
change_row(Writer *w, Row *row, const char *verb, bool poison, long *changed)
{
	char		name[32];
	char		note[64];
	long		params[3] = {row->entity->id, ++row->seq, w->number};

	snprintf(name, sizeof(name), "%s %s", verb,
			 table_name(row->entity->table));
	snprintf(note, sizeof(note), poison ? "poison" : "good-%ld-%ld",
			 row->entity->id, row->seq);
	/* the trigger uses the next one */
	if (replaced(row, row->seq))
		row->seq++;
	return run_prepared(&w->session, name, 3, params, note, changed, NULL);
}

/* A change of a row of our own.  *changed: did it find the row as expected? */
static Outcome
write_own(Writer *w, Row *row, long *changed)
{
	Write	   *write = add_write(w, row->entity, row);
	bool		remove = row->state == ALIVE && percent(8);
	const char *verb = remove ? "delete" :
		row->state == ALIVE ? "update" : "upsert";
	Outcome		outcome;

	write->mark = MARK(row->seq + 1 + replaced(row, row->seq + 1), remove);
	write->then = remove ? GONE : ALIVE;
	/* alone, the statement is the commit */
	if (PQtransactionStatus(w->session.pg) == PQTRANS_IDLE)
	{
		oracle_sent(write->entity, write->mark);
		note_all(w, SENT);
	}
	outcome = change_row(w, row, verb, w->discard, changed);
	if (outcome == DONE && *changed == 0)
		row->state = UNSURE;
	return outcome;
}

static Outcome
write_hot(Writer *w, long id, long *changed)
{
	Write	   *write = add_write(w, &hot[id], NULL);
	long		params[3] = {id, 0, w->number};
	long		seq = 0;
	Outcome		outcome = run_prepared(&w->session, "hot", 3, params,
									   w->discard ? "poison" : "", changed,
									   &seq);

	write->mark = MARK(seq, 0);
	return outcome;
}

/* *found: is there such a section? */
static Outcome
store_page(Session *session, const Entity *section, bool poison, long *found)
{
	long		params[3] = {section->id, 0, 0};
	long		seq = 0;
	Outcome		outcome = run_prepared(session, "page", 3, params,
									   poison ? "poison" : "", found, &seq);

	if (outcome == DONE && *found > 0 && !poison)
	{
		history_note(PAGED, session->number, section, MARK(seq, 0));
		COUNT(PAGES, 1);
	}
	return outcome;
}

/* A savepoint whose changes are rolled back: poison, on rows not used yet */
static Outcome
spoil(Writer *w, Row *row)
{
	long		changed;
	Outcome		outcome = run(&w->session, "SAVEPOINT s");

	if (outcome == DONE)
		outcome = change_row(w, row, "upsert", true, &changed);
	if (outcome == DONE && row->entity->table == SECTION)
		outcome = store_page(&w->session, row->entity, true, &changed);
	if (outcome == DONE)
		outcome = run(&w->session, "ROLLBACK TO s");
	COUNT(SAVEPOINTS, 1);
	return outcome;
}

/* Rows of our own that are not in a prepared transaction, each only once */
static Row *
next_row(Writer *w, int *at)
{
	for (int tries = 0; tries < WRITER_ROWS; tries++)
	{
		Row		   *row = &w->rows[(*at)++ % WRITER_ROWS];

		if (row->state != BUSY)
			return row;
	}
	return NULL;
}

/* Where to begin with them */
static int
roll_row(void)
{
	return percent(10) ? OWN_ROWS + roll(SECTIONS) : roll_own();
}

/* What stands between BEGIN and the end */
static Outcome
write_rows(Writer *w, int n)
{
	int			at = roll_row();
	long		hot_row = roll(HOT_ROWS);
	bool		spoiled = percent(5);
	Outcome		outcome = DONE;

	for (int i = 0; i < n && outcome == DONE; i++)
	{
		Row		   *row = next_row(w, &at);
		long		changed = 1;

		if (row == NULL)
			break;
		if (spoiled && i == n / 2)
			outcome = spoil(w, row);
		if (outcome != DONE)
			break;
		/* in the order of their ids: no deadlocks */
		if (!w->prepare && hot_row < HOT_ROWS && percent(25))
		{
			outcome = write_hot(w, hot_row, &changed);
			hot_row += 1 + roll(4);
		}
		else
		{
			long		found;

			outcome = write_own(w, row, &changed);
			if (outcome == DONE && row->entity->table == SECTION && percent(25))
				outcome = store_page(&w->session, row->entity, w->discard,
									 &found);
		}
		if (outcome == DONE && changed == 0)
			outcome = REFUSED;
	}
	return outcome;
}

/* The commit was acknowledged. */
static void
acknowledge(Writer *w)
{
	bool		sure = !w->async && claim_sure(&w->claim);
	bool		calm = sure && claim_calm(&w->claim) && w->session.commits > 0;

	for (int i = 0; i < w->n; i++)
	{
		Write	   *write = &w->writes[i];

		if (write->row != NULL)
			write->row->state = write->then;
		if (sure)
			oracle_sure(write->entity, write->mark, &w->claim);
		if (calm)
			oracle_present(write->entity, write->mark, &w->claim);
	}
	note_all(w, ACKED);
	COUNT(COMMITS, 1);
	COUNT(ROWS, w->n);
	if (w->async)
		COUNT(ASYNC, 1);
	w->session.commits++;
}

static void
note_stall(const Claim *claim, double begun)
{
	uint64_t	us = (now() - begun) * 1e6;
	Word		word = claim_calm(claim) ? W_CALM_STALL_US : W_STALL_US;
	uint64_t	seen = atomic_load(&control[word]);

	while (seen < us &&
		   !atomic_compare_exchange_weak(&control[word], &seen, us))
		;
}

static void
broken(Writer *w)
{
	note_all(w, UNHEARD);
	COUNT(UNKNOWN, 1);
	session_close(&w->session);
	doubt_all(w);
}

static void
end_commit(Writer *w)
{
	double		begun = now();
	Outcome		outcome;

	for (int i = 0; i < w->n; i++)
		oracle_sent(w->writes[i].entity, w->writes[i].mark);
	note_all(w, w->async ? SENT_ASYNC : SENT);
	outcome = run(&w->session, "COMMIT");
	note_stall(&w->claim, begun);
	if (outcome == DONE)
		acknowledge(w);
	else if (outcome == LOST)
		broken(w);
	else
		note_all(w, FAILED);
}

static void
end_rollback(Writer *w)
{
	note_all(w, DISCARDED);
	COUNT(ROLLBACKS, 1);
	if (run(&w->session, "ROLLBACK") == LOST)
		broken(w);
}

/* Whatever the outcome, the rows are the finisher's from now on. */
static void
end_prepare(Writer *w)
{
	char		sql[100];
	char		gid[60];
	Outcome		outcome;

	snprintf(gid, sizeof(gid), "w%d-%ld", w->number, w->transactions);
	snprintf(sql, sizeof(sql), "PREPARE TRANSACTION '%s'", gid);
	for (int i = 0; i < w->n; i++)
		w->writes[i].row->state = BUSY;
	note_all(w, PREPARED_IT);
	COUNT(PREPARES, 1);
	outcome = run(&w->session, sql);
	if (outcome == REFUSED)
	{
		note_all(w, FAILED);
		doubt_all(w);
		for (int i = 0; i < w->n; i++)
			w->writes[i].row->state = UNSURE;
		return;
	}
	finish_later(gid, outcome == DONE, w->session.backend, !w->discard,
				 w->writes, w->n, w->number);
	if (outcome == LOST)
		broken(w);
}

static Outcome
begin(Writer *w)
{
	bool		unsynced = percent(w->async ? 50 : 10);
	Outcome		outcome = run(&w->session, "BEGIN");

	if (outcome == DONE && unsynced)
		outcome = run(&w->session, "SET LOCAL synchronous_commit = off");
	if (outcome == DONE && w->async)
		outcome = run(&w->session, "SET LOCAL wtcache.mode = async");
	return outcome;
}

static void
block(Writer *w, int n)
{
	Outcome		outcome = begin(w);

	if (outcome == DONE)
		outcome = write_rows(w, n);
	if (outcome == LOST)
		broken(w);
	else if (outcome == REFUSED || w->n == 0)
		end_rollback(w);
	else if (w->prepare)
		end_prepare(w);
	else if (w->discard)
		end_rollback(w);
	else
		end_commit(w);
}

/*
 * A page of anybody's section.  It may be locked for long, by what is prepared;
 * and who waits for it then makes the page of what has only just been committed.
 */
static void
page(Writer *w)
{
	const Entity *section = section_entity(roll(nwriters + 1), roll(SECTIONS));
	long		found = 0;
	Outcome		outcome = begin(w);

	if (outcome == DONE)
		outcome = run(&w->session, "SET LOCAL lock_timeout = '200ms'");
	if (outcome == DONE)
		outcome = store_page(&w->session, section, w->discard, &found);
	if (outcome == LOST)
		broken(w);
	else if (outcome == REFUSED || found == 0 || w->discard)
		end_rollback(w);
	else
		end_commit(w);
}

/* One statement that is a transaction */
static void
single(Writer *w)
{
	int			at = roll_row();
	Row		   *row = next_row(w, &at);
	double		begun = now();
	long		changed = 1;
	Outcome		outcome;

	if (row == NULL)
		return;
	outcome = write_own(w, row, &changed);
	note_stall(&w->claim, begun);
	if (outcome == LOST)
		broken(w);
	else if (outcome == DONE && changed > 0)
		acknowledge(w);
	else
		note_all(w, FAILED);
}

static void
transaction(Writer *w)
{
	long		x = roll(100);

	w->n = 0;
	w->transactions++;
	w->async = LOOK(MIX) & MIX_ASYNC && percent(percent_async);
	w->discard = percent(10);
	w->prepare = LOOK(MIX) & MIX_PREPARED && LOOK(PREPARED) < MAX_PREPARED &&
		percent(percent_prepare);
	claim_begin(&w->claim);
	if (percent(10) && !w->prepare)
		page(w);
	else if (x < 50 && !w->async && !w->discard && !w->prepare)
		single(w);
	else
		block(w, x < 60 ? 1 : x < 85 ? 2 : 10);
}

/* At rest while RUN is 0; false: the end. */
static bool
may_go_on(Session *session)
{
	if (LOOK(RUN) == 0 && !LOOK(STOP))
	{
		COUNT(IDLE, 1);
		while (LOOK(RUN) == 0 && !LOOK(STOP))
			nap(5);
		COUNT(IDLE, -1);
		session->commits = 0;
	}
	return !LOOK(STOP);
}

void *
writer_main(void *arg)
{
	Writer	   *w = calloc(1, sizeof(Writer));

	w->number = w->session.number = (int) (intptr_t) arg;
	seed_dice(w->number);
	for (int i = 0; i < WRITER_ROWS; i++)
		w->rows[i].entity = own_entity(w->number, i);
	while (may_go_on(&w->session))
	{
		if (w->session.pg == NULL && !session_open(&w->session))
			break;
		transaction(w);
		if (w->session.pg != NULL &&
			PQstatus(w->session.pg) != CONNECTION_OK)
			broken(w);
	}
	session_close(&w->session);
	free(w);
	return NULL;
}

/* ------------------------------------------------------------------------
 * Big transactions: all rows of some slices, which change together, and as many
 * sections
 * ------------------------------------------------------------------------
 */
static Outcome
change_slice(Session *session, int slice, long seq, bool poison)
{
	long		params[3] = {slice, seq, session->number};

	return run_prepared(session, "big", 3, params, poison ? "poison" : "",
						NULL, NULL);
}

/* A section of our own, and perhaps its page */
static Outcome
change_section(Session *session, Entity *section, long seq, bool poison)
{
	long		params[3] = {section->id, seq, session->number};
	char		note[64];
	long		found;
	Outcome		outcome;

	snprintf(note, sizeof(note), poison ? "poison" : "good-%ld-%ld",
			 section->id, seq);
	outcome = run_prepared(session, "upsert section", 3, params, note, NULL,
						   NULL);
	if (outcome == DONE && percent(25))
		outcome = store_page(session, section, poison, &found);
	return outcome;
}

static void
big_transaction(Session *session, long seq)
{
	int			first = roll(SLICES);
	int			section = roll(SECTIONS);
	int			n = 1 + roll(SLICES);
	bool		discard = percent(30);
	Write		writes[2 * SLICES];
	Claim		claim;
	double		begun;
	Outcome		outcome = run(session, "BEGIN");

	/* some of it may be rolled back to a savepoint */
	if (outcome == DONE && percent(30))
	{
		outcome = run(session, "SAVEPOINT s");
		if (outcome == DONE)
			outcome = change_slice(session, first, seq, true);
		if (outcome == DONE)
			outcome = run(session, "ROLLBACK TO s");
	}
	for (int i = 0; i < n && outcome == DONE; i++)
	{
		if (percent(30))
			outcome = run(session, "SAVEPOINT t");
		writes[i].entity = section_entity(nwriters, (section + i) % SECTIONS);
		writes[n + i].entity = &slices[(first + i) % SLICES];
		if (outcome == DONE)
			outcome = change_section(session, writes[i].entity, seq, discard);
		if (outcome == DONE)
			outcome = change_slice(session, (first + i) % SLICES, seq, discard);
	}
	n *= 2;
	for (int i = 0; i < n && outcome == DONE && !discard; i++)
	{
		writes[i].mark = MARK(seq, 0);
		oracle_sent(writes[i].entity, writes[i].mark);
		history_note(SENT, session->number, writes[i].entity, writes[i].mark);
	}
	claim_begin(&claim);
	begun = now();
	if (outcome == DONE)
		outcome = run(session, discard ? "ROLLBACK" : "COMMIT");
	if (outcome == LOST)
		session_close(session);
	else if (outcome == REFUSED)
		(void) run(session, "ROLLBACK");
	else if (!discard)
	{
		COUNT(BIG, 1);
		COUNT(COMMITS, 1);
		oracle_awaited(writes, n, &claim, begun);
		for (int i = 0; i < n; i++)
			history_note(ACKED, session->number, writes[i].entity,
						 writes[i].mark);
	}
}

void *
big_main(void *arg)
{
	Session		session = {.number = (int) (intptr_t) arg};
	long		seq = 0;

	seed_dice(session.number);
	while (may_go_on(&session))
	{
		double		until = now() + (0.5 + roll(1000) / 1000.0) *
			big_every_ms / 1000.0;

		while (now() < until && LOOK(RUN) && !LOOK(STOP))
			nap(10);
		if (!LOOK(RUN) || LOOK(STOP) || !(LOOK(MIX) & MIX_BIG))
			continue;
		if (session.pg == NULL && !session_open(&session))
			break;
		big_transaction(&session, ++seq);
		if (session.pg != NULL && PQstatus(session.pg) != CONNECTION_OK)
			session_close(&session);
	}
	session_close(&session);
	return NULL;
}
