/*-------------------------------------------------------------------------
 *
 * watermark.c
 *	  How far everything is in Redis, and how much WAL is kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "guc.h"
#include "port/atomics.h"
#include "redis/conn.h"
#include "shared/holds.h"
#include "shared/outbox.h"
#include "shared/slots.h"
#include "worker/parked.h"
#include "worker/slot.h"
#include "worker/wal.h"
#include "worker/watermark.h"
#include "worker/worker.h"

/* where it was heal_window ago, as of the last beat */
static XLogRecPtr healing = InvalidXLogRecPtr;

/* where the watermark was, for heal_window */
#define SAMPLES		512

typedef struct Sample
{
	int64		at_us;
	XLogRecPtr	watermark;
} Sample;

/*
 * First the end of WAL, then the marks of the backends, then what they have
 * left to be replayed and what they hold: a batch that is written after the
 * first look begins behind it, and one that moves on meanwhile is seen where it
 * arrives.
 *
 * An invalidation is held until everything that may have been committed before
 * it is settled: pushes under way, what is to be replayed, and what is parked.
 */
static XLogRecPtr
candidate(void)
{
	uint64		lsn = GetXLogInsertRecPtr();
	uint64		marked;
	uint64		left;

	pg_memory_barrier();
	/* once: Min() asks twice, and the mark may be gone by then */
	marked = wtc_inflight_min();
	lsn = Min(lsn, marked);
	pg_memory_barrier();
	left = Min(wtc_replay_from(), wtc_replaying());
	/* what is left begins there, and was committed later still */
	lsn = Min(lsn, left);
	wtc_holds_release(Min(lsn, wtc_parked_open_at()));
	lsn = Min(lsn, wtc_holds_min());
	return Min(lsn, wtc_parked_from());
}

XLogRecPtr
wtc_watermark_move(void)
{
	static XLogRecPtr waiting = InvalidXLogRecPtr;
	XLogRecPtr	watermark = wtc_watermark();
	XLogRecPtr	lsn = candidate();

	/*
	 * Never past what is flushed: a crash would let other batches begin
	 * before it.  Then one that was found earlier may do by now.
	 */
	if (!wtc_wal_flushed(lsn))
	{
		XLogRecPtr	later = lsn;

		lsn = waiting != InvalidXLogRecPtr && waiting <= lsn &&
			wtc_wal_flushed(waiting) ? waiting : watermark;
		waiting = later;
	}
	if (lsn > watermark)
	{
		watermark = lsn;
		wtc_set_watermark(watermark);
	}
	return watermark;
}

/*
 * Where the watermark was heal_window ago; InvalidXLogRecPtr: not known.  A worker
 * that has not been there for so long goes by the age of the segments, or WAL
 * would pile up where the server is restarted again and again.
 */
static XLogRecPtr
healing_position(XLogRecPtr watermark)
{
	static Sample samples[SAMPLES];
	static int	nsamples = 0;
	static XLogRecPtr before = InvalidXLogRecPtr;
	int64		now = wtc_clock_us();
	int64		window = (int64) wtc_heal_window * 1000000;
	int			old = -1;

	if (nsamples == 0)
		before = wtc_wal_written_before(wtc_heal_window);
	for (int i = 0; i < nsamples; i++)
	{
		/* it went back: what it was does not count any more */
		samples[i].watermark = Min(samples[i].watermark, watermark);
		if (now - samples[i].at_us >= window)
			old = i;
	}
	if (old > 0)
	{
		memmove(samples, samples + old, sizeof(Sample) * (nsamples - old));
		nsamples -= old;
	}
	if (nsamples < SAMPLES &&
		(nsamples == 0 ||
		 now - samples[nsamples - 1].at_us >= window / (SAMPLES - 1)))
	{
		samples[nsamples].at_us = now;
		samples[nsamples].watermark = watermark;
		nsamples++;
	}
	return old >= 0 ? samples[0].watermark : Min(before, watermark);
}

void
wtc_watermark_retain(void)
{
	static bool told = false;
	XLogRecPtr	watermark = wtc_watermark_move();
	XLogRecPtr	end = GetXLogInsertRecPtr();
	uint64		most = PG_UINT64_MAX;
	XLogRecPtr	limit;
	XLogRecPtr	lsn;

	if (watermark == InvalidXLogRecPtr)
		return;
	if (wtc_max_wal_retained >= 0)
		most = (uint64) wtc_max_wal_retained * 1024 * 1024;
	wtc_parked_carry_far(most);

	limit = end > most ? end - most : 0;
	if (limit <= watermark)
		told = false;
	else if (!told && wtc_slot_position() != InvalidXLogRecPtr &&
			 wtc_slot_position() < limit)
	{
		ereport(LOG,
				(errmsg("wtcache: giving up WAL that has not been replayed, max_wal_retained is reached"),
				 errdetail("The cache will be emptied as soon as Redis can be reached.")));
		told = true;
	}
	healing = healing_position(watermark);
	lsn = Max(healing, limit);
	if (lsn > wtc_slot_position())
		wtc_slot_advance(lsn);
}

XLogRecPtr
wtc_watermark_healing(void)
{
	return healing;
}
