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
#include "port/atomics.h"
#include "shared/debug.h"

#define POLL_US		1000
#define PATIENCE	30000		/* polls */

/* Written by any backend. */
typedef struct Brake
{
	pg_atomic_uint32 holding;	/* how many hold */
	pg_atomic_uint32 released;	/* how often all were let go */
} Brake;

static Brake *brake = NULL;

Size
wtc_debug_size(void)
{
	return sizeof(Brake);
}

void
wtc_debug_attach(void *place, bool initialise)
{
	brake = place;
	if (!initialise)
		return;
	pg_atomic_init_u32(&brake->holding, 0);
	pg_atomic_init_u32(&brake->released, 0);
}

void
wtc_debug_hold(void)
{
	uint32		before = pg_atomic_read_u32(&brake->released);

	pg_atomic_fetch_add_u32(&brake->holding, 1);
	for (int i = 0; i < PATIENCE &&
		 pg_atomic_read_u32(&brake->released) == before; i++)
		pg_usleep(POLL_US);
	pg_atomic_fetch_sub_u32(&brake->holding, 1);
}

/* may raise: not after the commit record */
bool
wtc_debug_release(void)
{
	for (int i = 0; i < PATIENCE; i++)
	{
		if (pg_atomic_read_u32(&brake->holding) > 0)
		{
			pg_atomic_fetch_add_u32(&brake->released, 1);
			/* who is on the way out must not be counted by the next call */
			while (pg_atomic_read_u32(&brake->holding) > 0 &&
				   i++ < PATIENCE)
				pg_usleep(POLL_US);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
		pg_usleep(POLL_US);
	}
	return false;
}
