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

/* The document, whose root is locked as by a writer: it stays what it is. */
static WtcDocument *
open_document(const char *name, Relation *root)
{
	Oid			trigger = wtc_document_named(name);
	WtcDocument *doc;

	if (!OidIsValid(trigger))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("document \"%s\" does not exist", name)));
	*root = relation_open(wtc_trigger_row(trigger, NULL).relid, RowExclusiveLock);
	wtc_check_owner(*root);
	wtc_check_prefix();
	doc = wtc_document_get(trigger);
	if (doc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("document \"%s\" does not exist", name)));
	return doc;
}

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
	doc = open_document(text_to_cstring(PG_GETARG_TEXT_PP(0)), &root);
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
	int			nlast;			/* the key of the last root; 0: none yet */
	char	   *last[WTC_MAX_KEYS];
	int64		begun_us;
	int64		done;
} Warming;

static void
append_columns(StringInfo sql, const WtcDocument *doc, const char *cast)
{
	for (int i = 0; i < doc->nkeys; i++)
		appendStringInfo(sql, "%s%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(doc->desc,
																doc->keys[i] - 1)->attname)),
						 cast);
}

/* The next roots, as texts of their keys. */
static char *
next_roots(const Warming *w, const WtcDocument *doc)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, doc, "::pg_catalog.text");
	appendStringInfo(&sql, " FROM ONLY %s", wtc_qualified_name(doc->root));
	if (w->nlast > 0)
	{
		appendStringInfoString(&sql, " WHERE ROW(");
		append_columns(&sql, doc, "");
		appendStringInfoString(&sql, ") OPERATOR(pg_catalog.>) ROW(");
		for (int i = 0; i < doc->nkeys; i++)
			appendStringInfo(&sql, "%s%s::%s", i > 0 ? ", " : "",
							 quote_literal_cstr(w->last[i]),
							 format_type_be_qualified(doc->types[i]));
		appendStringInfoChar(&sql, ')');
	}
	appendStringInfoString(&sql, " ORDER BY ");
	append_columns(&sql, doc, "");
	appendStringInfo(&sql, " LIMIT %d", Min(w->batch_size, wtc_document_limit));
	return sql.data;
}

/* Touches some documents; returns how many. */
static int
touch_batch(Warming *w, WtcDocument *doc)
{
	int			n;
	SPITupleTable *found;
	WtcEntered	entered;

	wtc_enter_as_owner(doc->root, &entered);
	PG_TRY();
	{
		if (SPI_execute(next_roots(w, doc), true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read the roots of document \"%s\"", w->name);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	found = SPI_tuptable;
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
	{
		StringInfoData texts;
		WtcSpan		span;

		initStringInfo(&texts);
		w->nlast = doc->nkeys;
		for (int k = 0; k < doc->nkeys; k++)
		{
			char	   *value = SPI_getvalue(found->vals[i], found->tupdesc, k + 1);

			wtc_put_string(&texts, value, strlen(value));
			if (i == n - 1)
				w->last[k] = MemoryContextStrdup(w->cxt, value);
		}
		span.data = texts.data;
		span.len = texts.len;
		wtc_document_touch(doc, span);
	}
	return n;
}

static void
check_state(const WtcDocument *doc)
{
	if (doc->broken != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("document \"%s\" cannot be cached", doc->name),
				 errdetail("There can be none: %s.", doc->broken)));
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
	WtcDocument *doc = open_document(w->name, &root);
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
