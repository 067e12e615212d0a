/*-------------------------------------------------------------------------
 *
 * remember.c
 *	  wtcache.remember(): the result of a query, from Redis, else from the
 *	  query.
 *
 * The query runs as the caller, and what it returns is the caller's to share:
 * whoever may call this with the same key gets it, without a look at the query.
 * A transaction that has changed anything, in a table or in the cache, or keeps a
 * snapshot, gets its own result, which is not stored: others might not see what it
 * has seen.
 *
 * Everything that the query may have seen is made durable before its result is
 * stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "api/content.h"
#include "api/operations.h"
#include "capture/image.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "guc.h"
#include "read/through.h"
#include "shared/state.h"
#include "sql.h"
#include "txn/prefix.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "walpos.h"

PG_FUNCTION_INFO_V1(wtcache_remember);

typedef struct Remembered
{
	const char *sql;
	WtcOperation op;
	Datum		result;
	MemoryContext cxt;			/* of the result */
} Remembered;

/* The rows of the query as an array of objects. */
static Datum
run(const Remembered *query)
{
	char	   *sql = psprintf("SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(q.*)), '[]') FROM (%s\n) AS q",
							   query->sql);
	int			result = SPI_execute(sql, true, 0);
	MemoryContext old;
	Datum		value;
	bool		isnull;

	if (result != SPI_OK_SELECT || SPI_processed != 1 ||
		SPI_tuptable->tupdesc->natts != 1 ||
		SPI_gettypeid(SPI_tuptable->tupdesc, 1) != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("query must be a single SELECT")));
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	old = MemoryContextSwitchTo(query->cxt);
	value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	MemoryContextSwitchTo(old);
	return value;
}

/* A WtcLoader. */
static XLogRecPtr
load(void *arg, WtcReading *const *readings, WtcFill *fills, int n)
{
	Remembered *query = arg;
	XLogRecPtr	mark = InvalidXLogRecPtr;
	char	   *json;
	WtcOperation *op = &fills[0].op;

	Assert(n == 1);
	SPI_connect();
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
					   GetLatestSnapshot());
	query->result = run(query);
	PopActiveSnapshot();
	SPI_finish();
	/* behind the query: functions may have taken snapshots of their own */
	if (readings[0]->lease[0] != '\0')
	{
		mark = GetXLogInsertRecPtr();
		XLogFlush(wtc_flushable(mark));
	}

	readings[0]->found = WTC_FOUND_ELSEWHERE;
	json = DatumGetCString(DirectFunctionCall1(jsonb_out, query->result));
	fills[0].kind = WTC_FILL_VALUE;
	*op = query->op;
	op->kind = WTC_OP_SET;
	if (!wtc_enabled ||
		strlen(json) > (size_t) wtc_max_image_size * 1024 ||
		!wtc_to_utf8(json, strlen(json), &op->value))
		fills[0].kind = WTC_FILL_NOT;
	return mark;
}

Datum
wtcache_remember(PG_FUNCTION_ARGS)
{
	Remembered	query = {.cxt = CurrentMemoryContext};
	WtcReading	reading = {0};
	WtcReading *readings[] = {&reading};
	WtcNamedKey named;
	bool		any;

	wtc_check_not_null(fcinfo, 0, "key");
	wtc_check_not_null(fcinfo, 1, "query");
	wtc_storing_arguments(fcinfo, &query.op);
	reading.key = query.op.key;
	query.sql = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (IsolationUsesXactSnapshot() ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()) ||
		!wtc_prefix_is_ours())
		wtc_read_past(readings, 1, load, &query);
	else
		wtc_read_through(readings, 1, wtc_enabled && wtc_lease_ms() > 0, load,
						 &query);
	if (reading.found == WTC_FOUND_ELSEWHERE)
		PG_RETURN_DATUM(query.result);
	wtc_name_key(&named, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	any = wtc_return_value(&reading.value, &wtc_as_jsonb, &query.result);
	wtc_unname_key(&named);
	if (!any)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(query.result);
}
