/*-------------------------------------------------------------------------
 *
 * warm_job.c
 *	  The tables in which wtcache.warm() notes how far it has come.
 *
 * What a batch has done is noted in its own transaction, so that it is known
 * exactly when the batch has been committed.  The tables belong to the
 * extension; a user who may warm a table need not be able to write them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bulk/warm_job.h"
#include "capture/attached.h"
#include "capture/settings.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* more rows than that are counted, but not noted */
#define MAX_SKIPPED		100000

#define MAX_ARGS		12

/* The arguments of a statement. */
typedef struct SqlArgs
{
	int			n;
	Oid			types[MAX_ARGS];
	Datum		values[MAX_ARGS];
	char		nulls[MAX_ARGS];
} SqlArgs;

static void
add(SqlArgs *args, Oid type, Datum value, bool isnull)
{
	Assert(args->n < MAX_ARGS);
	args->types[args->n] = type;
	args->values[args->n] = value;
	args->nulls[args->n] = isnull ? 'n' : ' ';
	args->n++;
}

static void
add_oid(SqlArgs *args, Oid value)
{
	add(args, OIDOID, ObjectIdGetDatum(value), !OidIsValid(value));
}

static void
add_int(SqlArgs *args, int64 value)
{
	add(args, INT8OID, Int64GetDatum(value), false);
}

static void
add_tid(SqlArgs *args, const ItemPointerData *tid)
{
	add(args, TIDOID, PointerGetDatum(tid), false);
}

static void
add_tids(SqlArgs *args, const ItemPointerData *tids, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elems[i] = PointerGetDatum(&tids[i]);
	add(args, TIDARRAYOID,
		PointerGetDatum(construct_array(elems, n, TIDOID,
										sizeof(ItemPointerData), false,
										TYPALIGN_SHORT)), false);
	pfree(elems);
}

static void
add_oids(SqlArgs *args, const List *oids)
{
	Datum	   *elems = palloc(sizeof(Datum) * Max(list_length(oids), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, oids)
		elems[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	add(args, OIDARRAYOID,
		PointerGetDatum(construct_array(elems, n, OIDOID, sizeof(Oid), true,
										TYPALIGN_INT)), false);
	pfree(elems);
}

static Oid
tables_owner(void)
{
	return wtc_relation_owner(RangeVarGetRelid(makeRangeVar("wtcache", "warm_job", -1),
											   NoLock, false));
}

/*
 * Runs a statement as the owner of the tables, with a search_path in which
 * the caller can have put nothing.
 */
static uint64
run(const char *sql, SqlArgs *args, int expected)
{
	MemoryContext caller = CurrentMemoryContext;
	WtcPinned	pinned;
	Oid			user;
	int			context;
	volatile int result;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(tables_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	wtc_pin_settings(&pinned, true);
	PG_TRY();
	{
		result = SPI_execute_with_args(sql, args->n, args->types, args->values,
									   args->nulls, false, 0);
	}
	PG_FINALLY();
	{
		wtc_unpin_settings(&pinned);
	}
	PG_END_TRY();
	SetUserIdAndSecContext(user, context);
	MemoryContextSwitchTo(caller);
	if (result != expected)
		elog(ERROR, "could not execute \"%s\": %s", sql,
			 SPI_result_code_string(result));
	return SPI_processed;
}

/* --- what the last statement has returned --- */

static Datum
column(int row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 number, isnull);
}

static int64
column_int(int number)
{
	bool		isnull;
	Datum		value = column(0, number, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static Oid
column_oid(int row, int number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

static void
column_tid(int row, int number, ItemPointer tid)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	ItemPointerCopy((ItemPointer) DatumGetPointer(value), tid);
}

static List *
column_oids(int number)
{
	bool		isnull;
	Datum	   *elems;
	int			n;
	List	   *oids = NIL;

	deconstruct_array(DatumGetArrayTypeP(column(0, number, &isnull)),
					  OIDOID, sizeof(Oid), true, TYPALIGN_INT,
					  &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		oids = lappend_oid(oids, DatumGetObjectId(elems[i]));
	return oids;
}

bool
wtc_warm_load(WtcWarmJob *job)
{
	SqlArgs		args = {0};
	bool		isnull;
	Datum		condition;

	add_oid(&args, job->relid);
	if (run("SELECT condition, phase = 'retrying', finished_at IS NOT NULL,"
			" part, file, part_blocks, last, blocks_before, blocks_total,"
			" rows_total, rows_done, rows_pushed, rows_skipped, parts, role"
			" FROM wtcache.warm_job WHERE relation = $1",
			&args, SPI_OK_SELECT) == 0)
		return false;

	condition = column(0, 1, &isnull);
	job->condition = isnull ? NULL : TextDatumGetCString(condition);
	job->retrying = DatumGetBool(column(0, 2, &isnull));
	job->finished = DatumGetBool(column(0, 3, &isnull));
	job->part = column_oid(0, 4);
	job->file = column_oid(0, 5);
	job->part_blocks = (BlockNumber) column_int(6);
	column_tid(0, 7, &job->last);
	job->blocks_before = column_int(8);
	job->blocks_total = column_int(9);
	job->rows_total = column_int(10);
	job->rows_done = column_int(11);
	job->rows_pushed = column_int(12);
	job->rows_skipped = column_int(13);
	job->parts = column_oids(14);
	job->role = column_oid(0, 15);
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/* $1 to $12 */
static void
add_state(SqlArgs *args, const WtcWarmJob *job)
{
	add_oid(args, job->relid);
	add(args, TEXTOID, CStringGetTextDatum(job->finished ? "finished" :
										   job->retrying ? "retrying" :
										   "scanning"), false);
	add_oid(args, job->part);
	add_oid(args, job->file);
	add_int(args, job->part_blocks);
	add_tid(args, &job->last);
	add_int(args, job->blocks_before);
	add_int(args, job->blocks_total);
	add_int(args, job->rows_done);
	add_int(args, job->rows_pushed);
	add_int(args, job->rows_skipped);
	add_int(args, job->finished || job->retrying ? job->blocks_total :
			job->blocks_before +
			Min(ItemPointerGetBlockNumberNoCheck(&job->last), job->part_blocks));
}

void
wtc_warm_save(const WtcWarmJob *job)
{
	SqlArgs		args = {0};

	add_state(&args, job);
	if (run("UPDATE wtcache.warm_job SET phase = $2, part = $3, file = $4,"
			" part_blocks = $5, last = $6, blocks_before = $7,"
			" blocks_total = $8, rows_done = $9, rows_pushed = $10,"
			" rows_skipped = $11, blocks_done = $12, updated_at = clock_timestamp(),"
			" finished_at = CASE WHEN $2 = 'finished' THEN clock_timestamp() END"
			" WHERE relation = $1", &args, SPI_OK_UPDATE) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the record of this warming has been removed from wtcache.warm_job")));
}

void
wtc_warm_save_parts(const WtcWarmJob *job)
{
	SqlArgs		args = {0};

	add_oid(&args, job->relid);
	add_oids(&args, job->parts);
	(void) run("UPDATE wtcache.warm_job SET parts = $2 WHERE relation = $1",
			   &args, SPI_OK_UPDATE);
}

/* From now on; what is done from now on is counted for the rate. */
void
wtc_warm_resume(const WtcWarmJob *job)
{
	SqlArgs		args = {0};

	wtc_warm_save(job);
	add_oid(&args, job->relid);
	add(&args, INT4OID, Int32GetDatum(MyProcPid), false);
	(void) run("UPDATE wtcache.warm_job SET pid = $2, run_at = updated_at,"
			   " run_rows = rows_done, run_blocks = blocks_done"
			   " WHERE relation = $1", &args, SPI_OK_UPDATE);
}

void
wtc_warm_create(const WtcWarmJob *job)
{
	SqlArgs		args = {0};

	/* also of tables that are gone */
	add_oid(&args, job->relid);
	(void) run("DELETE FROM wtcache.warm_skipped WHERE relation = $1 OR"
			   " NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = relation)",
			   &args, SPI_OK_DELETE);
	(void) run("DELETE FROM wtcache.warm_job WHERE relation = $1 OR"
			   " NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = relation)",
			   &args, SPI_OK_DELETE);
	add(&args, TEXTOID, job->condition == NULL ? (Datum) 0 :
		CStringGetTextDatum(job->condition), job->condition == NULL);
	add_int(&args, job->rows_total);
	add_oid(&args, GetUserId());
	(void) run("INSERT INTO wtcache.warm_job (relation, condition, rows_total, role)"
			   " VALUES ($1, $2, $3, $4)", &args, SPI_OK_INSERT);
	wtc_warm_save_parts(job);
	wtc_warm_resume(job);
}

void
wtc_warm_skip(WtcWarmJob *job, const WtcWarmBatch *batch)
{
	int			n = Min(batch->nlocked, MAX_SKIPPED - job->rows_skipped);
	SqlArgs		args = {0};

	job->rows_skipped += batch->nlocked;
	if (n <= 0)
		return;
	add_oid(&args, job->relid);
	add_oid(&args, job->part);
	add_oid(&args, job->file);
	add_tids(&args, batch->locked, n);
	(void) run("INSERT INTO wtcache.warm_skipped"
			   " SELECT $1, $2, $3, t FROM unnest($4) t"
			   " ON CONFLICT DO NOTHING", &args, SPI_OK_INSERT);
}

int
wtc_warm_skipped(WtcWarmJob *job, int most, ItemPointerData **rows)
{
	SqlArgs		args = {0};
	int			found;
	int			n = 0;

	add_oid(&args, job->relid);
	add(&args, OIDOID, ObjectIdGetDatum(job->part), false);
	add_tid(&args, &job->last);
	add_int(&args, most);
	found = (int) run("SELECT part, file, tid FROM wtcache.warm_skipped"
					  " WHERE relation = $1 AND (part, tid) > ($2, $3)"
					  " ORDER BY part, tid LIMIT $4", &args, SPI_OK_SELECT);
	*rows = palloc(sizeof(ItemPointerData) * Max(found, 1));
	while (n < found && column_oid(n, 1) == column_oid(0, 1))
	{
		column_tid(n, 3, &(*rows)[n]);
		n++;
	}
	if (n > 0)
	{
		job->part = column_oid(0, 1);
		job->file = column_oid(0, 2);
		job->last = (*rows)[n - 1];
	}
	SPI_freetuptable(SPI_tuptable);
	return n;
}

void
wtc_warm_settle(WtcWarmJob *job, const ItemPointerData *rows, int n,
				const WtcWarmBatch *except)
{
	SqlArgs		args = {0};
	int64		deleted;

	add_oid(&args, job->relid);
	add_oid(&args, job->part);
	add_tids(&args, rows, n);
	add_tids(&args, except->locked, except->nlocked);
	deleted = run("DELETE FROM wtcache.warm_skipped"
				  " WHERE relation = $1 AND part = $2"
				  " AND tid = ANY ($3) AND tid <> ALL ($4)",
				  &args, SPI_OK_DELETE);
	job->rows_skipped = Max(job->rows_skipped - deleted, 0);
}
