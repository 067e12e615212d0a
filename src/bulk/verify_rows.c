/*-------------------------------------------------------------------------
 *
 * verify_rows.c
 *	  Comparing rows with what the cache holds under their keys.
 *
 * A window of blocks is read with a snapshot of its own, and its rows are
 * compared in batches, of bounded size.  What differs is a suspect, which is
 * its place alone.  Suspects are settled together:
 *
 *	  A  find the version of the row that is current
 *		 wait until Redis holds what is committed
 *		 ask Redis
 *	  B  is that version still the current one, and not being changed?
 *
 * Then the version was committed before the waiting, so Redis must hold it;
 * and nothing newer, which the worker may have pushed before a snapshot shows
 * it: that would be a change under way.  Where B fails, the suspect has another
 * turn, as long as there is patience.
 *
 * A row that has been updated is found through its chain of versions.  None of
 * those has been pruned, because the caller's snapshot is older.  A chain that
 * leads to another partition ends: the transaction that moved the row has pushed
 * it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "bulk/pause.h"
#include "bulk/verify_rows.h"
#include "capture/image.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "read/answer.h"
#include "redis/conn.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "txn/pending.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define WINDOW_BLOCKS	32

/* a batch ends with one of these */
#define BATCH_ROWS		500
#define BATCH_BYTES		(1024 * 1024)

#define MAX_SUSPECTS	1000

/* between two looks at suspects that are being changed */
#define PAUSE_US		INT64CONST(10000)

typedef struct Batch
{
	MemoryContext cxt;			/* what the looks point to */
	int			n;
	size_t		bytes;
	WtcLook		looks[BATCH_ROWS];
	ItemPointerData tids[BATCH_ROWS];
} Batch;

typedef struct Suspects
{
	int			n;
	ItemPointerData tids[MAX_SUSPECTS];
} Suspects;

/* The reading of one table. */
typedef struct Reading
{
	WtcVerify  *run;
	const WtcWarmPart *part;
	TupleTableSlot *slot;
	Batch		batch;
	Suspects	suspects;
} Reading;

bool
wtc_verify_expect(WtcAttachment *att, TupleTableSlot *slot, WtcLook *look)
{
	WtcRendered row;

	memset(look, 0, sizeof(*look));
	wtc_render_row(att, slot, &row);
	if (!row.cached || row.untaggable ||
		wtc_render_image(att, slot, &look->op) != WTC_IMAGE_MADE)
		return false;
	look->key = row.key;
	look->op.tags = row.tags;
	return true;
}

static void
empty_batch(Batch *batch)
{
	MemoryContextReset(batch->cxt);
	batch->n = 0;
	batch->bytes = 0;
}

static bool
batch_is_full(const Batch *batch)
{
	return batch->n == BATCH_ROWS || batch->bytes > BATCH_BYTES;
}

/* Adds the row in the slot; false: it should not be cached. */
static bool
add_row(Reading *r)
{
	Batch	   *batch = &r->batch;
	WtcLook    *look = &batch->looks[batch->n];
	MemoryContext old = MemoryContextSwitchTo(batch->cxt);
	bool		expected = wtc_verify_expect(r->part->att, r->slot, look);

	MemoryContextSwitchTo(old);
	if (!expected)
		return false;
	batch->tids[batch->n++] = r->slot->tts_tid;
	batch->bytes += look->key.len + look->op.value.len +
		look->op.fields.bytes.len + look->op.tags.bytes.len;
	return true;
}

static bool
lives_too_long(const WtcLook *look)
{
	return look->expires == -1 || look->expires > (int64) look->op.ttl_ms;
}

static bool
differs(const WtcLook *look)
{
	return !look->exists || look->other_type || look->other_value ||
		lives_too_long(look) || look->nuntagged > 0;
}

/*
 * Differences
 */

static char *
stale_detail(const WtcLook *look)
{
	bool		hash = look->op.kind == WTC_OP_HASH;
	int64		expected = hash ? look->op.fields.count / 2 : look->op.value.len;

	if (look->other_type)
		return psprintf("not a %s", hash ? "hash" : "string");
	if (look->held == expected)
		return hash ? "other values" : "another value of the same length";
	return psprintf("%lld %s instead of %lld", (long long) look->held,
					hash ? "fields" : "bytes", (long long) expected);
}

static char *
ttl_detail(const WtcLook *look)
{
	if (look->expires == -1)
		return "never expires";
	return psprintf("expires in %lld ms, ttl is %llu ms",
					(long long) look->expires,
					(unsigned long long) look->op.ttl_ms);
}

static void
report_row(Reading *r, int i, bool repaired)
{
	const WtcLook *look = &r->batch.looks[i];
	WtcVerify  *run = r->run;
	Oid			relid = RelationGetRelid(r->part->rel);
	const ItemPointerData *tid = &r->batch.tids[i];
	WtcCursor	tags = wtc_list_cursor(&look->op.tags);
	WtcSpan		tag;

	run->differing++;
	run->repaired += repaired;
	if (!look->exists)
	{
		wtc_verify_report(run, WTC_DIFF_MISSING, look->key, relid, tid, NULL,
						  repaired);
		return;
	}
	if (look->other_type || look->other_value)
		wtc_verify_report(run, WTC_DIFF_STALE, look->key, relid, tid,
						  stale_detail(look), repaired);
	if (lives_too_long(look))
		wtc_verify_report(run, WTC_DIFF_TTL, look->key, relid, tid,
						  ttl_detail(look), repaired);
	for (int t = 0; wtc_get_string(&tags, &tag); t++)
	{
		if (look->untagged[t / 64] & (UINT64CONST(1) << (t % 64)))
			wtc_verify_report(run, WTC_DIFF_TAG, look->key, relid, tid,
							  psprintf("not in %s",
									   wtc_verify_name(tag)), repaired);
	}
}

static bool
is_among(const ItemPointerData *tid, const ItemPointerData *tids, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (ItemPointerEquals((ItemPointer) tid, (ItemPointer) &tids[i]))
			return true;
	}
	return false;
}

/* Repairs, if wanted, and reports rows of the batch. */
static void
take_differences(Reading *r, const int *which, int n)
{
	WtcWarmBatch *outcome = NULL;

	if (n > 0 && r->run->repair)
	{
		ItemPointerData *tids = palloc(sizeof(ItemPointerData) * n);

		for (int i = 0; i < n; i++)
			tids[i] = r->batch.tids[which[i]];
		outcome = wtc_warm_reread(r->part, NULL, tids, n);
	}
	for (int i = 0; i < n; i++)
		report_row(r, which[i], outcome != NULL &&
				   !is_among(&r->batch.tids[which[i]], outcome->locked,
							 outcome->nlocked));
}

/*
 * Settling
 */

/* Has a transaction changed the version in the slot, or is one doing so? */
static bool
being_changed(TupleTableSlot *slot)
{
	bool		mine;
	HeapTupleHeader header = ExecFetchSlotHeapTuple(slot, false, &mine)->t_data;
	TransactionId xid;

	if ((header->t_infomask & HEAP_XMAX_INVALID) ||
		HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;
	xid = HeapTupleHeaderGetUpdateXid(header);
	return TransactionIdIsInProgress(xid) || TransactionIdDidCommit(xid);
}

/*
 * Takes suspects into the batch, as they are now, until it is full; returns
 * how many it has seen.
 */
static int
find_versions(Reading *r, const ItemPointerData *tids, int n)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan_tid(r->part->rel, snapshot);
	int			i = 0;

	empty_batch(&r->batch);
	while (i < n && !batch_is_full(&r->batch))
	{
		ItemPointerData tid = tids[i++];

		table_tuple_get_latest_tid(scan, &tid);
		if (table_tuple_fetch_row_version(r->part->rel, &tid, snapshot,
										  r->slot))
			(void) add_row(r);
		ExecClearTuple(r->slot);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return i;
}

static void
report_in_flight(Reading *r, int i)
{
	wtc_verify_report(r->run, WTC_DIFF_IN_FLIGHT, r->batch.looks[i].key,
					  RelationGetRelid(r->part->rel), &r->batch.tids[i],
					  NULL, false);
}

/*
 * Which rows of the batch differ, and are as they were when they were found?
 * The others may be settled in another turn, but not what this transaction has
 * changed itself.  Nor is a transaction in progress waited for any more once
 * this one has locked rows to repair them: it may be waiting for those.
 */
static int
check_versions(Reading *r, int *which, Suspects *changed)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	int			n = 0;

	for (int i = 0; i < r->batch.n; i++)
	{
		WtcOperation own;
		bool		current;
		bool		changing;

		if (!differs(&r->batch.looks[i]))
			continue;
		current = table_tuple_fetch_row_version(r->part->rel,
												&r->batch.tids[i], snapshot,
												r->slot);
		changing = current && being_changed(r->slot);
		ExecClearTuple(r->slot);
		if (wtc_pending_find(r->batch.looks[i].key, &own) ||
			(changing && r->run->repaired > 0))
			report_in_flight(r, i);
		else if (current && !changing)
			which[n++] = i;
		else
			changed->tids[changed->n++] = r->batch.tids[i];
	}
	UnregisterSnapshot(snapshot);
	return n;
}

/* The rows of the batch that are to be looked at again, but not any more. */
static void
give_up(Reading *r, const Suspects *changed, int from)
{
	for (int i = 0; i < r->batch.n; i++)
	{
		if (is_among(&r->batch.tids[i], changed->tids + from,
					 changed->n - from))
			report_in_flight(r, i);
	}
}

/*
 * A turn for all suspects; those that have to have another one remain, unless
 * no more patience than reserve is left.
 */
static void
settle_once(Reading *r, Suspects *suspects, int64 reserve, Suspects *again)
{
	int			done = 0;

	again->n = 0;
	while (done < suspects->n)
	{
		int			which[BATCH_ROWS];
		int			from = again->n;
		int			n = 0;
		bool		pushed;
		MemoryContext old;

		done += find_versions(r, suspects->tids + done, suspects->n - done);
		pushed = wtc_verify_wait(r->run);
		wtc_check_answer(wtc_read_look(r->batch.looks, r->batch.n));
		old = MemoryContextSwitchTo(r->batch.cxt);
		if (pushed)
			n = check_versions(r, which, again);
		else
		{
			for (int i = 0; i < r->batch.n; i++)
			{
				if (differs(&r->batch.looks[i]))
					again->tids[again->n++] = r->batch.tids[i];
			}
		}
		if (r->run->patience_us <= reserve)
		{
			give_up(r, again, from);
			again->n = from;
		}
		take_differences(r, which, n);
		MemoryContextSwitchTo(old);
	}
}

/* Half of the patience is kept for those to come: some rows never rest. */
static void
settle(Reading *r)
{
	int64		reserve = r->run->patience_us / 2;
	Suspects   *again;

	if (r->suspects.n == 0)
		return;
	again = palloc(sizeof(Suspects));
	for (;;)
	{
		int64		pause = Min(PAUSE_US, r->run->patience_us);

		settle_once(r, &r->suspects, reserve, again);
		memcpy(&r->suspects, again, sizeof(Suspects));
		if (again->n == 0)
			break;
		wtc_sleep_until(wtc_clock_us() + pause);
		r->run->patience_us -= Min(pause, r->run->patience_us);
	}
	pfree(again);
	empty_batch(&r->batch);
}

/*
 * Reading
 */

/* Compares the rows of the batch, and empties it. */
static void
compare_batch(Reading *r)
{
	Batch	   *batch = &r->batch;

	r->run->checked += batch->n;
	wtc_check_answer(wtc_read_look(batch->looks, batch->n));
	for (int i = 0; i < batch->n; i++)
	{
		if (differs(&batch->looks[i]))
			r->suspects.tids[r->suspects.n++] = batch->tids[i];
	}
	empty_batch(batch);
}

static void
read_window(Reading *r, BlockNumber from, BlockNumber to)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan;
	ItemPointerData first;
	ItemPointerData last;

	ItemPointerSet(&first, from, FirstOffsetNumber);
	ItemPointerSet(&last, to - 1, MaxOffsetNumber);
	scan = table_beginscan_tidrange(r->part->rel, snapshot, &first, &last);
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection,
										   r->slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (add_row(r) && batch_is_full(&r->batch))
		{
			compare_batch(r);
			if (r->suspects.n > MAX_SUSPECTS - BATCH_ROWS)
				settle(r);
		}
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	compare_batch(r);
	if (r->suspects.n > MAX_SUSPECTS - BATCH_ROWS)
		settle(r);
}

/* Every block, or every nth from somewhere on, in windows. */
static void
read_table(Reading *r)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(r->part->rel);
	double		sample = r->run->sample;
	double		due = sample < 1 ? pg_prng_double(&pg_global_prng_state) : 1;
	BlockNumber from = 0;

	for (BlockNumber block = 0; block < blocks; block++)
	{
		if (sample == 1)
			due = 1;
		else
			due += sample;
		if (due < 1)
		{
			if (from < block)
				read_window(r, from, block);
			from = block + 1;
			continue;
		}
		due -= 1;
		if (block - from + 1 == WINDOW_BLOCKS)
		{
			read_window(r, from, block + 1);
			from = block + 1;
		}
	}
	if (from < blocks)
		read_window(r, from, blocks);
}

void
wtc_verify_rows(WtcVerify *run, const WtcWarmPart *part)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "wtcache verified table",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Reading    *r = palloc0(sizeof(Reading));

	r->run = run;
	r->part = part;
	r->slot = table_slot_create(part->rel, NULL);
	r->batch.cxt = AllocSetContextCreate(cxt, "wtcache verified rows",
										 ALLOCSET_DEFAULT_SIZES);
	read_table(r);
	settle(r);
	ExecDropSingleTupleTableSlot(r->slot);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
