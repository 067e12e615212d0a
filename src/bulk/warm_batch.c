/*-------------------------------------------------------------------------
 *
 * warm_batch.c
 *	  One batch of wtcache.warm(): reading rows, locking them, queueing them.
 *
 * What makes it safe beside other writers of the same rows: a row is locked with
 * FOR SHARE when its image is made, and stays so until the batch has committed.
 * A writer that changed it before has committed before, and the version of that
 * writer's message is an earlier one than that of the batch, which is written
 * later; and the image is the one that this writer left.  A writer that changes
 * the row afterwards waits for the batch, writes its message later, and so gets
 * a later version.  So the batch is a transaction like any other, for its push,
 * for the replay, and after a promotion.
 *
 * Rows are found by a snapshot, and locked with that snapshot still active, so
 * that they cannot have been pruned.  A row that has been changed since is left
 * alone: the transaction that changed it pushes it.  So is one that is locked,
 * but that one is noted: the lock may come to nothing.  No lock is waited for,
 * so there are no deadlocks.
 *
 * The condition is the caller's SQL and runs as a query of the caller would.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "bulk/warm_batch.h"
#include "capture/condition.h"
#include "capture/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * The beginning of the query.  The condition is a column and not in the WHERE
 * clause: no index is to be used for it, as rows have to come in their order.
 */
static void
append_select(StringInfo sql, Relation root, Relation rel,
			  const char *condition)
{
	appendStringInfo(sql, "SELECT ctid, (%s\n) IS TRUE FROM ONLY %s AS %s",
					 condition != NULL ? condition : "true",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)),
					 quote_identifier(RelationGetRelationName(root)));
}

/*
 * It is a part of our query that the condition becomes, and the query has to
 * stay what it is: rows of another table must not be taken for ours.
 */
void
wtc_warm_check_condition(Relation rel, const char *condition)
{
	StringInfoData sql;
	SPIPlanPtr	plan;

	if (condition == NULL)
		return;
	initStringInfo(&sql);
	append_select(&sql, rel, rel, condition);
	plan = SPI_prepare(sql.data, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data,
			 SPI_result_code_string(SPI_result));
	SPI_freeplan(plan);

	if (wtc_single_expression(psprintf("SELECT (%s\n)", condition)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("condition must be a single expression")));
}

/* Runs the query with the active snapshot. */
static void
run_query(const char *sql)
{
	int			result = SPI_execute(sql, true, 0);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\": %s", sql,
			 SPI_result_code_string(result));
}

/* Locks a row and queues its image. */
static void
take_row(const WtcWarmPart *part, ItemPointer tid, Snapshot snapshot,
		 TupleTableSlot *slot, WtcWarmBatch *batch)
{
	TM_FailureData why;
	TM_Result	result;

	result = table_tuple_lock(part->rel, tid, snapshot, slot,
							  GetCurrentCommandId(true), LockTupleShare,
							  LockWaitSkip, 0, &why);
	switch (result)
	{
		case TM_Ok:
			batch->pushed += wtc_capture_existing(part->att, part->rel, slot);
			break;
		case TM_WouldBlock:
			batch->locked[batch->nlocked++] = *tid;
			break;
		case TM_Updated:
		case TM_Deleted:
		case TM_SelfModified:
			/* the transaction that did that pushes it */
			break;
		case TM_Invisible:
		case TM_BeingModified:
			elog(ERROR, "unexpected result %d of locking a row", result);
	}
}

/* The rows that the query has found. */
static WtcWarmBatch *
take_rows(const WtcWarmPart *part, SPITupleTable *found, uint64 n,
		  Snapshot snapshot)
{
	WtcWarmBatch *batch = palloc0(sizeof(WtcWarmBatch));
	TupleTableSlot *slot = table_slot_create(part->rel, NULL);
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext,
												  "wtcache warmed row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;

	batch->locked = palloc(sizeof(ItemPointerData) * Max(n, 1));
	old = MemoryContextSwitchTo(row_cxt);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		tid = SPI_getbinval(found->vals[i], found->tupdesc, 1,
										&isnull);

		CHECK_FOR_INTERRUPTS();
		ItemPointerCopy((ItemPointer) DatumGetPointer(tid), &batch->last);
		batch->read++;
		if (DatumGetBool(SPI_getbinval(found->vals[i], found->tupdesc, 2,
									   &isnull)))
		{
			ItemPointerData copy = batch->last;

			take_row(part, &copy, snapshot, slot, batch);
		}
		ExecClearTuple(slot);
		MemoryContextReset(row_cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_cxt);
	ExecDropSingleTupleTableSlot(slot);
	return batch;
}

static WtcWarmBatch *
take_query(const WtcWarmPart *part, const char *sql)
{
	MemoryContext caller = CurrentMemoryContext;
	WtcWarmBatch *volatile batch;
	SPITupleTable *found;
	WtcEntered	entered;

	/* the table has been locked before: what is committed now is seen */
	PushActiveSnapshot(GetLatestSnapshot());
	run_query(sql);
	found = SPI_tuptable;

	MemoryContextSwitchTo(caller);
	wtc_enter(part->att, &entered);
	PG_TRY();
	{
		batch = take_rows(part, found, SPI_processed, GetActiveSnapshot());
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	SPI_freetuptable(found);
	PopActiveSnapshot();
	return batch;
}

WtcWarmBatch *
wtc_warm_read(const WtcWarmPart *part, const char *condition,
			  const ItemPointerData *after, BlockNumber end, int most)
{
	StringInfoData sql;
	WtcWarmBatch *batch;

	/* should it be a sequential scan: from the beginning, not from anywhere */
	(void) set_config_option("synchronize_seqscans", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	initStringInfo(&sql);
	append_select(&sql, part->root, part->rel, condition);
	appendStringInfo(&sql,
					 " WHERE ctid OPERATOR(pg_catalog.>) '(%u,%u)'::pg_catalog.tid"
					 " AND ctid OPERATOR(pg_catalog.<) '(%u,0)'::pg_catalog.tid"
					 " LIMIT %d",
					 ItemPointerGetBlockNumberNoCheck(after),
					 ItemPointerGetOffsetNumberNoCheck(after), end, most);
	batch = take_query(part, sql.data);
	pfree(sql.data);
	return batch;
}

WtcWarmBatch *
wtc_warm_reread(const WtcWarmPart *part, const char *condition,
				const ItemPointerData *rows, int n)
{
	StringInfoData sql;
	WtcWarmBatch *batch;

	initStringInfo(&sql);
	append_select(&sql, part->root, part->rel, condition);
	appendStringInfoString(&sql,
						   " WHERE ctid OPERATOR(pg_catalog.=) ANY ('{");
	for (int i = 0; i < n; i++)
		appendStringInfo(&sql, "%s\"(%u,%u)\"", i > 0 ? "," : "",
						 ItemPointerGetBlockNumber(&rows[i]),
						 ItemPointerGetOffsetNumber(&rows[i]));
	appendStringInfoString(&sql, "}'::pg_catalog.tid[])");
	batch = take_query(part, sql.data);
	pfree(sql.data);
	return batch;
}
