/*-------------------------------------------------------------------------
 *
 * rounds.c
 *	  What is asked of the worker: a round, to store how far Redis is, and to take
 *	  Redis over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/atomics.h"
#include "shared/rounds.h"
#include "shared/wake.h"

typedef struct Rounds
{
	pg_atomic_uint64 wanted;	/* counted up by any process */
	pg_atomic_uint64 done;		/* written by the worker */
	pg_atomic_uint64 progress;	/* likewise */
	pg_atomic_uint64 position;	/* raised by any process */
	pg_atomic_uint32 take_over; /* set by any process, taken back by the
								 * worker */
} Rounds;

static Rounds *rounds = NULL;

Size
wtc_rounds_size(void)
{
	return sizeof(Rounds);
}

void
wtc_rounds_attach(void *place, bool initialise)
{
	rounds = place;
	if (!initialise)
		return;
	pg_atomic_init_u64(&rounds->wanted, 0);
	pg_atomic_init_u64(&rounds->done, 0);
	pg_atomic_init_u64(&rounds->progress, 0);
	pg_atomic_init_u64(&rounds->position, 0);
	pg_atomic_init_u32(&rounds->take_over, 0);
}

uint64
wtc_round_ask(void)
{
	uint64		number = pg_atomic_add_fetch_u64(&rounds->wanted, 1);

	wtc_worker_wake();
	return number;
}

bool
wtc_round_done(uint64 number)
{
	return pg_atomic_read_u64(&rounds->done) >= number;
}

uint64
wtc_rounds_progress(void)
{
	return pg_atomic_read_u64(&rounds->progress);
}

void
wtc_position_ask(XLogRecPtr lsn)
{
	uint64		seen = pg_atomic_read_u64(&rounds->position);

	while (lsn > seen &&
		   !pg_atomic_compare_exchange_u64(&rounds->position, &seen, lsn))
		;
	wtc_worker_wake();
}

XLogRecPtr
wtc_position_asked(void)
{
	return pg_atomic_read_u64(&rounds->position);
}

void
wtc_take_over_ask(void)
{
	pg_atomic_write_u32(&rounds->take_over, 1);
	wtc_worker_wake();
}

uint64
wtc_round_number(void)
{
	uint64		number = pg_atomic_read_u64(&rounds->wanted);

	pg_memory_barrier();
	return number;
}

bool
wtc_round_wanted(void)
{
	return pg_atomic_read_u64(&rounds->done) <
		pg_atomic_read_u64(&rounds->wanted);
}

void
wtc_round_over(uint64 number)
{
	pg_atomic_write_u64(&rounds->done, number);
}

void
wtc_rounds_note_progress(void)
{
	pg_atomic_fetch_add_u64(&rounds->progress, 1);
}

bool
wtc_take_over_asked(void)
{
	return pg_atomic_read_u32(&rounds->take_over) != 0;
}

void
wtc_take_over_done(void)
{
	pg_atomic_write_u32(&rounds->take_over, 0);
}
