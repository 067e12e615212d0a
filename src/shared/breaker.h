/*-------------------------------------------------------------------------
 *
 * breaker.h
 *	  The circuit breaker: whether it is worth talking to Redis at all.
 *
 * Closed: everybody may.  After wtcache.breaker_failures outages in a row it
 * is open for wtcache.breaker_cooldown: nobody may, and a commit pays one
 * read of shared memory.  Then it is half-open: one backend may, as a probe;
 * its success closes the breaker, its failure, or its silence for another
 * cooldown, leaves it open.
 *
 * Raises nothing, allocates nothing; callable on either side of the commit
 * record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_BREAKER_H
#define WTC_SHARED_BREAKER_H

#include "datatype/timestamp.h"

typedef enum WtcBreakerState
{
	WTC_BREAKER_CLOSED,
	WTC_BREAKER_OPEN,
	WTC_BREAKER_HALF_OPEN
} WtcBreakerState;

/* For wtc_shmem_add(). */
extern Size wtc_breaker_size(void);
extern void wtc_breaker_attach(void *place, bool initialise);

/*
 * May this backend talk to Redis now?  now_us is the monotonic clock.  True
 * in the half-open state makes the caller the probe.
 */
extern bool wtc_breaker_allows(int64 now_us, int64 cooldown_us);

extern void wtc_breaker_success(void);
extern void wtc_breaker_failure(int64 now_us, int limit, int64 cooldown_us);

extern WtcBreakerState wtc_breaker_state(int64 now_us, TimestampTz *since,
										 int *failures);

/* How often it has opened. */
extern uint32 wtc_breaker_opened(void);

#endif							/* WTC_SHARED_BREAKER_H */
