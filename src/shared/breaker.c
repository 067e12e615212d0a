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

#include "port/atomics.h"
#include "shared/breaker.h"
#include "shared/wake.h"
#include "utils/timestamp.h"

/* Written by any backend. */
typedef struct Breaker
{
	pg_atomic_uint32 failures;	/* outages in a row */
	pg_atomic_uint64 open_until;	/* monotonic us; 0: closed */
	pg_atomic_uint64 changed_at;	/* TimestampTz of the last change */
	pg_atomic_uint32 opened;	/* how often it opened */
} Breaker;

static Breaker *breaker = NULL;

Size
wtc_breaker_size(void)
{
	return sizeof(Breaker);
}

void
wtc_breaker_attach(void *place, bool initialise)
{
	breaker = place;
	if (!initialise)
		return;
	pg_atomic_init_u32(&breaker->failures, 0);
	pg_atomic_init_u64(&breaker->open_until, 0);
	pg_atomic_init_u64(&breaker->changed_at, GetCurrentTimestamp());
	pg_atomic_init_u32(&breaker->opened, 0);
}

bool
wtc_breaker_allows(int64 now_us, int64 cooldown_us)
{
	uint64		until = pg_atomic_read_u64(&breaker->open_until);

	if (until == 0)
		return true;
	if ((uint64) now_us < until)
		return false;
	return pg_atomic_compare_exchange_u64(&breaker->open_until, &until,
										  now_us + cooldown_us);
}

void
wtc_breaker_success(void)
{
	/* looking is cheap, writing is not */
	if (pg_atomic_read_u32(&breaker->failures) != 0)
		pg_atomic_write_u32(&breaker->failures, 0);
	if (pg_atomic_read_u64(&breaker->open_until) != 0 &&
		pg_atomic_exchange_u64(&breaker->open_until, 0) != 0)
	{
		pg_atomic_write_u64(&breaker->changed_at, GetCurrentTimestamp());
		wtc_worker_wake();
	}
}

void
wtc_breaker_failure(int64 now_us, int limit, int64 cooldown_us)
{
	uint32		failures = pg_atomic_add_fetch_u32(&breaker->failures, 1);

	if (limit > 0 && failures >= (uint32) limit &&
		pg_atomic_exchange_u64(&breaker->open_until,
							   now_us + cooldown_us) == 0)
	{
		pg_atomic_write_u64(&breaker->changed_at, GetCurrentTimestamp());
		pg_atomic_fetch_add_u32(&breaker->opened, 1);
		wtc_worker_wake();
	}
}

WtcBreakerState
wtc_breaker_state(int64 now_us, TimestampTz *since, int *failures)
{
	uint64		until = pg_atomic_read_u64(&breaker->open_until);

	*since = (TimestampTz) pg_atomic_read_u64(&breaker->changed_at);
	*failures = (int) pg_atomic_read_u32(&breaker->failures);
	if (until == 0)
		return WTC_BREAKER_CLOSED;
	return (uint64) now_us < until ? WTC_BREAKER_OPEN : WTC_BREAKER_HALF_OPEN;
}

uint32
wtc_breaker_opened(void)
{
	return pg_atomic_read_u32(&breaker->opened);
}
