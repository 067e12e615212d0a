/*-------------------------------------------------------------------------
 *
 * pause.c
 *	  Sleeping between two steps of a long work.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bulk/pause.h"
#include "miscadmin.h"
#include "redis/conn.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

void
wtc_sleep_until(int64 until_us)
{
	int64		left;

	while ((left = until_us - wtc_clock_us()) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) Min(left / 1000 + 1, 60000),
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	CHECK_FOR_INTERRUPTS();
}
