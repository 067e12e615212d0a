/*-------------------------------------------------------------------------
 *
 * lag.c
 *	  The lag of the cache in time.
 *
 * What is left to the worker is known by its position in WAL.  When that was
 * written is told by a series of moments at which the end of WAL was looked
 * at, and between two of them by interpolation.  The series gets coarser the
 * older it is, so it goes back as far as it must and stays short.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "port/atomics.h"
#include "shared/outbox.h"
#include "utils/timestamp.h"
#include "worker/lag.h"

#define MOMENTS			256
#define INTERVAL_MS		250

typedef struct Moment
{
	TimestampTz at;
	XLogRecPtr	end;			/* of WAL, then */
} Moment;

static Moment moments[MOMENTS];
static int	nmoments = 0;

static void
note_moment(void)
{
	TimestampTz now = GetCurrentTimestamp();
	XLogRecPtr	end = GetXLogInsertRecPtr();
	Moment	   *last = nmoments > 0 ? &moments[nmoments - 1] : NULL;

	/* where nothing was written, only the last time is of interest */
	if (last != NULL && last->end == end)
	{
		last->at = now;
		return;
	}
	if (last != NULL &&
		!TimestampDifferenceExceeds(last->at, now, INTERVAL_MS))
		return;
	if (nmoments == MOMENTS)
	{
		nmoments = MOMENTS / 2;
		for (int i = 1; i < nmoments; i++)
			moments[i] = moments[2 * i + 1];
	}
	moments[nmoments].at = now;
	moments[nmoments].end = end;
	nmoments++;
}

/* When what stands at this position was written, as far as we know. */
static TimestampTz
time_of(XLogRecPtr lsn)
{
	int			i = nmoments - 1;
	const Moment *m;

	while (i > 0 && moments[i].end > lsn)
		i--;
	m = &moments[i];
	if (i == nmoments - 1 || m->end >= lsn)
		return m->at;
	return m->at + (TimestampTz) ((double) (m[1].at - m->at) *
								  (lsn - m->end) / (m[1].end - m->end));
}

/* The oldest that waits, or UINT64_MAX. */
static XLogRecPtr
oldest(bool skimmed)
{
	uint64		from = wtc_replay_from();
	uint64		replaying;

	pg_read_barrier();
	replaying = wtc_replaying();
	/* the worker has not begun; or has looked at it and found nothing */
	if (replaying == InvalidXLogRecPtr || skimmed)
		return from;
	return Min(from, replaying);
}

void
wtc_lag_note(bool skimmed)
{
	static XLogRecPtr before = PG_UINT64_MAX;
	XLogRecPtr	lsn = oldest(skimmed);

	note_moment();
	if (lsn == PG_UINT64_MAX)
	{
		if (wtc_behind_since() != 0)
			wtc_set_behind_since(0);
		moments[0] = moments[nmoments - 1];
		nmoments = 1;
	}
	else if (wtc_behind_since() == 0 ||
			 (before != PG_UINT64_MAX && before != lsn))
		wtc_set_behind_since(time_of(lsn));
	before = lsn;
}
