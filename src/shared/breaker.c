/*-------------------------------------------------------------------------
 *
 * breaker.c
 *	  The circuit breaker.
 *
 * Its state is one number, open_until: zero when closed, otherwise the time
 * up to which it is open.  Whoever finds that time past and moves it on by
 * compare-and-swap is the probe, so there is one at a time, and a probe that
 * dies is followed by another a cooldown later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/breaker.h"
#include "shared/shmem.h"
#include "utils/timestamp.h"

bool
wtc_breaker_allows(int64 now_us, int64 cooldown_us)
{
	uint64		until = pg_atomic_read_u64(&wtc_shared->open_until);

	if (until == 0)
		return true;
	if ((uint64) now_us < until)
		return false;
	return pg_atomic_compare_exchange_u64(&wtc_shared->open_until, &until,
										  now_us + cooldown_us);
}

void
wtc_breaker_success(void)
{
	/* looking is cheap, writing is not */
	if (pg_atomic_read_u32(&wtc_shared->failures) != 0)
		pg_atomic_write_u32(&wtc_shared->failures, 0);
	if (pg_atomic_read_u64(&wtc_shared->open_until) != 0 &&
		pg_atomic_exchange_u64(&wtc_shared->open_until, 0) != 0)
	{
		pg_atomic_write_u64(&wtc_shared->changed_at, GetCurrentTimestamp());
		wtc_worker_wake();
	}
}

void
wtc_breaker_failure(int64 now_us, int limit, int64 cooldown_us)
{
	uint32		failures = pg_atomic_add_fetch_u32(&wtc_shared->failures, 1);

	if (limit > 0 && failures >= (uint32) limit &&
		pg_atomic_exchange_u64(&wtc_shared->open_until,
							   now_us + cooldown_us) == 0)
	{
		pg_atomic_write_u64(&wtc_shared->changed_at, GetCurrentTimestamp());
		pg_atomic_fetch_add_u32(&wtc_shared->opened, 1);
		wtc_worker_wake();
	}
}

WtcBreakerState
wtc_breaker_state(int64 now_us, TimestampTz *since, int *failures)
{
	uint64		until = pg_atomic_read_u64(&wtc_shared->open_until);

	*since = (TimestampTz) pg_atomic_read_u64(&wtc_shared->changed_at);
	*failures = (int) pg_atomic_read_u32(&wtc_shared->failures);
	if (until == 0)
		return WTC_BREAKER_CLOSED;
	return (uint64) now_us < until ? WTC_BREAKER_OPEN : WTC_BREAKER_HALF_OPEN;
}
