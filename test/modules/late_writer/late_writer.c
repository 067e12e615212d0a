/*-------------------------------------------------------------------------
 *
 * late_writer.c
 *	  Runs SQL in a PRE_COMMIT or PRE_PREPARE callback, for tests (R3).
 *
 * Callbacks run in the reverse order of their registration: listed before
 * wtcache in shared_preload_libraries, this one runs when wtcache's own has
 * already written the transaction's batch.
 *
 * late_writer.sql is what to run; it is emptied first, so that the commit of
 * one transaction runs it, once.  An error in it aborts the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static char *late_sql;

static void
run_late(const char *sql)
{
	/* there is no snapshot at this point of a commit (F32) */
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	SPI_finish();
	PopActiveSnapshot();
}

static void
xact_callback(XactEvent event, void *arg)
{
	char	   *sql;

	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		return;
	if (late_sql == NULL || late_sql[0] == '\0')
		return;
	sql = pstrdup(late_sql);
	SetConfigOption("late_writer.sql", "", PGC_USERSET, PGC_S_SESSION);
	run_late(sql);
}

void
_PG_init(void)
{
	DefineCustomStringVariable("late_writer.sql",
							   "SQL to run at the end of the transaction.",
							   NULL,
							   &late_sql,
							   "",
							   PGC_USERSET,
							   0,
							   NULL, NULL, NULL);
	RegisterXactCallback(xact_callback, NULL);
}
