/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Shared memory: counters, in-flight marks and where a replay must begin.
 *
 * Each backend has a slot of its own, so that counting touches no cache line
 * that another one writes.  A slot outlives its backend: counters go on where
 * the last owner left them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "shared/holds.h"
#include "shared/shmem.h"
#include "shared/waits.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

WtcShared  *wtc_shared = NULL;

static shmem_request_hook_type prev_request = NULL;
static shmem_startup_hook_type prev_startup = NULL;
static bool exit_registered = false;
static bool is_worker = false;

/* A part of shared memory that another file owns. */
typedef struct Part
{
	Size		(*size) (void);
	void		(*attach) (void *place, bool initialise);
} Part;

#define MAX_PARTS		12

static Part parts[MAX_PARTS];
static int	nparts = 0;

void
wtc_shmem_add(Size (*size) (void), void (*attach) (void *, bool))
{
	Assert(nparts < MAX_PARTS);
	parts[nparts].size = size;
	parts[nparts].attach = attach;
	nparts++;
}

/* The slots come first, then the parts. */
static Size
slots_size(void)
{
	return CACHELINEALIGN(add_size(offsetof(WtcShared, slots),
								   mul_size(MaxBackends + 1,
											sizeof(WtcSlot))));
}

static Size
shmem_size(void)
{
	Size		size = slots_size();

	for (int i = 0; i < nparts; i++)
		size = add_size(size, CACHELINEALIGN(parts[i].size()));
	return size;
}

static void
attach_parts(bool initialise)
{
	char	   *place = (char *) wtc_shared + slots_size();

	for (int i = 0; i < nparts; i++)
	{
		parts[i].attach(place, initialise);
		place += CACHELINEALIGN(parts[i].size());
	}
}

/* may raise: not after the commit record */
static void
shmem_request(void)
{
	if (prev_request)
		prev_request();
	RequestAddinShmemSpace(shmem_size());
}

/* may raise: not after the commit record */
static void
shmem_startup(void)
{
	bool		found;

	if (prev_startup)
		prev_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	wtc_shared = ShmemInitStruct("wtcache", shmem_size(), &found);
	if (!found)
	{
		pg_atomic_init_u32(&wtc_shared->failures, 0);
		pg_atomic_init_u64(&wtc_shared->open_until, 0);
		pg_atomic_init_u64(&wtc_shared->changed_at, GetCurrentTimestamp());
		pg_atomic_init_u32(&wtc_shared->opened, 0);
		pg_atomic_init_u32(&wtc_shared->last_failure, 0);
		pg_atomic_init_u64(&wtc_shared->last_failure_at, 0);
		pg_atomic_init_u64(&wtc_shared->replay_from, PG_UINT64_MAX);
		pg_atomic_init_u32(&wtc_shared->read_again, 0);
		pg_atomic_init_u64(&wtc_shared->replaying, 0);
		pg_atomic_init_u64(&wtc_shared->parked_from, PG_UINT64_MAX);
		pg_atomic_init_u64(&wtc_shared->watermark, 0);
		pg_atomic_init_u64(&wtc_shared->wal_at_start, 0);
		pg_atomic_init_u64(&wtc_shared->rounds_wanted, 0);
		pg_atomic_init_u64(&wtc_shared->rounds_done, 0);
		pg_atomic_init_u64(&wtc_shared->progress, 0);
		pg_atomic_init_u32(&wtc_shared->worker_pid, 0);
		pg_atomic_init_u32(&wtc_shared->worker_state, WTC_WORKER_STARTING);
		pg_atomic_init_u32(&wtc_shared->parked, 0);
		pg_atomic_init_u64(&wtc_shared->retained, 0);
		pg_atomic_init_u64(&wtc_shared->cold_at, 0);
		pg_atomic_init_u32(&wtc_shared->cold_reason, WTC_COLD_NONE);
		pg_atomic_init_u64(&wtc_shared->cold_known, 0);
		pg_atomic_init_u32(&wtc_shared->mode, wtc_mode);
		pg_atomic_init_u32(&wtc_shared->link, 0);
		pg_atomic_init_u64(&wtc_shared->link_since, 0);
		pg_atomic_init_u64(&wtc_shared->behind_since, 0);
		pg_atomic_init_u32(&wtc_shared->worker_asleep, 0);
		pg_atomic_init_u32(&wtc_shared->journal, 0);
		pg_atomic_init_u32(&wtc_shared->take_over, 0);
		pg_atomic_init_u32(&wtc_shared->worker_procno, PG_UINT32_MAX);
		pg_atomic_init_u32(&wtc_shared->holding, 0);
		pg_atomic_init_u32(&wtc_shared->released, 0);
		wtc_shared->nslots = MaxBackends + 1;
		for (int i = 0; i < wtc_shared->nslots; i++)
		{
			WtcSlot    *slot = &wtc_shared->slots[i];

			pg_atomic_init_u64(&slot->inflight, InvalidXLogRecPtr);
			for (int c = 0; c < WTC_COUNTERS; c++)
				pg_atomic_init_u64(&slot->counters[c], 0);
		}
	}
	attach_parts(!found);
	LWLockRelease(AddinShmemInitLock);
	wtc_waits_init();
}

void
wtc_shmem_init(void)
{
	prev_request = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_startup = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}

WtcSlot *
wtc_my_shared_slot(void)
{
	int			n = wtc_my_slot();

	if (wtc_shared == NULL)
		return NULL;
	if (is_worker)
		return &wtc_shared->slots[wtc_shared->nslots - 1];
	if (n < 0 || n >= wtc_shared->nslots - 1)
		return NULL;
	return &wtc_shared->slots[n];
}

int
wtc_my_owner(void)
{
	WtcSlot    *slot = wtc_my_shared_slot();

	Assert(slot != NULL);
	return (int) (slot - wtc_shared->slots) + 1;
}

bool
wtc_am_worker(void)
{
	return is_worker;
}

void
wtc_shmem_be_worker(void)
{
	is_worker = true;
}

void
wtc_count(WtcCounter counter, uint64 n)
{
	WtcSlot    *slot = wtc_my_shared_slot();

	if (slot != NULL && n > 0)
		pg_atomic_write_u64(&slot->counters[counter],
							pg_atomic_read_u64(&slot->counters[counter]) + n);
}

uint64
wtc_counter_sum(WtcCounter counter)
{
	uint64		sum = 0;

	for (int i = 0; i < wtc_shared->nslots; i++)
		sum += pg_atomic_read_u64(&wtc_shared->slots[i].counters[counter]);
	return sum;
}

int
wtc_inflight_count(void)
{
	int			n = 0;

	for (int i = 0; i < wtc_shared->nslots; i++)
		n += pg_atomic_read_u64(&wtc_shared->slots[i].inflight) != 0;
	return n;
}

uint64
wtc_inflight_min(void)
{
	uint64		min = PG_UINT64_MAX;

	for (int i = 0; i < wtc_shared->nslots; i++)
	{
		uint64		lsn = pg_atomic_read_u64(&wtc_shared->slots[i].inflight);

		if (lsn != InvalidXLogRecPtr && lsn < min)
			min = lsn;
	}
	return min;
}

uint64
wtc_round_ask(void)
{
	uint64		number = pg_atomic_add_fetch_u64(&wtc_shared->rounds_wanted, 1);

	wtc_worker_wake();
	return number;
}

bool
wtc_round_done(uint64 number)
{
	return pg_atomic_read_u64(&wtc_shared->rounds_done) >= number;
}

bool
wtc_worker_busy(void)
{
	/* in the order in which a batch moves on, so that it cannot slip by */
	if (pg_atomic_read_u64(&wtc_shared->replay_from) != PG_UINT64_MAX)
		return true;
	pg_read_barrier();
	if (pg_atomic_read_u64(&wtc_shared->replaying) != PG_UINT64_MAX)
		return true;
	pg_read_barrier();
	return pg_atomic_read_u64(&wtc_shared->parked_from) != PG_UINT64_MAX;
}

/*
 * A backend that ends between its commit and the end of its push (FATAL in
 * between, for one) leaves the batch to the replay.
 */
static void
settle_at_exit(int code, Datum arg)
{
	wtc_inflight_settle(false, InvalidXLogRecPtr);
}

/* may raise: not after the commit record */
void
wtc_inflight_publish(uint64 lsn)
{
	WtcSlot    *slot = wtc_my_shared_slot();

	if (slot == NULL)
		elog(ERROR, "process without a wtcache slot cannot write batches");
	if (!exit_registered)
	{
		before_shmem_exit(settle_at_exit, (Datum) 0);
		exit_registered = true;
	}
	pg_atomic_write_u64(&slot->inflight, lsn);
	/* before the message is written: else the watermark could pass it */
	pg_memory_barrier();
}

void
wtc_inflight_settle(bool pushed, uint64 invalidated)
{
	WtcSlot    *slot = wtc_my_shared_slot();
	uint64		lsn;

	if (slot == NULL)
		return;
	lsn = pg_atomic_read_u64(&slot->inflight);
	if (lsn == InvalidXLogRecPtr)
		return;

	if (!pushed)
	{
		uint64		seen = pg_atomic_read_u64(&wtc_shared->replay_from);

		while (lsn < seen &&
			   !pg_atomic_compare_exchange_u64(&wtc_shared->replay_from,
											   &seen, lsn))
			;
		/* the first one; from when later ones are, the worker knows */
		if (pg_atomic_read_u64(&wtc_shared->behind_since) == 0)
			pg_atomic_write_u64(&wtc_shared->behind_since,
								GetCurrentTimestamp());
	}
	else if (invalidated != InvalidXLogRecPtr)
		wtc_hold(lsn, invalidated);

	/* then the mark: at every moment one of them holds the watermark back */
	pg_memory_barrier();
	pg_atomic_write_u64(&slot->inflight, InvalidXLogRecPtr);
}

void
wtc_read_again_ask(void)
{
	pg_atomic_write_u32(&wtc_shared->read_again, 1);
	pg_write_barrier();
}

bool
wtc_read_again_take(void)
{
	return pg_atomic_exchange_u32(&wtc_shared->read_again, 0) != 0;
}

void
wtc_inflight_drop(void)
{
	WtcSlot    *slot = wtc_my_shared_slot();

	if (slot != NULL)
		pg_atomic_write_u64(&slot->inflight, InvalidXLogRecPtr);
}

void
wtc_worker_wake(void)
{
	uint32		procno;

	/* what the worker is woken for has been written before this */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&wtc_shared->worker_asleep) == 0 ||
		pg_atomic_exchange_u32(&wtc_shared->worker_asleep, 0) == 0)
		return;
	procno = pg_atomic_read_u32(&wtc_shared->worker_procno);
	if (procno != PG_UINT32_MAX)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}
