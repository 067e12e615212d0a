/*-------------------------------------------------------------------------
 *
 * planter.c
 *	  Plants differences between Redis and a table, which verify() has to find
 *	  and to repair; and writes rows while it repairs them.
 *
 * The table "plant" is the planter's: nobody else writes it, so that whatever
 * is found there has been planted, in keys of rows and in keys of no rows.  It
 * is judged by Redis itself: what is wrong there before verify() and after it
 * must have been among what was found.
 *
 * UNFOUND		verify() has not reported what was planted
 * FALSE_ALARM	it has reported something else
 * UNREPAIRED	it says it has repaired what is still wrong, or has undone what
 *				was written while it repaired
 *
 * All of this counts if nothing happened meanwhile that lets a push fail
 * without its commit, or Redis lose anything.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"
#include "resp.h"

#define ROWS		100			/* that are always there */
#define STRANGERS	100			/* ids behind them, of which there are none */
#define PLANTS		12			/* at a time */
#define APART		(ROWS / PLANTS)
#define HOUR_MS		3600000

typedef enum Harm
{
	MISSING,
	STALE,
	TTL,
	TAG,
	ORPHAN,
	HARMS
} Harm;

static const char *const kinds[] = {"missing", "stale", "ttl", "tag", "orphan"};

typedef struct Plant
{
	Harm		harm;
	long		id;
	bool		found;
} Plant;

typedef struct Planter
{
	Session		session;
	Session		other;			/* writes while the first one verifies */
	Resp		redis;
	long		seqs[ROWS + STRANGERS]; /* 0: no row, or as it was created */
	long		seq;			/* the last one used */
	Plant		plants[PLANTS];
	int			n;
} Planter;

/*
 * A command given as words with spaces between them.  Its answer is a number, a
 * status, or a string: as text, "nil" if there is none.  False: no answer.
 */
static bool
ask(Planter *p, const char *command, char *answer, size_t size)
{
	char		words[256];
	char		buf[512];
	char		body[400] = "";
	char	   *save;
	char	   *line;
	char	   *value;
	size_t		len;
	int			n = 0;

	snprintf(words, sizeof(words), "%s", command);
	for (char *word = strtok_r(words, " ", &save); word != NULL;
		 word = strtok_r(NULL, " ", &save), n++)
		snprintf(body + strlen(body), sizeof(body) - strlen(body),
				 "$%zu\r\n%s\r\n", strlen(word), word);
	snprintf(buf, sizeof(buf), "*%d\r\n%s", n, body);
	if (p->redis.fd < 0 && !resp_open(&p->redis))
		return false;
	if (resp_send(&p->redis, buf, strlen(buf)))
	{
		if (strncmp(command, "GET ", 4) == 0)
		{
			if (resp_value(&p->redis, &value, &len))
			{
				snprintf(answer, size, "%s", value == NULL ? "nil" : value);
				return true;
			}
		}
		else if ((line = resp_line(&p->redis)) != NULL && line[0] != '-')
		{
			snprintf(answer, size, "%s", line + 1);
			return true;
		}
	}
	resp_close(&p->redis);
	return false;
}

static bool
ask_id(Planter *p, const char *format, long id, char *answer, size_t size)
{
	char		command[128];

	/* some formats name the row twice */
	snprintf(command, sizeof(command), format, id, id);
	return ask(p, command, answer, size);
}

static void
image(const Planter *p, long id, char *buf, size_t size)
{
	snprintf(buf, size, "{\"id\":%ld,\"seq\":%ld}", id, p->seqs[id]);
}

/* What is wrong with the key now?  HARMS: nothing.  -1: no answer */
static int
look(Planter *p, long id, bool row, char *held, size_t size)
{
	char		answer[64];
	char		expected[64];

	if (!ask_id(p, "GET plant:%ld", id, held, size))
		return -1;
	if (!row)
		return strcmp(held, "nil") == 0 ? HARMS : ORPHAN;
	if (strcmp(held, "nil") == 0)
		return MISSING;
	image(p, id, expected, sizeof(expected));
	if (strcmp(held, expected) != 0)
		return STALE;
	if (!ask_id(p, "PTTL plant:%ld", id, answer, sizeof(answer)))
		return -1;
	if (atol(answer) < 0 || atol(answer) > HOUR_MS)
		return TTL;
	if (!ask_id(p, "SISMEMBER tag:plant:%ld plant:%ld", id, answer,
				sizeof(answer)))
		return -1;
	return atol(answer) == 1 ? HARMS : TAG;
}

static bool
plant_one(Planter *p, Plant *plant)
{
	static const char *const commands[] = {
		[MISSING] = "UNLINK plant:%ld",
		[STALE] = "SET plant:%ld {\"id\":1,\"seq\":1} PX 600000",
		[TTL] = "PEXPIRE plant:%ld 7200000",
		[TAG] = "SREM tag:plant:%ld plant:%ld",
		[ORPHAN] = "SET plant:%ld x PX 600000"
	};
	char		answer[64];

	return ask_id(p, commands[plant->harm], plant->id, answer, sizeof(answer));
}

/* Writes a row by a session; false: nobody knows what it is now. */
static Outcome
write_row(Planter *p, Session *session, long id)
{
	char		sql[160];
	long		seq = ++p->seq;
	Outcome		outcome;

	snprintf(sql, sizeof(sql), "INSERT INTO plant VALUES (%ld, %ld) ON CONFLICT"
			 " (id) DO UPDATE SET seq = excluded.seq", id, seq);
	outcome = run(session, sql);
	if (outcome == DONE)
		p->seqs[id] = seq;
	return outcome;
}

/* Rows and Redis as they have to be, whatever was left behind. */
static bool
begin_anew(Planter *p)
{
	char		answer[256];

	for (long id = ROWS; id < ROWS + STRANGERS; id++)
		if (!ask_id(p, "UNLINK plant:%ld", id, answer, sizeof(answer)))
			return false;
	p->seq++;
	snprintf(answer, sizeof(answer), "DELETE FROM plant WHERE id >= %d;"
			 " UPDATE plant SET seq = %ld", ROWS, p->seq);
	for (int i = 0; i < ROWS; i++)
		p->seqs[i] = p->seq;
	return run(&p->session, answer) == DONE;
}

static void
accuse(Planter *p, Word class, const char *what, long id, const char *held)
{
	char		text[400];
	char		expected[64];

	image(p, id, expected, sizeof(expected));
	snprintf(text, sizeof(text), "plant:%ld: %s; Redis holds %.160s, the row is %s",
			 id, what, held, expected);
	report(class, NULL, text, NULL);
}

/* ------------------------------------------------------------------------
 * Planting, finding, repairing
 * ------------------------------------------------------------------------
 */
static bool
plant_some(Planter *p)
{
	char		held[256];

	for (p->n = 0; p->n < PLANTS; p->n++)
	{
		Plant	   *plant = &p->plants[p->n];

		plant->harm = roll(HARMS);
		plant->found = false;
		plant->id = p->n * APART + roll(APART) +
			(plant->harm == ORPHAN ? ROWS : 0);
		if (!plant_one(p, plant) ||
			look(p, plant->id, plant->harm != ORPHAN, held,
				 sizeof(held)) != (int) plant->harm)
			return false;
	}
	COUNT(PLANTED, p->n);
	return true;
}

static Plant *
plant_of(Planter *p, const char *kind, const char *key)
{
	for (int i = 0; i < p->n; i++)
		if (strcmp(kinds[p->plants[i].harm], kind) == 0 &&
			p->plants[i].id == atol(key + strlen("plant:")))
			return &p->plants[i];
	return NULL;
}

/* All that was planted, and nothing else */
static void
judge_found(Planter *p, PGresult *rows, const Claim *claim, bool repaired)
{
	char		held[256];

	for (int i = 0; i < PQntuples(rows); i++)
	{
		const char *kind = PQgetvalue(rows, i, 0);
		const char *key = PQgetvalue(rows, i, 1);
		Plant	   *plant = plant_of(p, kind, key);

		if (plant != NULL)
			plant->found = true;
		else if (strcmp(kind, "in flight") != 0 && claim_sure(claim))
			accuse(p, W_V_FALSE_ALARM, kind, atol(key + strlen("plant:")), "?");
		else
			return;
	}
	for (int i = 0; i < p->n; i++)
	{
		Plant	   *plant = &p->plants[i];
		int			now_is = look(p, plant->id, plant->harm != ORPHAN, held,
								  sizeof(held));

		if (now_is < 0 || !claim_sure(claim))
			return;
		if (!plant->found && now_is == (int) plant->harm)
			accuse(p, W_V_UNFOUND, kinds[plant->harm], plant->id, held);
		else if (plant->found)
			COUNT(PLANTED_FOUND, 1);
		if (repaired && plant->found && now_is != HARMS)
			accuse(p, W_V_UNREPAIRED, kinds[plant->harm], plant->id, held);
		else if (repaired && plant->found)
			COUNT(PLANTED_REPAIRED, 1);
		plant->found = false;
	}
}

static const char *
verify_sql(bool repair)
{
	return repair ?
		"SELECT kind, key FROM wtcache.verify('plant', repair => true)" :
		"SELECT kind, key FROM wtcache.verify('plant')";
}

/* First it only says what is wrong, and then it repairs that. */
static void
find_and_repair(Planter *p)
{
	Claim		claim;
	PGresult   *rows;

	claim_begin(&claim);
	if (!claim_sure(&claim) || !plant_some(p))
		return;
	for (int repair = 0; repair < 2; repair++)
	{
		if (run_rows(&p->session, verify_sql(repair), &rows) != DONE)
			return;
		judge_found(p, rows, &claim, repair);
		PQclear(rows);
	}
	p->n = 0;
	if (run_rows(&p->session, verify_sql(false), &rows) != DONE)
		return;
	judge_found(p, rows, &claim, false);
	PQclear(rows);
}

/* ------------------------------------------------------------------------
 * Writing what is being repaired
 * ------------------------------------------------------------------------
 */
static void
race(Planter *p)
{
	Claim		claim;
	PGresult   *rows;
	char		held[256];
	Outcome		outcome = DONE;
	int			written = 0;

	claim_begin(&claim);
	if (!claim_sure(&claim) || !plant_some(p))
		return;
	begin_rows(&p->session, verify_sql(true));
	nap(roll(300));
	for (; written < p->n && outcome == DONE; written++)
	{
		if (percent(50))
			nap(roll(20));
		outcome = write_row(p, &p->other, p->plants[written].id);
	}
	(void) end_rows(&p->session, &rows);
	PQclear(rows);
	if (outcome != DONE)
		return;
	COUNT(RACES, 1);
	for (int i = 0; i < p->n; i++)
	{
		int			now_is = look(p, p->plants[i].id, true, held, sizeof(held));

		if (now_is < 0 || !claim_sure(&claim))
			return;
		if (now_is != HARMS)
			accuse(p, W_V_UNREPAIRED, "written during the repair",
				   p->plants[i].id, held);
	}
}

static bool
stands(Session *session)
{
	if (session->pg != NULL && PQstatus(session->pg) != CONNECTION_OK)
		session_close(session);
	return session->pg != NULL || session_open(session);
}

/* At rest nothing may be left of it. */
static bool
leave_in_order(Planter *p)
{
	PGresult   *rows;

	if (!writers_at_rest() || !begin_anew(p) ||
		run_rows(&p->session, verify_sql(true), &rows) != DONE)
		return false;
	PQclear(rows);
	return true;
}

void *
planter_main(void *arg)
{
	Planter    *p = calloc(1, sizeof(Planter));
	bool		idle = true;

	p->session.number = p->other.number = (int) (intptr_t) arg;
	p->session.operator = p->other.operator = true;
	p->redis.fd = -1;
	seed_dice(p->session.number);
	while (operator_may_work(WORK_PLANT, &idle))
	{
		if (!stands(&p->session) || !stands(&p->other))
			break;
		if (!LOOK(RUN) || !(LOOK(AT_WORK) & WORK_PLANT))
		{
			idle = leave_in_order(p);
			nap(idle ? 0 : 5);
			continue;
		}
		idle = false;
		if (begin_anew(p))
		{
			if (percent(50))
				find_and_repair(p);
			else
				race(p);
		}
		nap(roll(100));
	}
	resp_close(&p->redis);
	session_close(&p->session);
	session_close(&p->other);
	free(p);
	return NULL;
}
