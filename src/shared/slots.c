/*-------------------------------------------------------------------------
 *
 * slots.c
 *	  A slot for each process: the mark of its batch in flight, its counters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "shared/holds.h"
#include "shared/outbox.h"
#include "shared/slots.h"
#include "shared/wake.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

typedef struct Slot
{
	pg_atomic_uint64 inflight;	/* see wtc_inflight_publish() */
	pg_atomic_uint64 counters[WTC_COUNTERS];
	char		pad[128 - ((1 + WTC_COUNTERS) * sizeof(uint64)) % 128];
} Slot;

typedef struct Slots
{
	/* the last failure: written by any backend, for people to read */
	pg_atomic_uint32 last_failure;	/* WtcStatus */
	pg_atomic_uint64 last_failure_at;	/* TimestampTz */

	int			n;				/* set once at start-up */
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} Slots;

static Slots *slots = NULL;
static bool exit_registered = false;
static bool is_worker = false;

Size
wtc_slots_size(void)
{
	return add_size(offsetof(Slots, slots),
					mul_size(MaxBackends + 1, sizeof(Slot)));
}

void
wtc_slots_attach(void *place, bool initialise)
{
	slots = place;
	if (!initialise)
		return;
	pg_atomic_init_u32(&slots->last_failure, 0);
	pg_atomic_init_u64(&slots->last_failure_at, 0);
	slots->n = MaxBackends + 1;
	for (int i = 0; i < slots->n; i++)
	{
		Slot	   *slot = &slots->slots[i];

		pg_atomic_init_u64(&slot->inflight, InvalidXLogRecPtr);
		for (int c = 0; c < WTC_COUNTERS; c++)
			pg_atomic_init_u64(&slot->counters[c], 0);
	}
}

/* --- whose slot --- */

int
wtc_slots_count(void)
{
	return slots->n;
}

int
wtc_slots_mine(void)
{
	int			n = wtc_my_slot();

	if (slots == NULL)
		return -1;
	if (is_worker)
		return slots->n - 1;
	return n < slots->n - 1 ? n : -1;
}

static Slot *
my_slot(void)
{
	int			n = wtc_slots_mine();

	return n < 0 ? NULL : &slots->slots[n];
}

int
wtc_my_owner(void)
{
	int			n = wtc_slots_mine();

	Assert(n >= 0);
	return n + 1;
}

bool
wtc_am_worker(void)
{
	return is_worker;
}

void
wtc_slots_be_worker(void)
{
	is_worker = true;
}

/* --- in-flight marks --- */

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
wtc_inflight_publish(XLogRecPtr lsn)
{
	Slot	   *slot = my_slot();

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
wtc_inflight_settle(bool pushed, XLogRecPtr invalidated)
{
	Slot	   *slot = my_slot();
	XLogRecPtr	lsn;

	if (slot == NULL)
		return;
	lsn = pg_atomic_read_u64(&slot->inflight);
	if (lsn == InvalidXLogRecPtr)
		return;

	if (!pushed)
		wtc_outbox_leave(lsn);
	else if (invalidated != InvalidXLogRecPtr)
		wtc_hold(lsn, invalidated);

	/* then the mark: at every moment one of them holds the watermark back */
	pg_memory_barrier();
	pg_atomic_write_u64(&slot->inflight, InvalidXLogRecPtr);
}

void
wtc_inflight_drop(void)
{
	Slot	   *slot = my_slot();

	if (slot != NULL)
		pg_atomic_write_u64(&slot->inflight, InvalidXLogRecPtr);
}

XLogRecPtr
wtc_inflight_of(int slot)
{
	return pg_atomic_read_u64(&slots->slots[slot].inflight);
}

XLogRecPtr
wtc_inflight_min(void)
{
	XLogRecPtr	min = PG_UINT64_MAX;

	for (int i = 0; i < slots->n; i++)
	{
		XLogRecPtr	lsn = pg_atomic_read_u64(&slots->slots[i].inflight);

		if (lsn != InvalidXLogRecPtr && lsn < min)
			min = lsn;
	}
	return min;
}

int
wtc_inflight_count(void)
{
	int			n = 0;

	for (int i = 0; i < slots->n; i++)
		n += pg_atomic_read_u64(&slots->slots[i].inflight) != 0;
	return n;
}

/* --- counting --- */

void
wtc_count(WtcCounter counter, uint64 n)
{
	Slot	   *slot = my_slot();

	if (slot != NULL && n > 0)
		pg_atomic_write_u64(&slot->counters[counter],
							pg_atomic_read_u64(&slot->counters[counter]) + n);
}

void
wtc_count_class(int status)
{
	Assert(status > 0 && status <= WTC_FAIL_CLASSES);
	wtc_count(WTC_FAIL_FIRST + status - 1, 1);
	pg_atomic_write_u32(&slots->last_failure, status);
	pg_atomic_write_u64(&slots->last_failure_at, GetCurrentTimestamp());
	wtc_worker_wake();
}

uint64
wtc_counter_sum(WtcCounter counter)
{
	uint64		sum = 0;

	for (int i = 0; i < slots->n; i++)
		sum += pg_atomic_read_u64(&slots->slots[i].counters[counter]);
	return sum;
}

int
wtc_last_failure(TimestampTz *at)
{
	int			last = (int) pg_atomic_read_u32(&slots->last_failure);

	*at = (TimestampTz) pg_atomic_read_u64(&slots->last_failure_at);
	return last;
}
