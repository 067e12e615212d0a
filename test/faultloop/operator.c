/*-------------------------------------------------------------------------
 *
 * operator.c
 *	  Operators at work beside the writers: one verifies their tables, another
 *	  clears and warms them.
 *
 * Both may be killed like any writer.  What they must not do:
 *
 * FALSE_ALARM	verify() reports a difference where there can be none: nothing
 *				happened, from its beginning to its end, that lets a push fail
 *				without its commit.  A key may be missing.
 * KEPT			a key is there after detach() with its keys was acknowledged
 * NOT_WARM		the tables cannot be warmed although all is healed
 *
 * That warming stores nothing older than what is committed, the readers see.
 * That it brings everything back which was cleared, Quiet.pm sees: at rest no
 * table is left cleared, or without its attachment.  In calm phases nothing is
 * cleared, so that what was stored has to be there.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"
#include "resp.h"
#include "shape.h"

/* Those that the writers write come first; of shape.c's the shape changes. */
static const char *const tables[] = {
	"items", "hot", "section", "bulk", "shaped", "parted"
};

#define TABLES		6
#define OF_WRITERS	4
#define HOT_TABLE	1
#define BULK_TABLE	3

bool
writers_at_rest(void)
{
	return LOOK(RUN) == 0 && LOOK(PREPARED) == 0 &&
		LOOK(IDLE) >= (uint64_t) (nwriters + (big_every_ms > 0));
}

/*
 * Does not return before there is work, or the end.  *idle: it is known that
 * everything is in order; false: to be put in order first.
 */
bool
operator_may_work(int bit, bool *idle)
{
	bool		counted = false;

	while (!LOOK(STOP) && (LOOK(RUN) == 0 || !(LOOK(AT_WORK) & bit)))
	{
		if (!*idle)
			break;
		if (!counted)
			COUNT(OPERATORS_IDLE, 1);
		counted = true;
		nap(5);
	}
	if (counted)
		COUNT(OPERATORS_IDLE, -1);
	return !LOOK(STOP);
}

static int
any_table(void)
{
	long		x = roll(100);

	return x < 25 ? 0 : x < 50 ? HOT_TABLE : x < 70 ? 2 : x < 76 ? BULK_TABLE :
		x < 88 ? 4 : 5;
}

/* ------------------------------------------------------------------------
 * The verifier
 * ------------------------------------------------------------------------
 */
/*
 * Rows of a partition that is leaving by itself are none of the table's before
 * their keys are gone.
 */
static bool
partition_leaves(uint64_t before)
{
	return odd(before) || shaped_tables[1].leaving != before;
}

static void
judge_differences(const char *table, PGresult *rows, bool sure,
				  uint64_t leaving)
{
	for (int i = 0; i < PQntuples(rows); i++)
	{
		const char *kind = PQgetvalue(rows, i, 0);
		char		text[256];

		if (strcmp(kind, "in flight") == 0)
			COUNT(VERIFY_IN_FLIGHT, 1);
		else if (strcmp(table, "parted") == 0 && strcmp(kind, "orphan") == 0 &&
				 partition_leaves(leaving))
			continue;
		else if (sure && strcmp(kind, "missing") != 0)
		{
			snprintf(text, sizeof(text), "verify of %s: %s %s %s (repaired: %s)",
					 table, kind, PQgetvalue(rows, i, 1),
					 PQgetvalue(rows, i, 2), PQgetvalue(rows, i, 3));
			report(W_V_FALSE_ALARM, NULL, text, NULL);
		}
	}
}

static void
verify(Session *session, int table)
{
	char		sql[256];
	PGresult   *rows;
	Claim		claim;
	uint64_t	leaving = shaped_tables[1].leaving;
	bool		sure;

	snprintf(sql, sizeof(sql), "SELECT kind, key, detail, repaired FROM"
			 " wtcache.verify('%s', repair => %s, timeout => '2s'%s)",
			 tables[table], percent(20) ? "true" : "false",
			 table == BULK_TABLE && percent(80) ? ", sample => 10" : "");
	claim_begin(&claim);
	if (run_rows(session, sql, &rows) != DONE)
		return;
	sure = claim_sure(&claim);
	COUNT(VERIFIES, 1);
	COUNT(VERIFIES_SURE, sure);
	judge_differences(tables[table], rows, sure, leaving);
	PQclear(rows);
}

void *
verifier_main(void *arg)
{
	Session		session = {.number = (int) (intptr_t) arg,.operator = true};
	bool		idle = true;

	seed_dice(session.number);
	while (operator_may_work(WORK_VERIFY, &idle))
	{
		if (session.pg == NULL && !session_open(&session))
			break;
		verify(&session, any_table());
		if (PQstatus(session.pg) != CONNECTION_OK)
			session_close(&session);
		nap(roll(100));
	}
	session_close(&session);
	return NULL;
}

/* ------------------------------------------------------------------------
 * The warmer
 * ------------------------------------------------------------------------
 */
typedef struct Warming
{
	bool		cleared;		/* since a warming that brought all back */
	bool		detached;		/* perhaps */
	bool		begun;			/* to be gone on with */
	bool		covers;			/* it began after the last clearing */
	char		earlier[40];	/* when the one before it was started */
} Warming;

typedef struct Warmer
{
	Session		session;
	Resp		redis;
	Warming		tables[TABLES];
	int			failures;		/* at rest */
} Warmer;

static Outcome
clear(Warmer *w, int table)
{
	char		sql[100];

	w->tables[table].cleared = true;
	w->tables[table].covers = false;
	snprintf(sql, sizeof(sql), "SELECT wtcache.clear('%s')", tables[table]);
	COUNT(CLEARS, 1);
	return run(&w->session, sql);
}

/* Are there keys of hot rows?  They were not to be; then it is said. */
static void
look_for_hot_keys(Warmer *w, const Claim *claim)
{
	Key		   *what[HOT_ROWS];
	char		request[MAX_REQUEST];
	char	   *line;

	for (int i = 0; i < HOT_ROWS; i++)
		what[i] = key_of(HOT, i);
	if (w->redis.fd < 0 && !resp_open(&w->redis))
		return;
	if (!resp_send(&w->redis, request, put_mget(request, what, HOT_ROWS)) ||
		(line = resp_line(&w->redis)) == NULL || line[0] != '*')
	{
		resp_close(&w->redis);
		return;
	}
	for (int i = 0; i < HOT_ROWS; i++)
	{
		char	   *value;
		size_t		len;

		if (!resp_value(&w->redis, &value, &len))
		{
			resp_close(&w->redis);
			return;
		}
		if (value != NULL && claim_sure(claim))
			report(W_V_KEPT, what[i], value, NULL);
	}
}

static Outcome
attach_hot(Warmer *w)
{
	Outcome		outcome = run(&w->session, "SELECT wtcache.attach('hot',"
							  " tags => '{\"cat:{category}\"}',"
							  " replace => true)");

	if (outcome == DONE)
	{
		w->tables[HOT_TABLE].detached = false;
		hot_detached++;
	}
	return outcome;
}

/* What is changed meanwhile does not reach the cache, which must be empty. */
static Outcome
detach_hot(Warmer *w)
{
	Warming    *hot_table = &w->tables[HOT_TABLE];
	Claim		claim;
	Outcome		outcome;

	hot_table->cleared = hot_table->detached = true;
	hot_table->covers = false;
	hot_detached |= 1;
	claim_begin(&claim);
	outcome = run(&w->session, "SELECT wtcache.detach('hot')");
	if (outcome != DONE)
		return outcome;
	COUNT(DETACHES, 1);
	for (int i = 0; i < 3 && claim_sure(&claim); i++)
	{
		look_for_hot_keys(w, &claim);
		nap(roll(50));
	}
	return attach_hot(w);
}

/* When the warming that is on record was started; "": there is none. */
static Outcome
started(Warmer *w, const char *table, char *at, size_t size)
{
	char		sql[160];

	snprintf(sql, sizeof(sql), "SELECT max(started_at) FROM"
			 " wtcache.stat_progress_warm WHERE relation = '%s'::regclass",
			 table);
	return run_text(&w->session, sql, at, size);
}

/*
 * Killed before it was on record, a warming cannot be gone on with: resume
 * would go on with the one before it, which covers less.
 */
static Outcome
look_whether_begun(Warmer *w, Warming *warming, const char *table)
{
	char		at[sizeof(warming->earlier)];
	Outcome		outcome;

	if (!warming->begun)
		return started(w, table, warming->earlier, sizeof(warming->earlier));
	outcome = started(w, table, at, sizeof(at));
	if (outcome == DONE && strcmp(at, warming->earlier) == 0)
	{
		COUNT(WARMS_NOT_BEGUN, 1);
		warming->begun = false;
	}
	return outcome;
}

static void
warm_done(Warmer *w, Warming *warming, const char *table)
{
	char		sql[160];
	char		skipped[24];

	COUNT(WARMS_FINISHED, 1);
	snprintf(sql, sizeof(sql), "SELECT rows_skipped FROM"
			 " wtcache.stat_progress_warm WHERE relation = '%s'::regclass",
			 table);
	if (run_text(&w->session, sql, skipped, sizeof(skipped)) != DONE)
		return;
	/* rows that were locked: it can be resumed for them */
	warming->begun = strcmp(skipped, "0") != 0;
	if (!warming->begun && warming->covers)
		warming->cleared = false;
}

/* Goes on with the last one, if that was interrupted. */
static Outcome
warm(Warmer *w, int table)
{
	static const char *const sizes[] = {"20", "200", "5000"};
	Warming    *warming = &w->tables[table];
	bool		slowly = LOOK(RUN) && percent(30);
	char		sql[200];
	Outcome		outcome = look_whether_begun(w, warming, tables[table]);

	if (outcome != DONE)
		return outcome;
	snprintf(sql, sizeof(sql), "CALL wtcache.warm('%s', batch_size => %s,"
			 " max_rate => %s, resume => %s, redis_timeout => '20s')",
			 tables[table], sizes[roll(3)], slowly ? "2000" : "NULL",
			 warming->begun ? "true" : "false");
	COUNT(WARMS, 1);
	COUNT(WARMS_RESUMED, warming->begun);
	if (!warming->begun)
		warming->covers = true;
	warming->begun = true;
	outcome = run(&w->session, sql);
	if (outcome == DONE)
		warm_done(w, warming, tables[table]);
	/* the table is a new one, or was detached and its record is gone */
	else if (outcome == REFUSED &&
			 (strstr(w->session.error, "has been begun") != NULL ||
			  strstr(w->session.error, "does not exist") != NULL))
		warming->begun = false;
	return outcome;
}

static void
work(Warmer *w)
{
	int			table = any_table();
	bool		calm = LOOK(CALM) != 0;

	if (w->tables[HOT_TABLE].detached)
		(void) attach_hot(w);
	else if (!calm && percent(20))
		(void) detach_hot(w);
	else if (!calm && percent(40))
		(void) clear(w, table);
	if (w->session.pg != NULL && PQstatus(w->session.pg) == CONNECTION_OK)
		(void) warm(w, table);
}

/* Everything back, when nobody else is at work; false: not yet. */
static bool
leave_in_order(Warmer *w)
{
	if (!writers_at_rest())
		return false;
	if (w->tables[HOT_TABLE].detached && attach_hot(w) != DONE)
		w->failures++;
	for (int i = 0; i < OF_WRITERS && w->failures < 5; i++)
		while (w->tables[i].cleared && w->failures < 5 && w->session.pg != NULL &&
			   PQstatus(w->session.pg) == CONNECTION_OK && !LOOK(STOP))
		{
			/* one that does not cover all is of no use any more */
			if (!w->tables[i].covers)
				w->tables[i].begun = false;
			if (warm(w, i) != DONE)
				w->failures++;
		}
	for (int i = 0; i < OF_WRITERS; i++)
		if (w->tables[i].cleared && w->failures < 5)
			return false;
	if (w->failures >= 5)
		report(W_V_NOT_WARM, NULL, w->session.error, NULL);
	w->failures = 0;
	return true;
}

void *
warmer_main(void *arg)
{
	Warmer	   *w = calloc(1, sizeof(Warmer));
	bool		idle = true;

	w->session.number = (int) (intptr_t) arg;
	w->session.operator = true;
	w->redis.fd = -1;
	seed_dice(w->session.number);
	while (operator_may_work(WORK_WARM, &idle))
	{
		if (w->session.pg == NULL && !session_open(&w->session))
			break;
		if (LOOK(RUN) && LOOK(AT_WORK) & WORK_WARM)
		{
			idle = false;
			work(w);
			nap(roll(200));
		}
		else
			idle = leave_in_order(w);
		if (w->session.pg != NULL && PQstatus(w->session.pg) != CONNECTION_OK)
			session_close(&w->session);
		if (!idle)
			nap(5);
	}
	resp_close(&w->redis);
	session_close(&w->session);
	free(w);
	return NULL;
}
