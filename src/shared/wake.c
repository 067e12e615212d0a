/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Waking the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "port/atomics.h"
#include "shared/wake.h"
#include "storage/latch.h"
#include "storage/proc.h"

typedef struct Wake
{
	pg_atomic_uint32 asleep;	/* set by the worker, taken back by the
								 * process that wakes it */
	pg_atomic_uint32 procno;	/* number of the worker's PGPROC, or
								 * UINT32_MAX; written by the worker */
} Wake;

static Wake *worker = NULL;

Size
wtc_wake_size(void)
{
	return sizeof(Wake);
}

void
wtc_wake_attach(void *place, bool initialise)
{
	worker = place;
	if (!initialise)
		return;
	pg_atomic_init_u32(&worker->asleep, 0);
	pg_atomic_init_u32(&worker->procno, PG_UINT32_MAX);
}

void
wtc_worker_wake(void)
{
	uint32		procno;

	/* what the worker is woken for has been written before this */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&worker->asleep) == 0 ||
		pg_atomic_exchange_u32(&worker->asleep, 0) == 0)
		return;
	procno = pg_atomic_read_u32(&worker->procno);
	if (procno != PG_UINT32_MAX)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

bool
wtc_worker_is_there(void)
{
	return pg_atomic_read_u32(&worker->procno) != PG_UINT32_MAX;
}

void
wtc_wake_begin(void)
{
	pg_atomic_write_u32(&worker->procno, wtc_my_procno());
}

void
wtc_wake_end(void)
{
	pg_atomic_write_u32(&worker->procno, PG_UINT32_MAX);
}

void
wtc_wake_want(void)
{
	(void) pg_atomic_exchange_u32(&worker->asleep, 1);
}

void
wtc_wake_spare(void)
{
	pg_atomic_write_u32(&worker->asleep, 0);
}
