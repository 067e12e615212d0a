/*-------------------------------------------------------------------------
 *
 * pg.c
 *	  Sessions that survive whatever is done to their server.
 *
 * Every wait has a deadline.  It is far beyond what any fault takes, so
 * passing it is a violation.
 *
 *-------------------------------------------------------------------------
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"

#define DEADLINE	90.0		/* seconds */

/* Columns that follow from id, seq and writer: see schema.sql */
#define FOLLOWS(seq) \
	"category = category_of(id, " seq "), pad = pad_of(" seq "), " \
	"checksum = checksum_of(id, " seq ", $3)"

/* Of the rows that belong to one writer */
#define UPDATE(table) \
	{"update " table, "UPDATE " table " SET seq = $2::bigint," \
	" writer = $3::int, note = $4, " FOLLOWS("$2::bigint") \
	" WHERE id = $1::int"}
#define UPSERT(table) \
	{"upsert " table, "INSERT INTO " table " VALUES ($1::int, $2::bigint," \
	" $3::int, category_of($1, $2), $4, pad_of($2), checksum_of($1, $2, $3))" \
	" ON CONFLICT (id) DO UPDATE SET seq = excluded.seq," \
	" writer = excluded.writer, category = excluded.category," \
	" note = excluded.note, pad = excluded.pad," \
	" checksum = excluded.checksum"}
#define DELETE(table) \
	{"delete " table, "DELETE FROM " table " WHERE id = $1::int" \
	" AND $2::bigint IS NOT NULL AND $3::int IS NOT NULL" \
	" AND $4::text IS NOT NULL"}

static const struct
{
	const char *name;
	const char *sql;
}			statements[] = {
	UPDATE("items"),
	UPSERT("items"),
	DELETE("items"),
	UPDATE("section"),
	UPSERT("section"),
	DELETE("section"),

	/* The lock puts the page in order with the changes of its section. */
	{"page", "SELECT seq, wtcache.set('page:' || id, CASE $4::text"
		" WHEN 'poison' THEN '\"poison\"' ELSE jsonb_build_array(id, seq, writer)"
		" END, NULL, ARRAY['page:' || id])"
		" FROM (SELECT * FROM section WHERE id = $1::int"
	" AND $2::bigint IS NOT NULL AND $3::int IS NOT NULL FOR SHARE) s"},
	{"hot", "UPDATE hot SET seq = seq + 1, writer = $3::int,"
		" note = coalesce(nullif($4, ''), 'good-' || id || '-' || seq + 1), "
		FOLLOWS("seq + 1") " WHERE id = $1::int AND $2::bigint IS NOT NULL"
	" RETURNING seq"},
	{"big", "UPDATE bulk SET seq = $2::bigint, writer = $3::int,"
		" note = coalesce(nullif($4, ''), 'good-' || id || '-' || $2), "
		FOLLOWS("$2::bigint") " WHERE id / 5000 = $1::int"},
};

static bool
wait_readable(PGconn *pg, double deadline)
{
	struct pollfd fd = {PQsocket(pg), POLLIN, 0};
	double		left = deadline - now();

	if (left <= 0)
		return false;
	return poll(&fd, 1, (int) (left * 1000) + 1) >= 0;
}

/* The result of what was sent; NULL: the deadline has passed, or it is lost. */
static PGresult *
await_result(Session *session, double deadline)
{
	PGresult   *last = NULL;

	for (;;)
	{
		PGresult   *res;

		while (PQisBusy(session->pg))
		{
			if (!wait_readable(session->pg, deadline))
			{
				report(W_V_STUCK, NULL, "a statement does not end", NULL);
				PQclear(last);
				return NULL;
			}
			if (!PQconsumeInput(session->pg))
			{
				PQclear(last);
				return NULL;
			}
		}
		res = PQgetResult(session->pg);
		if (res == NULL)
			return last;
		PQclear(last);
		last = res;
	}
}

static Outcome
judge_result(Session *session, const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	if (res != NULL && (status == PGRES_COMMAND_OK ||
						status == PGRES_TUPLES_OK))
		return DONE;
	COUNT(ERRORS, 1);
	snprintf(session->error, sizeof(session->error), "%s",
			 PQerrorMessage(session->pg));
	/* FATAL is followed by the end of the connection. */
	return res == NULL || PQstatus(session->pg) != CONNECTION_OK ||
		PQtransactionStatus(session->pg) == PQTRANS_UNKNOWN ? LOST : REFUSED;
}

static Outcome
take_result(Session *session, bool sent, long *rows, char *value, size_t size)
{
	PGresult   *res = sent ? await_result(session, now() + DEADLINE) : NULL;
	Outcome		outcome = judge_result(session, res);

	if (outcome == DONE)
	{
		/* COMMIT of what has failed says ROLLBACK. */
		if (rows != NULL)
			*rows = atol(PQcmdTuples(res));
		if (value != NULL)
			snprintf(value, size, "%s", PQntuples(res) > 0 ?
					 PQgetvalue(res, 0, 0) : "");
	}
	PQclear(res);
	return outcome;
}

Outcome
run(Session *session, const char *sql)
{
	return take_result(session, PQsendQuery(session->pg, sql), NULL, NULL, 0);
}

Outcome
run_text(Session *session, const char *sql, char *value, size_t size)
{
	value[0] = '\0';
	return take_result(session, PQsendQuery(session->pg, sql), NULL, value, size);
}

/* If it cannot be sent, its end will tell. */
void
begin_rows(Session *session, const char *sql)
{
	(void) PQsendQuery(session->pg, sql);
}

Outcome
end_rows(Session *session, PGresult **result)
{
	Outcome		outcome;

	*result = await_result(session, now() + DEADLINE);
	outcome = judge_result(session, *result);
	if (outcome != DONE)
	{
		PQclear(*result);
		*result = NULL;
	}
	return outcome;
}

Outcome
run_rows(Session *session, const char *sql, PGresult **result)
{
	begin_rows(session, sql);
	return end_rows(session, result);
}

Outcome
run_prepared(Session *session, const char *name, int nparams,
			 const long *params, const char *text, long *rows, long *value)
{
	char		buf[4][24];
	char		first[24] = "0";
	const char *values[5];
	Outcome		outcome;

	for (int i = 0; i < nparams; i++)
	{
		snprintf(buf[i], sizeof(buf[i]), "%ld", params[i]);
		values[i] = buf[i];
	}
	values[nparams] = text;
	outcome = take_result(session,
						  PQsendQueryPrepared(session->pg, name, nparams + 1,
										   values, NULL, NULL, 0),
						  rows, first, sizeof(first));
	if (value != NULL)
		*value = atol(first);
	return outcome;
}

static bool
prepare_statements(Session *session)
{
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		if (take_result(session,
						PQsendPrepare(session->pg, statements[i].name,
									  statements[i].sql, 0, NULL),
						NULL, NULL, 0) != DONE)
		{
			/* a mistake in the driver would go unnoticed otherwise */
			if (strstr(session->error, "ERROR:  syntax") != NULL)
				die("%s", session->error);
			return false;
		}
	return true;
}

void
session_close(Session *session)
{
	PQfinish(session->pg);
	session->pg = NULL;
}

static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

bool
session_open(Session *session)
{
	double		deadline = now() + DEADLINE;
	char		how[512];

	session_close(session);
	while (session->backend != 0 && !process_gone(session->backend) &&
		   now() < deadline && !LOOK(STOP))
		nap(5);
	session->backend = 0;
	session->commits = 0;
	/* of a word that is said twice the last counts */
	snprintf(how, sizeof(how), "%s%s", conninfo,
			 session->operator ? " user=operator" : "");
	while (!LOOK(STOP))
	{
		session->pg = PQconnectdb(how);
		if (PQstatus(session->pg) == CONNECTION_OK)
		{
			PQsetNoticeProcessor(session->pg, ignore_notice, NULL);
			session->backend = PQbackendPID(session->pg);
			if (session->operator || prepare_statements(session))
			{
				COUNT(CONNECTIONS, 1);
				return true;
			}
		}
		session_close(session);
		if (now() > deadline)
		{
			report(W_V_STUCK, NULL, "cannot connect", NULL);
			deadline = now() + DEADLINE;
		}
		nap(30);
	}
	return false;
}
