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
 * Without one there is no query: planning it would run functions of the table's
 * owner, those in expressions of indexes, with the caller's rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "bulk/warm_batch.h"
#include "capture/attached.h"
#include "capture/condition.h"
#include "capture/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
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
					 condition,
					 wtc_qualified_name(RelationGetRelid(rel)),
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

/* Rows that a snapshot shows. */
typedef struct Rows
{
	int			n;
	ItemPointerData *tids;
	bool	   *wanted;			/* the condition holds */
}			Rows;

static void
make_room(Rows * rows, int most)
{
	rows->n = 0;
	rows->tids = palloc(sizeof(ItemPointerData) * Max(most, 1));
	rows->wanted = palloc(sizeof(bool) * Max(most, 1));
}

static void
add_row(Rows * rows, const ItemPointerData *tid, bool wanted)
{
	rows->tids[rows->n] = *tid;
	rows->wanted[rows->n++] = wanted;
}

/* Those of the query, with the active snapshot. */
static void
query_rows(const char *sql, Rows * rows)
{
	MemoryContext caller = CurrentMemoryContext;
	int			result = SPI_execute(sql, true, 0);
	SPITupleTable *found = SPI_tuptable;

	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\": %s", sql,
			 SPI_result_code_string(result));
	MemoryContextSwitchTo(caller);
	make_room(rows, (int) SPI_processed);
	for (uint64 i = 0; i < found->numvals; i++)
	{
		bool		isnull;
		Datum		tid = SPI_getbinval(found->vals[i], found->tupdesc, 1,
										&isnull);
		Datum		wanted = SPI_getbinval(found->vals[i], found->tupdesc, 2,
										   &isnull);

		add_row(rows, (ItemPointer) DatumGetPointer(tid), DatumGetBool(wanted));
	}
	SPI_freetuptable(found);
}

/* With the condition: the first ones behind a place and before a block. */
static void
query_range(const WtcWarmPart *part, const char *condition,
			const ItemPointerData *after, BlockNumber end, int most, Rows * rows)
{
	StringInfoData sql;

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
	query_rows(sql.data, rows);
	pfree(sql.data);
}

/* The same without one. */
static void
scan_rows(Relation rel, const ItemPointerData *after, BlockNumber end, int most,
		  Rows * rows)
{
	ItemPointerData first = *after;
	ItemPointerData last;
	TupleTableSlot *slot;
	TableScanDesc scan;

	make_room(rows, most);
	if (ItemPointerGetBlockNumberNoCheck(after) >= end)
		return;
	ItemPointerInc(&first);
	ItemPointerSet(&last, end - 1, MaxOffsetNumber);
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan_tidrange(rel, GetActiveSnapshot(), &first, &last);
	while (rows->n < most &&
		   table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		add_row(rows, &slot->tts_tid, true);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/* With the condition: those of these places that are there. */
static void
query_places(const WtcWarmPart *part, const char *condition,
			 const ItemPointerData *tids, int n, Rows * rows)
{
	StringInfoData sql;

	initStringInfo(&sql);
	append_select(&sql, part->root, part->rel, condition);
	appendStringInfoString(&sql,
						   " WHERE ctid OPERATOR(pg_catalog.=) ANY ('{");
	for (int i = 0; i < n; i++)
		appendStringInfo(&sql, "%s\"(%u,%u)\"", i > 0 ? "," : "",
						 ItemPointerGetBlockNumber(&tids[i]),
						 ItemPointerGetOffsetNumber(&tids[i]));
	appendStringInfoString(&sql, "}'::pg_catalog.tid[])");
	query_rows(sql.data, rows);
	pfree(sql.data);
}

/* The same without one. */
static void
fetch_rows(Relation rel, const ItemPointerData *tids, int n, Rows * rows)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);

	make_room(rows, n);
	for (int i = 0; i < n; i++)
	{
		ItemPointerData tid = tids[i];

		CHECK_FOR_INTERRUPTS();
		if (table_tuple_fetch_row_version(rel, &tid, GetActiveSnapshot(), slot))
			add_row(rows, &tids[i], true);
		ExecClearTuple(slot);
	}
	ExecDropSingleTupleTableSlot(slot);
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

static WtcWarmBatch *
take_rows(const WtcWarmPart *part, const Rows * rows)
{
	WtcWarmBatch *batch = palloc0(sizeof(WtcWarmBatch));
	TupleTableSlot *slot = table_slot_create(part->rel, NULL);
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext,
												  "wtcache warmed row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;

	batch->locked = palloc(sizeof(ItemPointerData) * Max(rows->n, 1));
	old = MemoryContextSwitchTo(row_cxt);
	for (int i = 0; i < rows->n; i++)
	{
		ItemPointerData tid = rows->tids[i];

		CHECK_FOR_INTERRUPTS();
		batch->last = tid;
		batch->read++;
		if (rows->wanted[i])
			take_row(part, &tid, GetActiveSnapshot(), slot, batch);
		ExecClearTuple(slot);
		MemoryContextReset(row_cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_cxt);
	ExecDropSingleTupleTableSlot(slot);
	return batch;
}

static WtcWarmBatch *
take_as_owner(const WtcWarmPart *part, const Rows * rows)
{
	WtcWarmBatch *volatile batch;
	WtcEntered	entered;

	wtc_enter(part->att, &entered);
	PG_TRY();
	{
		batch = take_rows(part, rows);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	return batch;
}

WtcWarmBatch *
wtc_warm_read(const WtcWarmPart *part, const char *condition,
			  const ItemPointerData *after, BlockNumber end, int most)
{
	WtcWarmBatch *batch;
	Rows		rows;

	/* the table has been locked before: what is committed now is seen */
	PushActiveSnapshot(GetLatestSnapshot());
	if (condition != NULL)
		query_range(part, condition, after, end, most, &rows);
	else
		scan_rows(part->rel, after, end, most, &rows);
	batch = take_as_owner(part, &rows);
	PopActiveSnapshot();
	return batch;
}

WtcWarmBatch *
wtc_warm_reread(const WtcWarmPart *part, const char *condition,
				const ItemPointerData *tids, int n)
{
	WtcWarmBatch *batch;
	Rows		rows;

	PushActiveSnapshot(GetLatestSnapshot());
	if (condition != NULL)
		query_places(part, condition, tids, n, &rows);
	else
		fetch_rows(part->rel, tids, n, &rows);
	batch = take_as_owner(part, &rows);
	PopActiveSnapshot();
	return batch;
}
