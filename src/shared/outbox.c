/*-------------------------------------------------------------------------
 *
 * outbox.c
 *	  From where on WAL has batches that may not be in Redis.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/atomics.h"
#include "shared/outbox.h"
#include "utils/timestamp.h"

typedef struct Outbox
{
	pg_atomic_uint64 replay_from;	/* lowered by any backend, taken by the
									 * worker */
	pg_atomic_uint32 read_again;	/* likewise, 1: set */

	/* written by the worker */
	pg_atomic_uint64 replaying;
	pg_atomic_uint64 parked_from;
	pg_atomic_uint64 watermark;
	pg_atomic_uint64 wal_at_start;

	/* written by the worker, and where it is 0 by any backend */
	pg_atomic_uint64 behind_since;
} Outbox;

static Outbox *outbox = NULL;

Size
wtc_outbox_size(void)
{
	return sizeof(Outbox);
}

void
wtc_outbox_attach(void *place, bool initialise)
{
	outbox = place;
	if (!initialise)
		return;
	pg_atomic_init_u64(&outbox->replay_from, PG_UINT64_MAX);
	pg_atomic_init_u32(&outbox->read_again, 0);
	pg_atomic_init_u64(&outbox->replaying, 0);
	pg_atomic_init_u64(&outbox->parked_from, PG_UINT64_MAX);
	pg_atomic_init_u64(&outbox->watermark, 0);
	pg_atomic_init_u64(&outbox->wal_at_start, 0);
	pg_atomic_init_u64(&outbox->behind_since, 0);
}

void
wtc_outbox_leave(XLogRecPtr lsn)
{
	uint64		seen = pg_atomic_read_u64(&outbox->replay_from);

	while (lsn < seen &&
		   !pg_atomic_compare_exchange_u64(&outbox->replay_from, &seen, lsn))
		;
	/* the first one; from when later ones are, the worker knows */
	if (pg_atomic_read_u64(&outbox->behind_since) == 0)
		pg_atomic_write_u64(&outbox->behind_since, GetCurrentTimestamp());
}

XLogRecPtr
wtc_replay_from(void)
{
	return pg_atomic_read_u64(&outbox->replay_from);
}

bool
wtc_replay_from_take(XLogRecPtr *from)
{
	return pg_atomic_compare_exchange_u64(&outbox->replay_from, from,
										  PG_UINT64_MAX);
}

void
wtc_read_again_ask(void)
{
	pg_atomic_write_u32(&outbox->read_again, 1);
	pg_write_barrier();
}

bool
wtc_read_again_take(void)
{
	return pg_atomic_exchange_u32(&outbox->read_again, 0) != 0;
}

bool
wtc_worker_busy(void)
{
	/* in the order in which a batch moves on, so that it cannot slip by */
	if (pg_atomic_read_u64(&outbox->replay_from) != PG_UINT64_MAX)
		return true;
	pg_read_barrier();
	if (pg_atomic_read_u64(&outbox->replaying) != PG_UINT64_MAX)
		return true;
	pg_read_barrier();
	return pg_atomic_read_u64(&outbox->parked_from) != PG_UINT64_MAX;
}

XLogRecPtr
wtc_replaying(void)
{
	return pg_atomic_read_u64(&outbox->replaying);
}

void
wtc_set_replaying(XLogRecPtr lsn)
{
	pg_atomic_write_u64(&outbox->replaying, lsn);
	pg_memory_barrier();
}

XLogRecPtr
wtc_parked_from(void)
{
	return pg_atomic_read_u64(&outbox->parked_from);
}

void
wtc_set_parked_from(XLogRecPtr lsn)
{
	pg_atomic_write_u64(&outbox->parked_from, lsn);
}

XLogRecPtr
wtc_watermark(void)
{
	return pg_atomic_read_u64(&outbox->watermark);
}

void
wtc_set_watermark(XLogRecPtr lsn)
{
	pg_atomic_write_u64(&outbox->watermark, lsn);
}

XLogRecPtr
wtc_wal_at_start(void)
{
	return pg_atomic_read_u64(&outbox->wal_at_start);
}

void
wtc_set_wal_at_start(XLogRecPtr lsn)
{
	pg_atomic_write_u64(&outbox->wal_at_start, lsn);
}

TimestampTz
wtc_behind_since(void)
{
	return (TimestampTz) pg_atomic_read_u64(&outbox->behind_since);
}

void
wtc_set_behind_since(TimestampTz since)
{
	pg_atomic_write_u64(&outbox->behind_since, since);
}
