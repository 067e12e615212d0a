/*-------------------------------------------------------------------------
 *
 * debug.c
 *	  A brake on the push, for tests that need a slow one.
 *
 * Polls shared memory: it stands where latches may not be used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "shared/debug.h"
#include "shared/shmem.h"

#define POLL_US		1000
#define PATIENCE	30000		/* polls */

void
wtc_debug_hold(void)
{
	uint32		before = pg_atomic_read_u32(&wtc_shared->released);

	pg_atomic_fetch_add_u32(&wtc_shared->holding, 1);
	for (int i = 0; i < PATIENCE &&
		 pg_atomic_read_u32(&wtc_shared->released) == before; i++)
		pg_usleep(POLL_US);
	pg_atomic_fetch_sub_u32(&wtc_shared->holding, 1);
}

/* may raise: not after the commit record */
bool
wtc_debug_release(void)
{
	for (int i = 0; i < PATIENCE; i++)
	{
		if (pg_atomic_read_u32(&wtc_shared->holding) > 0)
		{
			pg_atomic_fetch_add_u32(&wtc_shared->released, 1);
			/* who is on the way out must not be counted by the next call */
			while (pg_atomic_read_u32(&wtc_shared->holding) > 0 &&
				   i++ < PATIENCE)
				pg_usleep(POLL_US);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
		pg_usleep(POLL_US);
	}
	return false;
}
