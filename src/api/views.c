/*-------------------------------------------------------------------------
 *
 * views.c
 *	  The functions behind wtcache.status and wtcache.stat.
 *
 * They read shared memory, without locks; numbers that belong together may
 * be a moment apart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "guc.h"
#include "redis/conn.h"
#include "redis/status.h"
#include "redis/url.h"
#include "shared/breaker.h"
#include "shared/shmem.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "worker/position.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(wtcache_status);
PG_FUNCTION_INFO_V1(wtcache_stat);

static Datum
result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
											 values, nulls));
}

/* The columns of status that tell of the worker. */
static void
worker_columns(Datum *values, bool *nulls)
{
	uint32		pid = pg_atomic_read_u32(&wtc_shared->worker_pid);
	uint64		watermark = pg_atomic_read_u64(&wtc_shared->watermark);
	uint64		retained = pg_atomic_read_u64(&wtc_shared->retained);
	uint64		cold_at = pg_atomic_read_u64(&wtc_shared->cold_at);

	nulls[0] = pid == 0;
	values[0] = Int32GetDatum((int32) pid);
	values[1] = CStringGetTextDatum(pid == 0 ? "not running" :
									wtc_worker_state_text(pg_atomic_read_u32(&wtc_shared->worker_state)));
	nulls[2] = nulls[3] = watermark == InvalidXLogRecPtr;
	values[2] = LSNGetDatum(watermark);
	if (watermark != InvalidXLogRecPtr && !RecoveryInProgress())
		values[3] = Int64GetDatum((int64) (GetXLogInsertRecPtr() - watermark));
	else
		nulls[3] = true;
	values[4] = Int32GetDatum(pg_atomic_read_u32(&wtc_shared->parked));
	nulls[5] = retained == InvalidXLogRecPtr;
	values[5] = LSNGetDatum(retained);
	nulls[6] = nulls[7] = cold_at == 0;
	values[6] = TimestampTzGetDatum((TimestampTz) cold_at);
	values[7] = CStringGetTextDatum(wtc_cold_reason_text(pg_atomic_read_u32(&wtc_shared->cold_reason)));
}

Datum
wtcache_status(PG_FUNCTION_ARGS)
{
	static const char *const states[] = {"closed", "open", "half-open"};
	Datum		values[16] = {0};
	bool		nulls[16] = {0};
	WtcEndpoint ep;
	char		endpoint[512];
	TimestampTz since;
	int			failures;
	WtcBreakerState state;
	uint32		last;
	uint64		replay_from;

	nulls[0] = wtc_url[0] == '\0' || wtc_url_parse(wtc_url, &ep) != NULL;
	if (!nulls[0])
	{
		wtc_endpoint_describe(&ep, endpoint, sizeof(endpoint));
		values[0] = CStringGetTextDatum(endpoint);
	}

	state = wtc_breaker_state(wtc_clock_us(), &since, &failures);
	values[1] = CStringGetTextDatum(states[state]);
	values[2] = TimestampTzGetDatum(since);
	values[3] = Int32GetDatum(failures);

	last = pg_atomic_read_u32(&wtc_shared->last_failure);
	nulls[4] = nulls[5] = last == 0;
	if (last != 0)
	{
		values[4] = CStringGetTextDatum(wtc_status_name((WtcStatus) last));
		values[5] = TimestampTzGetDatum((TimestampTz)
										pg_atomic_read_u64(&wtc_shared->last_failure_at));
	}

	values[6] = Int32GetDatum(wtc_inflight_count());
	replay_from = pg_atomic_read_u64(&wtc_shared->replay_from);
	pg_read_barrier();
	replay_from = Min(replay_from, pg_atomic_read_u64(&wtc_shared->replaying));
	nulls[7] = replay_from == PG_UINT64_MAX || replay_from == InvalidXLogRecPtr;
	values[7] = LSNGetDatum(replay_from);
	worker_columns(values + 8, nulls + 8);
	PG_RETURN_DATUM(result_row(fcinfo, values, nulls));
}

#define STAT_COLUMNS	(WTC_FAIL_FIRST + WTC_STATUS_COUNT - 1)

Datum
wtcache_stat(PG_FUNCTION_ARGS)
{
	Datum		values[STAT_COLUMNS];
	bool		nulls[STAT_COLUMNS] = {0};

	for (int i = 0; i < STAT_COLUMNS; i++)
		values[i] = Int64GetDatum((int64) wtc_counter_sum(i));
	PG_RETURN_DATUM(result_row(fcinfo, values, nulls));
}
