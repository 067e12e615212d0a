/*-------------------------------------------------------------------------
 *
 * holds.c
 *	  Invalidations that hold the watermark back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/holds.h"
#include "storage/spin.h"

#define MAX_HOLDS		64

typedef struct Hold
{
	XLogRecPtr	message;
	XLogRecPtr	commit;
} Hold;

typedef struct Holds
{
	slock_t		mutex;			/* over the rest */
	int			n;
	Hold		hold[MAX_HOLDS];
} Holds;

static Holds *holds = NULL;

Size
wtc_holds_size(void)
{
	return sizeof(Holds);
}

void
wtc_holds_attach(void *place, bool initialise)
{
	holds = place;
	if (!initialise)
		return;
	SpinLockInit(&holds->mutex);
	holds->n = 0;
}

void
wtc_hold(XLogRecPtr message, XLogRecPtr commit)
{
	SpinLockAcquire(&holds->mutex);
	if (holds->n < MAX_HOLDS)
	{
		holds->hold[holds->n].message = message;
		holds->hold[holds->n].commit = commit;
		holds->n++;
	}
	else
	{
		Hold	   *last = &holds->hold[MAX_HOLDS - 1];

		last->message = Min(last->message, message);
		last->commit = Max(last->commit, commit);
	}
	SpinLockRelease(&holds->mutex);
}

void
wtc_holds_release(XLogRecPtr settled)
{
	SpinLockAcquire(&holds->mutex);
	for (int i = holds->n - 1; i >= 0; i--)
	{
		if (holds->hold[i].commit <= settled)
			holds->hold[i] = holds->hold[--holds->n];
	}
	SpinLockRelease(&holds->mutex);
}

XLogRecPtr
wtc_holds_min(void)
{
	XLogRecPtr	min = PG_UINT64_MAX;

	SpinLockAcquire(&holds->mutex);
	for (int i = 0; i < holds->n; i++)
		min = Min(min, holds->hold[i].message);
	SpinLockRelease(&holds->mutex);
	return min;
}
