/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  The capture triggers: from a changed row to pending operations.
 *
 * They run inside the statement and may raise errors like any trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/attachment_cache.h"
#include "capture/image.h"
#include "capture/trigger.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/executor.h"
#include "guc.h"
#include "miscadmin.h"
#include "shared/slots.h"
#include "txn/pending.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(wtcache_capture_row);
PG_FUNCTION_INFO_V1(wtcache_capture_truncate);
PG_FUNCTION_INFO_V1(wtcache_capture_condition);

/*
 * Has this transaction changed the row version again?  If an AFTER trigger
 * changes the row that fired it, the newer version comes here first, by the inner
 * statement, and the older one last.  A change that was rolled back to a
 * savepoint does not count.
 */
static bool
is_superseded(HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;

	if ((header->t_infomask & HEAP_XMAX_INVALID) ||
		HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

static void
invalidate_tags(WtcAttachment *att, Relation rel, TupleTableSlot *slot)
{
	for (int i = 0; i < att->ninvalidates; i++)
	{
		WtcChange	change = {
			.op = {.kind = WTC_OP_INVALIDATE},
			.row = {.relid = RelationGetRelid(rel)}
		};

		if (wtc_render_invalidated(att, i, slot, &change.op.key))
			wtc_pending_add(&change);
	}
}

static WtcRowId
row_id(Relation rel, HeapTuple tuple)
{
	WtcRowId	id;

	id.relid = RelationGetRelid(rel);
	id.file = wtc_relation_file(rel);
	id.tid = tuple->t_self;
	return id;
}

static void
delete_key(Relation rel, HeapTuple tuple, const WtcRendered *row)
{
	WtcChange	change = {
		.op = {.kind = WTC_OP_DELETE,.key = row->key,.removed = row->tags},
		.row = row_id(rel, tuple)
	};

	wtc_pending_add(&change);
}

/*
 * The new version of a row, if it is the last one.  before, if not NULL, is
 * the old one under the same key.
 */
static void
store_key(WtcAttachment *att, Relation rel, TupleTableSlot *slot,
		  HeapTuple tuple, const WtcRendered *row, const WtcRendered *before)
{
	WtcChange	change = {
		.op = {.kind = WTC_OP_DELETE,.key = row->key},
		.row = row_id(rel, tuple)
	};
	WtcImage	image = WTC_IMAGE_NONE;

	if (before != NULL)
		change.op.removed = wtc_list_without(&before->tags, &row->tags);
	if (wtc_enabled && !row->untaggable)
		image = wtc_render_image(att, slot, &change.op);
	if (image == WTC_IMAGE_MADE)
	{
		wtc_spread_ttl(&change.op);
		change.op.tags = row->tags;
		wtc_render_patterns(&att->patterns, &change.op);
	}
	else
	{
		wtc_count(WTC_TOO_LARGE, image == WTC_IMAGE_TOO_LARGE);
		/* the row lives, but not in the cache, whatever stored it */
		change.op.kind = WTC_OP_DELETE;
		ItemPointerSetInvalid(&change.row.tid);
	}
	wtc_pending_add(&change);
}

/*
 * A row version under this key has come and gone.  What became of it was
 * said already, or will not be said (a trigger was disabled).
 */
static void
mention_key(Relation rel, const WtcRendered *row)
{
	WtcChange	change = {
		.op = {.kind = WTC_OP_DELETE,.key = row->key},
		.row = {.relid = RelationGetRelid(rel)},
		.weak = true
	};

	wtc_pending_add(&change);
}

/*
 * One change of a row; either slot may be NULL.
 *
 * A superseded new version is not stored: what replaced it has been here
 * already.  But its old version is gone, and only this event knows.
 */
static void
capture(WtcAttachment *att, Relation rel,
		TupleTableSlot *oldslot, HeapTuple oldtuple,
		TupleTableSlot *newslot, HeapTuple newtuple)
{
	WtcRendered oldrow = {0};
	WtcRendered newrow = {0};
	bool		samekey;

	if (oldslot != NULL)
	{
		wtc_render_row(att, oldslot, &oldrow);
		invalidate_tags(att, rel, oldslot);
	}
	if (newslot != NULL)
	{
		wtc_render_row(att, newslot, &newrow);
		invalidate_tags(att, rel, newslot);
	}

	samekey = oldrow.cached && newrow.cached &&
		wtc_span_equal(oldrow.key, newrow.key);
	if (oldrow.cached && !samekey)
		delete_key(rel, oldtuple, &oldrow);
	if (!newrow.cached)
		return;
	if (!is_superseded(newtuple))
		store_key(att, rel, newslot, newtuple, &newrow,
				  samekey ? &oldrow : NULL);
	else if (samekey)
		delete_key(rel, oldtuple, &oldrow);
	else
		mention_key(rel, &newrow);
}

static void
check_trigger_call(FunctionCallInfo fcinfo, const char *name, bool ok)
{
	if (!CALLED_AS_TRIGGER(fcinfo) || !ok)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by its kind of trigger",
						name),
				 errhint("Use wtcache.attach() to attach a table.")));
}

Datum
wtcache_capture_row(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	WtcAttachment *att;
	WtcEntered	entered;

	check_trigger_call(fcinfo, "capture_row",
					   CALLED_AS_TRIGGER(fcinfo) &&
					   TRIGGER_FIRED_AFTER(data->tg_event) &&
					   TRIGGER_FIRED_FOR_ROW(data->tg_event));
	att = wtc_attachment_get(data->tg_relation, data->tg_trigger);

	wtc_enter(att, &entered);
	PG_TRY();
	{
		if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
			capture(att, data->tg_relation,
					data->tg_trigslot, data->tg_trigtuple,
					data->tg_newslot, data->tg_newtuple);
		else if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
			capture(att, data->tg_relation, NULL, NULL,
					data->tg_trigslot, data->tg_trigtuple);
		else
			capture(att, data->tg_relation,
					data->tg_trigslot, data->tg_trigtuple, NULL, NULL);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();

	return PointerGetDatum(NULL);
}

bool
wtc_capture_existing(WtcAttachment *att, Relation rel, TupleTableSlot *slot)
{
	WtcRendered row;
	bool		mine;

	wtc_render_row(att, slot, &row);
	if (row.cached)
		store_key(att, rel, slot, ExecFetchSlotHeapTuple(slot, false, &mine),
				  &row, NULL);
	return row.cached;
}

/*
 * Beside writers: a row that a writer is changing is left to that writer.  Its
 * message may have been written already, and would be older than ours, so that
 * what it commits later would be refused as older than the deletion, without a
 * trace.  A writer that changes a row that we have locked writes its message
 * later.
 */
static bool
lock_row(Relation rel, TupleTableSlot *slot, Snapshot snapshot,
		 TupleTableSlot *locked)
{
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData why;
	bool		ok = table_tuple_lock(rel, &tid, snapshot, locked,
									  GetCurrentCommandId(true),
									  LockTupleShare, LockWaitSkip, 0,
									  &why) == TM_Ok;

	ExecClearTuple(locked);
	return ok;
}

/* The row stays, but not in the cache: nothing of it is invalidated. */
static bool
clear_key(WtcAttachment *att, Relation rel, TupleTableSlot *slot,
		  HeapTuple tuple)
{
	WtcRendered row;

	wtc_render_row(att, slot, &row);
	if (row.cached)
		delete_key(rel, tuple, &row);
	return row.cached;
}

/*
 * Deletes the keys of all rows, because they are leaving the table or just the
 * cache; returns how many.  A table that they leave is locked against writers, so
 * the newest snapshot shows what will be lost, also to a transaction whose own
 * snapshot is older.  Otherwise it is not, and the rows are.
 */
static uint64
capture_all(WtcAttachment *att, Relation rel, bool leaving)
{
	uint64		rows = 0;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TupleTableSlot *locked = leaving ? NULL : table_slot_create(rel, NULL);
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext,
												  "wtcache leaving row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_cxt);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		HeapTuple	tuple;
		bool		mine;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(row_cxt);
		if (!leaving && !lock_row(rel, slot, snapshot, locked))
			continue;
		tuple = ExecFetchSlotHeapTuple(slot, false, &mine);
		if (leaving)
		{
			capture(att, rel, slot, tuple, NULL, NULL);
			rows++;
		}
		else
			rows += clear_key(att, rel, slot, tuple);
	}

	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_cxt);
	ExecDropSingleTupleTableSlot(slot);
	if (!leaving)
		ExecDropSingleTupleTableSlot(locked);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return rows;
}

static uint64
capture_pinned(WtcAttachment *att, Relation rel, bool leaving)
{
	volatile uint64 rows = 0;
	WtcEntered	entered;

	wtc_enter(att, &entered);
	PG_TRY();
	{
		rows = capture_all(att, rel, leaving);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	return rows;
}

uint64
wtc_capture_clear(WtcAttachment *att, Relation rel)
{
	return capture_pinned(att, rel, false);
}

uint64
wtc_capture_leaving(WtcAttachment *att, Relation rel)
{
	return capture_pinned(att, rel, true);
}

Datum
wtcache_capture_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	const Trigger *trigger;

	check_trigger_call(fcinfo, "capture_truncate",
					   CALLED_AS_TRIGGER(fcinfo) &&
					   TRIGGER_FIRED_BEFORE(data->tg_event) &&
					   TRIGGER_FIRED_BY_TRUNCATE(data->tg_event));

	/* partitions have triggers of their own; detached tables need none */
	trigger = wtc_attachment_trigger(data->tg_relation);
	if (trigger == NULL ||
		data->tg_relation->rd_rel->relkind != RELKIND_RELATION)
		return PointerGetDatum(NULL);
	wtc_capture_leaving(wtc_attachment_get(data->tg_relation, trigger),
						data->tg_relation);
	return PointerGetDatum(NULL);
}

/* See condition.c.  One that was made by hand may fire. */
Datum
wtcache_capture_condition(PG_FUNCTION_ARGS)
{
	check_trigger_call(fcinfo, "capture_condition", CALLED_AS_TRIGGER(fcinfo));
	return PointerGetDatum(NULL);
}
