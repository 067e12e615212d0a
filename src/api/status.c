/*-------------------------------------------------------------------------
 *
 * status.c
 *	  The function behind wtcache.status.
 *
 * It reads shared memory, without locks; what belongs together may be a moment
 * apart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "api/advice.h"
#include "fmgr.h"
#include "guc.h"
#include "port/atomics.h"
#include "push/token.h"
#include "redis/conn.h"
#include "redis/status.h"
#include "shared/breaker.h"
#include "shared/outbox.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "sql.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "worker/position.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(wtcache_status);

/* A row in the making. */
typedef struct Row
{
	int			n;
	Datum		values[32];
	bool		nulls[32];
} Row;

static void
put(Row *row, Datum value, bool null)
{
	Assert(row->n < lengthof(row->values));
	row->values[row->n] = value;
	row->nulls[row->n++] = null;
}

static void
put_text(Row *row, const char *text)
{
	put(row, text == NULL ? (Datum) 0 : CStringGetTextDatum(text),
		text == NULL);
}

static void
put_time(Row *row, TimestampTz at)
{
	put(row, TimestampTzGetDatum(at), at == 0);
}

static void
put_lsn(Row *row, XLogRecPtr lsn)
{
	put(row, LSNGetDatum(lsn), lsn == InvalidXLogRecPtr ||
		lsn == PG_UINT64_MAX);
}

/* How much WAL there is from a position on. */
static void
put_distance(Row *row, XLogRecPtr lsn)
{
	if (lsn == InvalidXLogRecPtr || RecoveryInProgress())
		put(row, (Datum) 0, true);
	else
		put(row, Int64GetDatum((int64) (GetXLogInsertRecPtr() - lsn)), false);
}

static void
put_redis(Row *row)
{
	static const char *const modes[] = {
		[WTC_MODE_WRITE_THROUGH] = "write_through",
		[WTC_MODE_ASYNC] = "async",
	};
	static const char *const states[] = {"closed", "open", "half-open"};
	TimestampTz since;
	int			failures;
	WtcBreakerState state;
	TimestampTz failed_at;
	int			last;

	put_text(row, modes[wtc_worker_mode()]);
	put_text(row, wtc_endpoint_text());
	put(row, BoolGetDatum(wtc_token() != 0), false);

	state = wtc_breaker_state(wtc_clock_us(), &since, &failures);
	put_text(row, states[state]);
	put_time(row, since);
	put(row, Int32GetDatum(failures), false);
	last = wtc_last_failure(&failed_at);
	put_text(row, last == 0 ? NULL : wtc_status_name((WtcStatus) last));
	put_time(row, failed_at);
}

static void
put_worker(Row *row)
{
	int			pid = wtc_worker_pid();
	WtcWorkerState state = wtc_worker_state();

	put(row, Int32GetDatum(pid), pid == 0);
	put_text(row, pid == 0 ? "not running" : wtc_worker_state_text(state));
}

/* How far it is. */
static void
put_lag(Row *row)
{
	uint64		watermark = wtc_watermark();
	uint64		retained = wtc_worker_retained();

	put_lsn(row, watermark);
	put_distance(row, watermark);
	put(row, Float8GetDatum(wtc_lag_seconds()), RecoveryInProgress());
	put(row, Int32GetDatum(wtc_worker_parked()), false);
	put_lsn(row, retained);
	put_distance(row, retained);
}

Datum
wtcache_status(PG_FUNCTION_ARGS)
{
	Row			row = {0};
	const char *advice = wtc_advice();
	TimestampTz cold_at = wtc_cold_at();
	uint64		from;

	put(&row, BoolGetDatum(advice == NULL), false);
	put_text(&row, advice);
	put_redis(&row);
	put(&row, Int32GetDatum(wtc_inflight_count()), false);
	from = wtc_replay_from();
	pg_read_barrier();
	put_lsn(&row, Min(from, wtc_replaying()));
	put_worker(&row);
	put_lag(&row);
	put_time(&row, cold_at);
	put_text(&row, cold_at == 0 ? NULL :
			 wtc_cold_reason_text(wtc_cold_reason()));
	PG_RETURN_DATUM(wtc_result_row(fcinfo, row.values, row.nulls));
}
