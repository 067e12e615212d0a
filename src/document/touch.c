/*-------------------------------------------------------------------------
 *
 * touch.c
 *	  The triggers of documents: which ones a change of a row concerns.
 *
 * What a document will hold is a matter of the end of the transaction.  So the
 * order in which triggers bring changes does not matter here, nor whether a row version
 * is still the last one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "capture/attached.h"
#include "capture/image.h"
#include "commands/trigger.h"
#include "compat.h"
#include "document/cache.h"
#include "document/lock.h"
#include "document/touch.h"
#include "executor/executor.h"
#include "guc.h"
#include "miscadmin.h"
#include "txn/pending.h"
#include "txn/prefix.h"
#include "txn/touched.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(wtcache_capture_document);
PG_FUNCTION_INFO_V1(wtcache_capture_part);
PG_FUNCTION_INFO_V1(wtcache_capture_document_truncate);

/*
 * Documents
 */

void
wtc_document_delete(WtcDocument *doc, WtcSpan texts, const WtcList *left)
{
	WtcChange	change = {
		.op = {.kind = WTC_OP_DELETE},
		.row = {.relid = doc->root}
	};

	if (left != NULL)
		change.op.removed = *left;
	if (wtc_document_key(doc, texts, &change.op.key))
		wtc_pending_add(&change);
}

void
wtc_document_invalidate(WtcDocument *doc, const WtcMade *made)
{
	for (int i = 0; i < made->ninvalidates; i++)
	{
		WtcChange	change = {
			.op = {.kind = WTC_OP_INVALIDATE,.key = made->invalidates[i]},
			.row = {.relid = doc->root}
		};

		wtc_pending_add(&change);
	}
}

/* Its root as it is now says what it invalidates. */
static void
invalidate_by_root(WtcDocument *doc, WtcSpan texts)
{
	WtcMade		made;

	if (doc->ninvalidates == 0)
		return;
	PushActiveSnapshot(GetLatestSnapshot());
	wtc_document_make(doc, texts, false, &made);
	PopActiveSnapshot();
	wtc_document_invalidate(doc, &made);
}

void
wtc_document_touch(WtcDocument *doc, WtcSpan texts)
{
	if (!wtc_may_push() || wtc_touched_find(doc->trigger, texts) != NULL)
		return;
	if (wtc_pending_is_sealed())
		wtc_document_lock_to_delete(wtc_document_lock_number(doc->name, texts));
	else if (wtc_touched_count() < wtc_document_limit)
	{
		(void) wtc_touched_add(doc->trigger, texts);
		return;
	}
	else
		wtc_document_lock_all(doc->name);
	invalidate_by_root(doc, texts);
	wtc_document_delete(doc, texts, NULL);
}

/*
 * Keys
 */

/* The key of a root in a row; false: a column is NULL. */
static bool
key_texts(TupleTableSlot *slot, int n, const AttrNumber *columns,
		  WtcColumnOutput output, void *arg, StringInfo texts)
{
	initStringInfo(texts);
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, columns[i], &isnull);
		char	   *text;

		if (isnull)
			return false;
		text = output(arg, columns[i], value);
		wtc_put_string(texts, text, strlen(text));
	}
	return true;
}

static char *
part_output(void *arg, AttrNumber attno, Datum value)
{
	WtcPart    *part = arg;
	int			i = 0;

	while (part->keys[i] != attno)
		i++;
	return OutputFunctionCall(&part->outputs[i], value);
}

/*
 * A row of the root
 */

static bool
root_key(WtcDocument *doc, TupleTableSlot *slot, WtcSpan *span)
{
	StringInfoData texts;

	if (doc->nkeys == 0 ||
		!key_texts(slot, doc->nkeys, doc->keys, wtc_document_output, doc, &texts))
		return false;
	span->data = texts.data;
	span->len = texts.len;
	return true;
}

static void
touch_root(WtcDocument *doc, TupleTableSlot *slot, bool before)
{
	WtcMade		made = {0};
	WtcTouched *touched;
	WtcSpan		key;

	if (!root_key(doc, slot, &key))
		return;
	wtc_document_touch(doc, key);
	if (doc->ntags == 0 && doc->ninvalidates == 0)
		return;
	wtc_document_tags(doc, slot, &made);
	wtc_document_invalidate(doc, &made);
	touched = wtc_touched_find(doc->trigger, key);
	if (before && touched != NULL && made.tags.count > 0)
		wtc_touched_leave(touched, &made.tags);
}

static void
capture_root(TriggerData *data)
{
	WtcDocument *doc = wtc_document_get(data->tg_trigger->tgoid);

	if (doc == NULL)
		return;
	touch_root(doc, data->tg_trigslot, !TRIGGER_FIRED_BY_INSERT(data->tg_event));
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		touch_root(doc, data->tg_newslot, false);
}

/*
 * A row of a part
 */

static void
touch_part(WtcDocument *doc, WtcPart *part, TupleTableSlot *slot)
{
	StringInfoData texts;
	WtcSpan		key;

	if (doc->nkeys != part->nkeys ||
		!key_texts(slot, part->nkeys, part->keys, part_output, part, &texts))
		return;
	key.data = texts.data;
	key.len = texts.len;
	wtc_document_touch(doc, key);
}

static void
capture_part(TriggerData *data)
{
	WtcPart    *part = wtc_part_get(data->tg_relation, data->tg_trigger);
	WtcDocument *doc = OidIsValid(part->document) ?
	wtc_document_get(part->document) : NULL;

	if (doc == NULL)
		return;
	touch_part(doc, part, data->tg_trigslot);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		touch_part(doc, part, data->tg_newslot);
}

/*
 * The triggers
 */

static void
check_trigger_call(const char *name, bool ok)
{
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by its kind of trigger",
						name),
				 errhint("Use wtcache.attach_document() and wtcache.attach_part().")));
}

/* With settings pinned, and where types of tags may run their own code, as owner. */
static void
capture_pinned(TriggerData *data, bool exotic,
			   void (*capture) (TriggerData *data))
{
	WtcEntered	entered = {0};

	if (exotic)
		wtc_enter_as_owner(RelationGetRelid(data->tg_relation), &entered);
	else
		wtc_pin_settings(&entered.pinned, false);
	PG_TRY();
	{
		capture(data);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
}

Datum
wtcache_capture_document(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	WtcDocument *doc;

	check_trigger_call("capture_document",
					   CALLED_AS_TRIGGER(fcinfo) &&
					   TRIGGER_FIRED_AFTER(data->tg_event) &&
					   TRIGGER_FIRED_FOR_ROW(data->tg_event));
	doc = wtc_document_get(data->tg_trigger->tgoid);
	capture_pinned(data, doc != NULL && doc->exotic, capture_root);
	return PointerGetDatum(NULL);
}

Datum
wtcache_capture_part(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	check_trigger_call("capture_part",
					   CALLED_AS_TRIGGER(fcinfo) &&
					   TRIGGER_FIRED_AFTER(data->tg_event) &&
					   TRIGGER_FIRED_FOR_ROW(data->tg_event));
	capture_pinned(data, false, capture_part);
	return PointerGetDatum(NULL);
}

/*
 * All rows
 */

typedef void (*RowTaker) (WtcDocument *doc, void *arg, TupleTableSlot *slot);

/* The newest rows; returns how many. */
static uint64
each_row(Relation rel, WtcDocument *doc, RowTaker take, void *arg)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	uint64		rows = 0;
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext,
												  "wtcache row of document",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_cxt);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(row_cxt);
		take(doc, arg, slot);
		rows++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_cxt);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return rows;
}

static void
take_root(WtcDocument *doc, void *arg, TupleTableSlot *slot)
{
	touch_root(doc, slot, true);
}

static void
take_part(WtcDocument *doc, void *arg, TupleTableSlot *slot)
{
	touch_part(doc, arg, slot);
}

static void
delete_root(WtcDocument *doc, void *arg, TupleTableSlot *slot)
{
	WtcMade		made = {0};
	WtcSpan		key;

	if (!root_key(doc, slot, &key))
		return;
	wtc_document_tags(doc, slot, &made);
	wtc_document_delete(doc, key, &made.tags);
}

uint64
wtc_document_forget(WtcDocument *doc)
{
	Relation	root = table_open(doc->root, AccessShareLock);
	volatile uint64 rows = 0;
	WtcEntered	entered;

	wtc_document_lock_all(doc->name);
	wtc_enter_as_owner(doc->root, &entered);
	PG_TRY();
	{
		rows = each_row(root, doc, delete_root, NULL);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	table_close(root, NoLock);
	return rows;
}

/* TRUNCATE takes all rows away, whatever the document is. */
static void
capture_truncate(TriggerData *data)
{
	Relation	rel = data->tg_relation;
	TriggerDesc *desc = rel->trigdesc;

	for (int i = 0; i < desc->numtriggers; i++)
	{
		Trigger    *trigger = &desc->triggers[i];
		WtcDocument *doc;

		if (trigger->tgfoid == wtc_document_function())
		{
			doc = wtc_document_get(trigger->tgoid);
			if (doc != NULL)
				(void) each_row(rel, doc, take_root, NULL);
		}
		else if (trigger->tgfoid == wtc_part_function())
		{
			WtcPart    *part = wtc_part_get(rel, trigger);

			doc = OidIsValid(part->document) ?
				wtc_document_get(part->document) : NULL;
			if (doc != NULL)
				(void) each_row(rel, doc, take_part, part);
		}
	}
}

Datum
wtcache_capture_document_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	check_trigger_call("capture_document_truncate",
					   CALLED_AS_TRIGGER(fcinfo) &&
					   TRIGGER_FIRED_BEFORE(data->tg_event) &&
					   TRIGGER_FIRED_BY_TRUNCATE(data->tg_event));
	capture_pinned(data, true, capture_truncate);
	return PointerGetDatum(NULL);
}
