/*-------------------------------------------------------------------------
 *
 * views.c
 *	  The functions behind wtcache.stat and what else counts.
 *
 * They read shared memory, without locks; numbers that belong together may
 * be a moment apart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "read/lease.h"
#include "redis/status.h"
#include "shared/failures.h"
#include "shared/rejected.h"
#include "shared/slots.h"
#include "shared/stats.h"
#include "sql.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(wtcache_rejected);
PG_FUNCTION_INFO_V1(wtcache_stat);
PG_FUNCTION_INFO_V1(wtcache_stat_attachment);
PG_FUNCTION_INFO_V1(wtcache_stat_failure);
PG_FUNCTION_INFO_V1(wtcache_stat_latency);
PG_FUNCTION_INFO_V1(wtcache_stat_latency_buckets);
PG_FUNCTION_INFO_V1(wtcache_stat_read);
PG_FUNCTION_INFO_V1(wtcache_stat_reset);

static const char *const outcomes[WTC_LATENCY_KINDS] = {
	[WTC_LATENCY_OK] = "ok",
	[WTC_LATENCY_FAILED] = "failed",
};

#define COUNTERS		WTC_READ_HITS

Datum
wtcache_stat(PG_FUNCTION_ARGS)
{
	Datum		values[COUNTERS + 1];
	bool		nulls[COUNTERS + 1] = {0};

	for (int i = 0; i < COUNTERS; i++)
		values[i] = Int64GetDatum((int64) wtc_counter_since_reset(i));
	values[COUNTERS] = TimestampTzGetDatum(wtc_stats_reset_at());
	PG_RETURN_DATUM(wtc_result_row(fcinfo, values, nulls));
}

/* The columns from nulls_from on are null. */
static void
put_row(FunctionCallInfo fcinfo, Datum *values, int nulls_from)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		nulls[8] = {0};

	Assert(rsinfo->setDesc->natts <= lengthof(nulls));
	for (int i = nulls_from; i < rsinfo->setDesc->natts; i++)
		nulls[i] = true;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * By relations of this database.  Here is where catalogs can be asked, so here
 * is where tables that have been dropped are forgotten.
 */
Datum
wtcache_stat_attachment(PG_FUNCTION_ARGS)
{
	int			n;
	WtcTableStat *tables;

	InitMaterializedSRF(fcinfo, 0);
	tables = wtc_tables_read(MyDatabaseId, &n);
	AcceptInvalidationMessages();
	for (int i = 0; i < n; i++)
	{
		WtcTableStat *t = &tables[i];
		Datum		values[WTC_TABLE_COUNTERS + 2];

		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(t->relid)))
		{
			wtc_table_forget(MyDatabaseId, t->relid);
			continue;
		}
		values[0] = ObjectIdGetDatum(t->relid);
		for (int c = 0; c < WTC_TABLE_COUNTERS; c++)
			values[c + 1] = Int64GetDatum((int64) t->n[c]);
		values[WTC_TABLE_COUNTERS + 1] = TimestampTzGetDatum(t->last_change);
		put_row(fcinfo, values, lengthof(values));
	}
	return (Datum) 0;
}

Datum
wtcache_stat_latency(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int kind = 0; kind < WTC_LATENCY_KINDS; kind++)
	{
		static const double parts[] = {0.5, 0.95, 0.99};
		WtcLatency	latency;
		Datum		values[8];
		int			col = 0;

		wtc_latency_read(kind, &latency);
		values[col++] = CStringGetTextDatum(outcomes[kind]);
		values[col++] = Int64GetDatum((int64) latency.count);
		values[col++] = Float8GetDatum(latency.sum_us / 1000.0);
		values[col++] = Float8GetDatum(latency.count == 0 ? 0 :
									   latency.sum_us / 1000.0 / latency.count);
		for (int i = 0; i < lengthof(parts); i++)
			values[col++] = Float8GetDatum(wtc_latency_quantile(&latency,
																parts[i]));
		values[col++] = Float8GetDatum(latency.max_us / 1000.0);
		/* nothing has no mean */
		put_row(fcinfo, values, latency.count > 0 ? col : 3);
	}
	return (Datum) 0;
}

Datum
wtcache_stat_latency_buckets(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int kind = 0; kind < WTC_LATENCY_KINDS; kind++)
	{
		WtcLatency	latency;
		uint64		below = 0;

		wtc_latency_read(kind, &latency);
		for (int i = 0; i < WTC_LATENCY_BUCKETS; i++)
		{
			uint64		bound = wtc_latency_bound(i);
			Datum		values[4];

			below += latency.buckets[i];
			values[0] = CStringGetTextDatum(outcomes[kind]);
			values[1] = Float8GetDatum(bound == PG_UINT64_MAX ? INFINITY :
									   bound / 1000.0);
			values[2] = Int64GetDatum((int64) latency.buckets[i]);
			values[3] = Int64GetDatum((int64) below);
			put_row(fcinfo, values, lengthof(values));
		}
	}
	return (Datum) 0;
}

Datum
wtcache_stat_failure(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i < WTC_STATUS_COUNT; i++)
	{
		WtcFailure	failure;
		Datum		values[5];
		bool		nulls[5] = {0};

		wtc_failure_get(i, &failure);
		values[0] = CStringGetTextDatum(wtc_status_name((WtcStatus) i));
		values[1] = Int64GetDatum((int64)
								  wtc_counter_since_reset(WTC_FAIL_FIRST + i - 1));
		values[2] = TimestampTzGetDatum(failure.first);
		values[3] = TimestampTzGetDatum(failure.last);
		nulls[2] = nulls[3] = failure.first == 0;
		values[4] = CStringGetTextDatum(wtc_foreign_text(failure.words));
		nulls[4] = failure.words[0] == '\0';
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
wtcache_rejected(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < WTC_REJECTED_KEYS; i++)
	{
		ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
		WtcRejected rejected;
		Datum		values[5];
		bool		nulls[5] = {0};

		if (!wtc_rejected_get(i, &rejected))
			continue;
		values[0] = ObjectIdGetDatum(rejected.database);
		nulls[0] = !OidIsValid(rejected.database);
		values[1] = CStringGetTextDatum(wtc_foreign_text(rejected.key));
		values[2] = CStringGetTextDatum(wtc_status_name((WtcStatus) rejected.status));
		values[3] = CStringGetTextDatum(wtc_foreign_text(rejected.words));
		nulls[3] = rejected.words[0] == '\0';
		values[4] = TimestampTzGetDatum(rejected.since);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* What Redis counts of all readers, in the order of the columns. */
static const char *const fills[] = {
	"filled", "absent", "returned", "lease", "token", "tag", "mark",
	"present", "full", "journal"
};

#define READ_COUNTERS	(WTC_FAIL_FIRST - WTC_READ_HITS)

Datum
wtcache_stat_read(PG_FUNCTION_ARGS)
{
	Datum		values[READ_COUNTERS + lengthof(fills)];
	bool		nulls[READ_COUNTERS + lengthof(fills)] = {0};
	WtcAnswer	answer = {0};
	bool		answered = wtc_lease_counts(&answer) == WTC_OK;

	for (int i = 0; i < READ_COUNTERS; i++)
		values[i] = Int64GetDatum((int64) wtc_counter_since_reset(WTC_READ_HITS + i));
	for (int i = 0; i < lengthof(fills); i++)
	{
		int			col = READ_COUNTERS + i;

		values[col] = Int64GetDatum(0);
		nulls[col] = !answered;
		for (int a = 0; a + 1 < answer.n; a += 2)
		{
			if (strcmp(answer.text[a], fills[i]) == 0)
				values[col] = Int64GetDatum(strtoll(answer.text[a + 1], NULL, 10));
		}
	}
	PG_RETURN_DATUM(wtc_result_row(fcinfo, values, nulls));
}

Datum
wtcache_stat_reset(PG_FUNCTION_ARGS)
{
	/* what Redis counts; if it is away, that stays */
	(void) wtc_lease_reset_counts();
	wtc_rejected_clear_all();
	wtc_failures_reset();
	wtc_stats_reset();
	PG_RETURN_VOID();
}
