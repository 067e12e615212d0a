/*-------------------------------------------------------------------------
 *
 * state.c
 *	  What the worker says of itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "port/atomics.h"
#include "shared/state.h"
#include "utils/timestamp.h"

typedef struct State
{
	pg_atomic_uint32 pid;
	pg_atomic_uint32 state;		/* WtcWorkerState */
	pg_atomic_uint32 mode;		/* WtcMode */
	pg_atomic_uint32 parked;
	pg_atomic_uint64 retained;
	pg_atomic_uint32 slot_wanted;	/* bool; written by any backend */
	pg_atomic_uint32 link;		/* WtcStatus */
	pg_atomic_uint64 link_since;	/* TimestampTz */
	pg_atomic_uint64 cold_at;	/* TimestampTz */
	pg_atomic_uint32 cold_reason;	/* WtcColdReason */
	pg_atomic_uint64 cold_known;	/* the cold_at that has been acknowledged;
									 * written by any backend */
	pg_atomic_uint32 journal;
	pg_atomic_uint32 lease_ms;
} State;

static State *state = NULL;

Size
wtc_state_size(void)
{
	return sizeof(State);
}

void
wtc_state_attach(void *place, bool initialise)
{
	state = place;
	if (!initialise)
		return;
	pg_atomic_init_u32(&state->pid, 0);
	pg_atomic_init_u32(&state->state, WTC_WORKER_STARTING);
	pg_atomic_init_u32(&state->mode, wtc_mode);
	pg_atomic_init_u32(&state->parked, 0);
	pg_atomic_init_u64(&state->retained, 0);
	pg_atomic_init_u32(&state->slot_wanted, true);
	pg_atomic_init_u32(&state->link, 0);
	pg_atomic_init_u64(&state->link_since, 0);
	pg_atomic_init_u64(&state->cold_at, 0);
	pg_atomic_init_u32(&state->cold_reason, WTC_COLD_NONE);
	pg_atomic_init_u64(&state->cold_known, 0);
	pg_atomic_init_u32(&state->journal, 0);
	pg_atomic_init_u32(&state->lease_ms, 0);
}

int
wtc_worker_pid(void)
{
	return (int) pg_atomic_read_u32(&state->pid);
}

void
wtc_worker_set_pid(int pid)
{
	pg_atomic_write_u32(&state->pid, pid);
}

WtcWorkerState
wtc_worker_state(void)
{
	return (WtcWorkerState) pg_atomic_read_u32(&state->state);
}

void
wtc_worker_set_state(WtcWorkerState now)
{
	pg_atomic_write_u32(&state->state, now);
}

int
wtc_worker_mode(void)
{
	return (int) pg_atomic_read_u32(&state->mode);
}

void
wtc_worker_set_mode(int mode)
{
	pg_atomic_write_u32(&state->mode, mode);
}

int
wtc_worker_parked(void)
{
	return (int) pg_atomic_read_u32(&state->parked);
}

void
wtc_worker_set_parked(int n)
{
	pg_atomic_write_u32(&state->parked, n);
}

XLogRecPtr
wtc_worker_retained(void)
{
	return pg_atomic_read_u64(&state->retained);
}

void
wtc_worker_set_retained(XLogRecPtr lsn)
{
	pg_atomic_write_u64(&state->retained, lsn);
}

bool
wtc_slot_wanted(void)
{
	return pg_atomic_read_u32(&state->slot_wanted) != 0;
}

void
wtc_slot_set_wanted(bool wanted)
{
	pg_atomic_write_u32(&state->slot_wanted, wanted);
}

int
wtc_worker_link(TimestampTz *since)
{
	int			status = (int) pg_atomic_read_u32(&state->link);

	pg_read_barrier();
	*since = (TimestampTz) pg_atomic_read_u64(&state->link_since);
	return status;
}

void
wtc_worker_set_link(int status)
{
	if (pg_atomic_read_u32(&state->link) == (uint32) status)
		return;
	pg_atomic_write_u64(&state->link_since, GetCurrentTimestamp());
	pg_write_barrier();
	pg_atomic_write_u32(&state->link, status);
}

TimestampTz
wtc_cold_at(void)
{
	return (TimestampTz) pg_atomic_read_u64(&state->cold_at);
}

WtcColdReason
wtc_cold_reason(void)
{
	return (WtcColdReason) pg_atomic_read_u32(&state->cold_reason);
}

void
wtc_cold_note(WtcColdReason reason)
{
	pg_atomic_write_u32(&state->cold_reason, reason);
	pg_atomic_write_u64(&state->cold_at, GetCurrentTimestamp());
}

bool
wtc_cold_is_acknowledged(void)
{
	return pg_atomic_read_u64(&state->cold_known) ==
		pg_atomic_read_u64(&state->cold_at);
}

bool
wtc_cold_acknowledge(void)
{
	uint64		cold_at = pg_atomic_read_u64(&state->cold_at);

	return pg_atomic_exchange_u64(&state->cold_known, cold_at) != cold_at;
}

bool
wtc_journaling(void)
{
	return pg_atomic_read_u32(&state->journal) != 0;
}

void
wtc_set_journaling(bool on)
{
	pg_atomic_write_u32(&state->journal, on);
}

int
wtc_lease_ms(void)
{
	return (int) pg_atomic_read_u32(&state->lease_ms);
}

void
wtc_set_lease_ms(int ms)
{
	pg_atomic_write_u32(&state->lease_ms, ms);
}
