/*-------------------------------------------------------------------------
 *
 * warm.c
 *	  wtcache.warm(): filling the cache with the rows that are there.
 *
 * A procedure that commits after every batch.  A batch locks its rows and
 * queues their images (warm_batch.c says why that is safe) and notes in the
 * same transaction how far the job has come, so that it can go on from there
 * whatever happens.  Tables are read by the place of the rows, block by block,
 * partitions one after the other in the order of their OIDs; up to the end
 * that they have when their turn comes, for what is added later is pushed by
 * the transaction that adds it.  A table that is rewritten meanwhile is read
 * again, and partitions that are attached meanwhile are read after the others.
 *
 * Batches are pushed by their own commit, whatever wtcache.mode is, and the
 * next one begins when that has been good.  So a slow Redis slows the job down,
 * and one that is away stops it: it does not fill the write-ahead log with
 * what would have to be replayed.
 *
 * A session lock keeps a second job off the same table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "bulk/pause.h"
#include "bulk/warm_batch.h"
#include "bulk/warm_job.h"
#include "bulk/warm_table.h"
#include "capture/attached.h"
#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "read/wait.h"
#include "redis/conn.h"
#include "redis/status.h"
#include "shared/breaker.h"
#include "shared/filled.h"
#include "shared/slots.h"
#include "sql.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "txn/prefix.h"
#include "txn/xact.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(wtcache_warm);

/* most blocks to look at in a transaction */
#define BATCH_BLOCKS	1024

#define MAX_BATCH		100000

/* how long, and how often, to try again rows that are locked */
#define RETRY_US		INT64CONST(2000000)
#define RETRY_PAUSE_US	INT64CONST(100000)

/* objsubid of the session lock in pg_locks; users' have 1 and 2 */
#define LOCK_SPACE		30580

typedef struct WarmOptions
{
	int			batch_size;
	double		max_rate;		/* rows/s; 0: no limit */
	bool		resume;
	int64		redis_timeout_us;
} WarmOptions;

/* A call of the procedure. */
typedef struct WarmRun
{
	WarmOptions options;
	WtcWarmJob	job;
	MemoryContext batch_cxt;	/* reset after each batch */
	int64		begun_us;
	TimestampTz begun_at;
	int64		pushed;			/* rows of this call */

	/* skipped rows tried again in this batch, and what became of them */
	int			nretried;
	ItemPointerData *retried;
	WtcWarmBatch *outcome;
} WarmRun;

/*
 * Redis
 */

static void
check_redis_is_set(void)
{
	if (wtc_url[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wtcache.url is empty: there is no cache to warm")));
	if (!wtc_enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wtcache.enabled is off: rows would be deleted from the cache")));
	wtc_check_prefix();
}

static const char *
last_failure(void)
{
	TimestampTz at;
	int			last = wtc_last_failure(&at);

	return last == 0 ? "none" : wtc_status_name((WtcStatus) last);
}

/*
 * Waits until Redis holds what has been committed so far.  away: because it
 * does not answer, and not just for the worker to make its acquaintance.
 */
static void
wait_for_redis(WarmRun *run, bool away)
{
	if (away)
		ereport(NOTICE,
				(errmsg("waiting for Redis"),
				 errdetail("Its last failure was: %s.", last_failure())));
	if (!wtc_wait_until_pushed(wtc_clock_us() + run->options.redis_timeout_us))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("Redis has not come back, the warming is interrupted"),
				 errdetail("Its last failure was: %s.", last_failure()),
				 errhint("Call wtcache.warm() with resume => true to go on.")));
}

static bool
breaker_is_open(void)
{
	TimestampTz since;
	int			failures;

	return wtc_breaker_state(wtc_clock_us(), &since, &failures) !=
		WTC_BREAKER_CLOSED;
}

/*
 * One batch
 */

/* Looks for the table part to be read; false: there are no more. */
static bool
find_part(WtcWarmJob *job, Relation root, WtcWarmPart *part)
{
	Oid			next;

	if (OidIsValid(job->part) &&
		ItemPointerGetBlockNumberNoCheck(&job->last) < job->part_blocks &&
		(job->part == RelationGetRelid(root) ||
		 list_member_oid(wtc_tables_with_rows(root), job->part)))
	{
		wtc_warm_open_part(part, root, job->part);
		if (wtc_relation_file(part->rel) == job->file)
			return true;
	}
	else
	{
		job->blocks_before += job->part_blocks;
		job->part_blocks = 0;
		next = wtc_warm_next_part(job, root);
		if (!OidIsValid(next) && wtc_warm_add_parts(job, root))
		{
			wtc_warm_save_parts(job);
			next = wtc_warm_next_part(job, root);
		}
		job->part = next;
		if (!OidIsValid(next))
			return false;
		wtc_warm_open_part(part, root, job->part);
	}
	job->file = wtc_relation_file(part->rel);
	job->part_blocks = RelationGetNumberOfBlocks(part->rel);
	ItemPointerSet(&job->last, 0, 0);
	job->blocks_total = Max(job->blocks_total,
							job->blocks_before + job->part_blocks);
	return true;
}

static int
batch_limit(const WarmRun *run)
{
	double		rate = run->options.max_rate;

	if (rate == 0 || rate >= run->options.batch_size)
		return run->options.batch_size;
	return Max((int) rate, 1);
}

/* Reads on; returns how many rows are to be pushed. */
static int
scan(WarmRun *run, Relation root)
{
	WtcWarmJob *job = &run->job;
	WtcWarmPart part;
	WtcWarmBatch *batch;
	BlockNumber end;
	int			most = batch_limit(run);

	if (!find_part(job, root, &part))
	{
		job->retrying = true;
		job->part = job->file = InvalidOid;
		ItemPointerSet(&job->last, 0, 0);
		return 0;
	}

	end = Min((uint64) ItemPointerGetBlockNumberNoCheck(&job->last) +
			  BATCH_BLOCKS, job->part_blocks);
	batch = wtc_warm_read(&part, job->condition, &job->last, end, most);
	if (batch->read < most)
		ItemPointerSet(&job->last, end, 0);
	else
		job->last = batch->last;
	job->rows_done += batch->read;
	job->rows_pushed += batch->pushed;
	if (batch->nlocked > 0)
		wtc_warm_skip(job, batch);
	table_close(part.rel, NoLock);
	return batch->pushed;
}

/* Is the table part still there, with its rows where they were? */
static bool
open_skipped(WtcWarmJob *job, Relation root, WtcWarmPart *part)
{
	if (job->part != RelationGetRelid(root) &&
		!list_member_oid(wtc_tables_with_rows(root), job->part))
		return false;
	wtc_warm_open_part(part, root, job->part);
	if (wtc_relation_file(part->rel) == job->file)
		return true;
	table_close(part->rel, NoLock);
	return false;
}

/* Tries skipped rows again; *any: there have been some. */
static int
retry(WarmRun *run, Relation root, bool *any)
{
	WtcWarmJob *job = &run->job;
	WtcWarmPart part;
	int			n = wtc_warm_skipped(job, batch_limit(run), &run->retried);

	*any = n > 0;
	if (n == 0 || !open_skipped(job, root, &part))
		return 0;
	run->nretried = n;
	run->outcome = wtc_warm_reread(&part, job->condition, run->retried, n);
	job->rows_pushed += run->outcome->pushed;
	table_close(part.rel, NoLock);
	return run->outcome->pushed;
}

/*
 * Commits a batch.  What it was to push may have been taken by Redis, or be
 * left to the worker, which is waited for; or Redis could not store it.
 */
static void
commit_batch(WarmRun *run, const WtcWarmJob *before, int pushed)
{
	wtc_warm_save(&run->job);
	SPI_commit();
	run->pushed += pushed;
	if (pushed == 0 || wtc_xact_outcome() == WTC_PUSH_DONE)
		return;
	if (wtc_xact_outcome() != WTC_PUSH_REJECTED)
	{
		wait_for_redis(run, wtc_xact_outcome() != WTC_PUSH_DEFERRED);
		return;
	}
	wtc_warm_save(before);
	SPI_commit();
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("Redis could not store all rows, the warming is interrupted"),
			 errdetail("Its last failure was: %s.", last_failure()),
			 errhint("Call wtcache.warm() with resume => true to go on.")));
}

/* To what the rate limit allows. */
static void
pace(const WarmRun *run)
{
	if (run->options.max_rate > 0)
		wtc_sleep_until(run->begun_us +
						(int64) (run->pushed * 1e6 / run->options.max_rate));
}

/* A transaction's worth; *any: see retry(). */
static void
do_batch(WarmRun *run, bool *any)
{
	WtcWarmJob	before = run->job;
	MemoryContext old;
	const Trigger *trigger;
	Relation	root;
	int			pushed;

	check_redis_is_set();
	if (breaker_is_open())
		wait_for_redis(run, true);

	(void) set_config_option("wtcache.mode", "write_through", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	old = MemoryContextSwitchTo(run->batch_cxt);
	root = wtc_warm_open(run->job.relid, &trigger);
	pushed = run->job.retrying ? retry(run, root, any) : scan(run, root);
	relation_close(root, NoLock);
	commit_batch(run, &before, pushed);

	/* not before they are in Redis */
	if (run->nretried > 0)
	{
		wtc_warm_settle(&run->job, run->retried, run->nretried, run->outcome);
		wtc_warm_save(&run->job);
		SPI_commit();
		run->nretried = 0;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->batch_cxt);
	pace(run);
}

/*
 * The job
 */

/* Tries again what was locked, for a while. */
static void
retry_skipped(WarmRun *run)
{
	int64		until = wtc_clock_us() + RETRY_US;

	for (;;)
	{
		bool		any;

		run->job.part = InvalidOid;
		do
		{
			do_batch(run, &any);
		} while (any);
		if (run->job.rows_skipped == 0 || wtc_clock_us() > until)
			break;
		wtc_sleep_until(wtc_clock_us() + RETRY_PAUSE_US);
	}
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Where to go on; false: there is nothing to do. */
static bool
resume_job(WarmRun *run, Relation root, const char *condition)
{
	WtcWarmJob *job = &run->job;

	if (!wtc_warm_load(job))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no warming of \"%s\" has been begun",
						RelationGetRelationName(root)),
				 errhint("Call wtcache.warm() without resume.")));
	if (condition != NULL && !same_text(condition, job->condition))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the warming of \"%s\" was begun with another condition",
						RelationGetRelationName(root)),
				 errhint("Leave condition out to go on with that one.")));
	/* it runs with the rights of the caller, which has not seen it */
	if (condition == NULL && job->condition != NULL && job->role != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the condition of the warming of \"%s\" was given by another role",
						RelationGetRelationName(root)),
				 errdetail("It would be evaluated with your rights."),
				 errhint("To go on with it, give it as well; wtcache.stat_progress_warm shows it.")));
	if (job->finished && job->rows_skipped == 0)
		return false;
	job->retrying |= job->finished;
	job->finished = false;
	wtc_warm_resume(job);
	return true;
}

static void
start_job(WarmRun *run, Relation root, char *condition)
{
	WtcWarmJob *job = &run->job;

	wtc_warm_check_condition(root, condition);
	job->condition = condition;
	(void) wtc_warm_add_parts(job, root);
	wtc_warm_create(job);
}

/* The first transaction: checks, and the record of the job. */
static bool
begin_job(WarmRun *run, char *condition)
{
	const Trigger *trigger;
	Relation	root;
	bool		todo = true;

	check_redis_is_set();
	root = wtc_warm_open(run->job.relid, &trigger);
	if (root->rd_rel->relkind == RELKIND_RELATION)
	{
		WtcWarmPart part;

		wtc_warm_open_part(&part, root, run->job.relid);
		table_close(part.rel, NoLock);
	}
	if (run->options.resume)
		todo = resume_job(run, root, condition);
	else
		start_job(run, root, condition);
	relation_close(root, NoLock);
	SPI_commit();
	return todo;
}

static void
finish_job(WarmRun *run)
{
	run->job.finished = true;
	wtc_warm_save(&run->job);
	SPI_commit();

	/*
	 * rows of an earlier call may have been pushed before the cache was
	 * emptied
	 */
	if (!run->options.resume && run->job.condition == NULL)
		wtc_filled_note(run->job.relid, run->begun_at);
	if (run->job.rows_skipped > 0)
		ereport(NOTICE,
				(errmsg("rows that are locked by other transactions have been skipped: %lld",
						(long long) run->job.rows_skipped),
				 errdetail("Those that are changed will be pushed by who changes them."),
				 errhint("Call wtcache.warm() with resume => true to try them again.")));
}

static void
run_job(WarmRun *run, char *condition)
{
	bool		any;

	if (!begin_job(run, condition))
	{
		ereport(NOTICE,
				(errmsg("the warming is finished, there is nothing to resume")));
		return;
	}
	run->begun_us = wtc_clock_us();
	run->begun_at = GetCurrentTimestamp();
	while (!run->job.retrying)
		do_batch(run, &any);
	if (run->job.rows_skipped > 0)
		retry_skipped(run);
	finish_job(run);
}

/*
 * The procedure
 */

static void
check_argument(bool ok, const char *what)
{
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg_internal("%s", what)));
}

static void
check_call(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic ||
		IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("wtcache.warm() cannot run inside a transaction block"),
				 errdetail("It commits after every batch.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("wtcache.warm() cannot be executed during recovery: only the primary server pushes.")));
}

static void
take_options(FunctionCallInfo fcinfo, WarmOptions *options)
{
	check_argument(!PG_ARGISNULL(0), "relation must not be null");
	check_argument(!PG_ARGISNULL(1) && PG_GETARG_INT32(1) >= 1 &&
				   PG_GETARG_INT32(1) <= MAX_BATCH,
				   "batch_size must be between 1 and 100000");
	check_argument(PG_ARGISNULL(2) || PG_GETARG_FLOAT8(2) >= 0.01,
				   "max_rate must be at least 0.01");
	check_argument(!PG_ARGISNULL(4), "resume must not be null");
	check_argument(!PG_ARGISNULL(5), "redis_timeout must not be null");

	options->batch_size = PG_GETARG_INT32(1);
	options->max_rate = PG_ARGISNULL(2) ? 0 : PG_GETARG_FLOAT8(2);
	options->resume = PG_GETARG_BOOL(4);
	options->redis_timeout_us = wtc_timeout_us(PG_GETARG_INTERVAL_P(5));
}

static void
lock_job(LOCKTAG *tag, Oid relid)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, relid, 0, LOCK_SPACE);
	if (LockAcquire(tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("\"%s\" is being warmed by another session",
						get_rel_name(relid)),
				 errhint("See wtcache.stat_progress_warm.")));
}

Datum
wtcache_warm(PG_FUNCTION_ARGS)
{
	WarmRun		run = {0};
	char	   *condition;
	LOCKTAG		tag;

	check_call(fcinfo);
	take_options(fcinfo, &run.options);
	run.job.relid = PG_GETARG_OID(0);
	ItemPointerSet(&run.job.last, 0, 0);

	/* what is allocated from here on survives commits */
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	run.job.cxt = CurrentMemoryContext;
	condition = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	run.batch_cxt = AllocSetContextCreate(CurrentMemoryContext,
										  "wtcache warm batch",
										  ALLOCSET_DEFAULT_SIZES);
	lock_job(&tag, run.job.relid);
	PG_TRY();
	{
		run_job(&run, condition);
	}
	PG_FINALLY();
	{
		LockRelease(&tag, ExclusiveLock, true);
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_VOID();
}
