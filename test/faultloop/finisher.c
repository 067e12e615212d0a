/*-------------------------------------------------------------------------
 *
 * finisher.c
 *	  Finishes what writers have prepared: later, and in another session.
 *
 * Some are left alone until the writers come to rest.  When the connection
 * breaks at COMMIT PREPARED the view of prepared transactions tells the
 * outcome.  One that nobody knows of, because its PREPARE was not heard of and
 * showed up late, is rolled back: its versions were never sent to be committed.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"

#define MAX_WAITING		256

typedef struct Waiting
{
	char		gid[60];
	bool		used;
	bool		heard;			/* PREPARE was acknowledged */
	bool		commit;
	bool		tried;			/* its end has been tried once */
	int			backend;
	int			writer;
	double		due;
	int			n;
	Write		writes[MAX_WRITES];
} Waiting;

static Waiting waiting[MAX_WAITING];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void
finish_later(const char *gid, bool heard, int backend, bool commit,
			 const Write *writes, int n, int writer)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MAX_WAITING; i++)
	{
		Waiting    *p = &waiting[i];

		if (p->used)
			continue;
		snprintf(p->gid, sizeof(p->gid), "%s", gid);
		p->heard = heard;
		p->backend = backend;
		p->commit = commit;
		p->tried = false;
		p->writer = writer;
		p->n = n;
		memcpy(p->writes, writes, n * sizeof(Write));
		p->due = now() + (percent(10) ? 1e6 : roll(1500) / 1000.0);
		p->used = true;
		COUNT(PREPARED, 1);
		pthread_mutex_unlock(&lock);
		return;
	}
	die("too many prepared transactions");
}

static Waiting *
next_due(void)
{
	Waiting    *found = NULL;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < MAX_WAITING; i++)
		if (waiting[i].used && (waiting[i].due <= now() || LOOK(RUN) == 0))
		{
			found = &waiting[i];
			break;
		}
	pthread_mutex_unlock(&lock);
	return found;
}

static void
forget(Waiting *p, EventKind kind)
{
	for (int i = 0; i < p->n; i++)
	{
		history_note(kind, p->writer, p->writes[i].entity, p->writes[i].mark);
		p->writes[i].row->state = UNSURE;
	}
	pthread_mutex_lock(&lock);
	p->used = false;
	pthread_mutex_unlock(&lock);
	COUNT(PREPARED, -1);
}

static Outcome
exists(Session *session, const char *gid, bool *there)
{
	char		sql[160];
	char		value[60];
	Outcome		outcome;

	snprintf(sql, sizeof(sql),
			 "SELECT gid FROM pg_prepared_xacts WHERE gid = '%s'", gid);
	outcome = run_text(session, sql, value, sizeof(value));
	*there = value[0] != '\0';
	return outcome;
}

/* PREPARE, or an earlier end of it, was not heard of: what became of it? */
static Outcome
find_out(Session *session, Waiting *p)
{
	bool		there = false;
	Outcome		outcome;

	if (!process_gone(p->backend))
	{
		nap(2);
		p->due = now() + 0.02;
		return DONE;
	}
	outcome = exists(session, p->gid, &there);
	if (outcome != DONE)
		return outcome;
	p->heard = there;
	if (!there)
	{
		if (p->tried)
			COUNT(COMMIT_PREPARED, p->commit);
		forget(p, p->tried && p->commit ? ACKED : FAILED);
	}
	return DONE;
}

static Outcome
finish(Session *session, Waiting *p)
{
	char		sql[100];
	Outcome		outcome;
	double		begun = now();
	Claim		claim;

	snprintf(sql, sizeof(sql), "%s PREPARED '%s'",
			 p->commit ? "COMMIT" : "ROLLBACK", p->gid);
	for (int i = 0; i < p->n && p->commit; i++)
	{
		oracle_sent(p->writes[i].entity, p->writes[i].mark);
		history_note(SENT, p->writer, p->writes[i].entity, p->writes[i].mark);
	}
	claim_begin(&claim);
	outcome = run(session, sql);
	if (outcome == DONE)
	{
		if (p->commit)
			oracle_awaited(p->writes, p->n, &claim, begun);
		if (p->commit)
			COUNT(COMMIT_PREPARED, 1);
		else
			COUNT(ROLLBACK_PREPARED, 1);
		COUNT(COMMITS, p->commit);
		COUNT(ROWS, p->commit ? p->n : 0);
		forget(p, p->commit ? ACKED : DISCARDED);
		return DONE;
	}
	/* it may be locked by the session that tried before, or be finished */
	p->tried = true;
	p->heard = false;
	p->backend = outcome == LOST ? session->backend : 0;
	p->due = now() + 0.02;
	return outcome;
}

/* What turned up without being in our list */
static Outcome
finish_orphans(Session *session)
{
	char		sql[1024];
	Outcome		outcome;

	for (int i = 0; i < 20; i++)
	{
		char		gid[60];

		outcome = run_text(session, "SELECT gid FROM pg_prepared_xacts"
						   " WHERE gid LIKE 'w%' LIMIT 1", gid, sizeof(gid));
		if (outcome != DONE || gid[0] == '\0')
			return outcome;
		snprintf(sql, sizeof(sql), "ROLLBACK PREPARED '%s'", gid);
		outcome = run(session, sql);
		if (outcome == LOST)
			return outcome;
	}
	return DONE;
}

static Outcome
work(Session *session, bool *looked)
{
	Waiting    *p = next_due();

	if (p == NULL)
	{
		bool		rest = LOOK(RUN) == 0 &&
			LOOK(IDLE) >= (uint64_t) nwriters && LOOK(PREPARED) == 0;

		nap(5);
		if (!rest)
			*looked = false;
		if (!rest || *looked)
			return DONE;
		*looked = true;
		return finish_orphans(session);
	}
	return p->heard ? finish(session, p) : find_out(session, p);
}

void *
finisher_main(void *arg)
{
	Session		session = {.number = (int) (intptr_t) arg};
	bool		looked = false;

	seed_dice(session.number);
	while (!LOOK(STOP))
	{
		if (session.pg == NULL && !session_open(&session))
			break;
		if (work(&session, &looked) == LOST ||
			PQstatus(session.pg) != CONNECTION_OK)
			session_close(&session);
	}
	session_close(&session);
	return NULL;
}
