/*-------------------------------------------------------------------------
 *
 * documents.c
 *	  wtcache.warm_document() and clear_document(): all documents of a definition.
 *
 * To warm a document is to touch it in a transaction that changes nothing: it is
 * built when that commits, and locked against those that change it, as by them.  The
 * roots are read in the order of their primary key, some at a time, with a commit after each.
 *
 * All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "bulk/pause.h"
#include "bulk/roots.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "document/cache.h"
#include "document/find.h"
#include "document/touch.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "read/wait.h"
#include "redis/conn.h"
#include "sql.h"
#include "txn/prefix.h"
#include "txn/xact.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(wtcache_warm_document);
PG_FUNCTION_INFO_V1(wtcache_clear_document);

#define MAX_BATCH	10000

/*
 * wtcache.clear_document()
 */

Datum
wtcache_clear_document(PG_FUNCTION_ARGS)
{
	Relation	root;
	WtcDocument *doc;
	uint64		n;

	PreventCommandIfReadOnly("wtcache.clear_document()");
	doc = wtc_open_document(text_to_cstring(PG_GETARG_TEXT_PP(0)), &root);
	n = wtc_document_forget(doc);
	relation_close(root, NoLock);
	PG_RETURN_INT64((int64) n);
}

/*
 * wtcache.warm_document()
 */

typedef struct Warming
{
	char	   *name;
	int			batch_size;
	double		max_rate;		/* documents/s; 0: no limit */
	int64		redis_timeout_us;
	MemoryContext cxt;			/* of what follows, over commits */
	WtcSpan		last;			/* the key of the last root */
	int64		begun_us;
	int64		done;
} Warming;

/* Touches some documents; returns how many. */
static int
touch_batch(Warming *w, WtcDocument *doc)
{
	int			n;
	WtcSpan    *roots = wtc_read_roots(doc, w->last,
									   Min(w->batch_size, wtc_document_limit), &n);

	for (int i = 0; i < n; i++)
		wtc_document_touch(doc, roots[i]);
	if (n > 0)
	{
		char	   *copy = MemoryContextAlloc(w->cxt, roots[n - 1].len);

		memcpy(copy, roots[n - 1].data, roots[n - 1].len);
		w->last.data = copy;
		w->last.len = roots[n - 1].len;
	}
	return n;
}

static void
check_state(const WtcDocument *doc)
{
	wtc_document_check(doc);
	if (wtc_url[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wtcache.url is empty: there is no cache to warm")));
	if (!wtc_enabled || wtc_document_limit == 0 || IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("documents would be deleted from the cache"),
				 errhint("Call it with wtcache.enabled on, wtcache.document_limit above 0, and default_transaction_isolation \"read committed\".")));
}

/* What Redis could not take the worker pushes. */
static void
wait_for_redis(const Warming *w)
{
	if (!wtc_wait_until_pushed(wtc_clock_us() + w->redis_timeout_us))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("Redis has not come back, the warming of document \"%s\" is interrupted",
						w->name)));
}

static bool
warm_batch(Warming *w)
{
	Relation	root;
	WtcDocument *doc = wtc_open_document(w->name, &root);
	int			n;

	check_state(doc);
	(void) set_config_option("wtcache.mode", "write_through", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	n = touch_batch(w, doc);
	relation_close(root, NoLock);
	SPI_commit();
	w->done += n;
	if (n > 0 && wtc_xact_outcome() != WTC_PUSH_DONE)
		wait_for_redis(w);
	if (w->max_rate > 0)
		wtc_sleep_until(w->begun_us + (int64) (w->done * 1e6 / w->max_rate));
	return n > 0;
}

static void
check_call(FunctionCallInfo fcinfo)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic ||
		IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("wtcache.warm_document() cannot run inside a transaction block"),
				 errdetail("It commits after every batch.")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("wtcache.warm_document() cannot be executed during recovery: only the primary server pushes.")));
	for (int i = 0; i < 4; i++)
	{
		if (i != 2 && PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("document, batch_size and redis_timeout must not be null")));
	}
	if (PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be between 1 and %d", MAX_BATCH)));
	if (!PG_ARGISNULL(2) && !(PG_GETARG_FLOAT8(2) >= 0.01))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rate must be at least 0.01")));
}

Datum
wtcache_warm_document(PG_FUNCTION_ARGS)
{
	Warming		w = {0};

	check_call(fcinfo);
	/* what is allocated from here on survives commits */
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	w.cxt = CurrentMemoryContext;
	w.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	w.batch_size = PG_GETARG_INT32(1);
	w.max_rate = PG_ARGISNULL(2) ? 0 : PG_GETARG_FLOAT8(2);
	w.redis_timeout_us = wtc_timeout_us(PG_GETARG_INTERVAL_P(3));
	w.begun_us = wtc_clock_us();
	while (warm_batch(&w))
		CHECK_FOR_INTERRUPTS();
	SPI_finish();
	PG_RETURN_VOID();
}
