/*-------------------------------------------------------------------------
 *
 * verify_documents.c
 *	  wtcache.verify_document(): comparing documents with what Redis holds.
 *
 * A difference that is seen in passing is only a suspicion, as with rows: the
 * document is made again, Redis is waited for and asked, and the document is made once
 * more.  If it is the same both times, and Redis holds something else, that counts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "bulk/roots.h"
#include "bulk/verify_run.h"
#include "document/make.h"
#include "document/touch.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "read/answer.h"
#include "read/look.h"
#include "sql.h"
#include "txn/touched.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(wtcache_verify_document);

#define BATCH_ROOTS		100

/* A document as it should be in Redis; false: it has no key. */
static bool
expect(WtcDocument *doc, WtcSpan texts, WtcLook *look)
{
	WtcMade		made;

	memset(look, 0, sizeof(*look));
	if (!wtc_document_key(doc, texts, &look->key))
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	wtc_document_make(doc, texts, true, &made);
	PopActiveSnapshot();
	look->op.kind = made.exists ? WTC_OP_SET : WTC_OP_DELETE;
	look->op.value = made.value;
	look->op.tags = made.tags;
	return true;
}

/* How it differs; NULL: it does not. */
static const char *
difference(const WtcLook *look)
{
	if (look->op.kind == WTC_OP_DELETE)
		return look->exists ? "orphan" : NULL;
	if (!look->exists)
		return "missing";
	if (look->other_type || look->other_value)
		return "stale";
	return look->nuntagged > 0 ? "tag" : NULL;
}

static bool
is_same(const WtcLook *a, const WtcLook *b)
{
	return a->op.kind == b->op.kind &&
		wtc_span_equal(a->op.value, b->op.value) &&
		wtc_span_equal(a->op.tags.bytes, b->op.tags.bytes);
}

static void
report(ReturnSetInfo *result, const char *kind, WtcSpan key, bool repaired)
{
	Datum		values[3];
	bool		nulls[3] = {0};

	values[0] = CStringGetTextDatum(kind);
	values[1] = CStringGetTextDatum(wtc_verify_name(key));
	values[2] = BoolGetDatum(repaired);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* One that seems to differ; it is built again at the end, if it is to be repaired. */
static void
settle(WtcVerify *run, WtcDocument *doc, WtcSpan texts)
{
	WtcLook		before;
	WtcLook		after;
	const char *kind;

	(void) expect(doc, texts, &before);
	if (!wtc_verify_wait(run) ||
		wtc_touched_find(doc->trigger, texts) != NULL)
	{
		report(run->result, "in flight", before.key, false);
		return;
	}
	wtc_check_answer(wtc_read_look(&before, 1));
	(void) expect(doc, texts, &after);
	kind = difference(&before);
	if (kind == NULL)
		return;
	if (!is_same(&before, &after))
		kind = "in flight";
	else if (run->repair)
		wtc_document_touch(doc, texts);
	report(run->result, kind, before.key, run->repair && is_same(&before, &after));
}

static void
verify_batch(WtcVerify *run, WtcDocument *doc, const WtcSpan *roots, int n)
{
	WtcLook    *looks = palloc(sizeof(WtcLook) * n);
	WtcSpan    *texts = palloc(sizeof(WtcSpan) * n);
	int			m = 0;

	for (int i = 0; i < n; i++)
	{
		texts[m] = roots[i];
		m += expect(doc, roots[i], &looks[m]);
	}
	wtc_check_answer(wtc_read_look(looks, m));
	for (int i = 0; i < m; i++)
	{
		if (difference(&looks[i]) != NULL)
			settle(run, doc, texts[i]);
	}
}

static void
check_state(const WtcDocument *doc)
{
	wtc_document_check(doc);
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("The cache is compared with the primary server, which writes it.")));
	if (wtc_url[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wtcache.url is empty: there is no cache to verify")));
}

Datum
wtcache_verify_document(PG_FUNCTION_ARGS)
{
	WtcVerify	run = {.repair = PG_GETARG_BOOL(1),.sample = 1};
	Relation	root;
	WtcDocument *doc;
	WtcSpan		last = {0};
	MemoryContext cxt;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	run.result = (ReturnSetInfo *) fcinfo->resultinfo;
	run.patience_us = wtc_timeout_us(PG_GETARG_INTERVAL_P(2));
	if (run.repair)
		PreventCommandIfReadOnly("wtcache.verify_document() with repair");
	doc = wtc_open_document(text_to_cstring(PG_GETARG_TEXT_PP(0)), &root);
	check_state(doc);
	SPI_connect();
	do
	{
		WtcSpan    *roots;

		CHECK_FOR_INTERRUPTS();
		cxt = AllocSetContextCreate(CurrentMemoryContext,
									"wtcache verified documents",
									ALLOCSET_DEFAULT_SIZES);
		MemoryContextSwitchTo(cxt);
		roots = wtc_read_roots(doc, last, BATCH_ROOTS, &n);
		if (n > 0)
			verify_batch(&run, doc, roots, n);
		MemoryContextSwitchTo(MemoryContextGetParent(cxt));
		if (n > 0)
		{
			last.len = roots[n - 1].len;
			last.data = memcpy(palloc(last.len), roots[n - 1].data, last.len);
		}
		MemoryContextDelete(cxt);
	} while (n > 0);
	SPI_finish();
	relation_close(root, NoLock);
	return (Datum) 0;
}
