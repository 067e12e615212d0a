/*-------------------------------------------------------------------------
 *
 * through.c
 *	  Reading through the cache.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "miscadmin.h"
#include "read/through.h"
#include "redis/conn.h"
#include "shared/slots.h"
#include "shared/waits.h"
#include "storage/latch.h"

/* how often to look for what another reader fills, in milliseconds: doubled */
#define FIRST_LOOK_MS	1
#define LAST_LOOK_MS	16

typedef struct Loading
{
	WtcLoader	load;
	void	   *arg;
} Loading;

/* Loads readings, and fills those that there is a lease for. */
static void
load(const Loading *loading, WtcReading **readings, int n)
{
	WtcFill    *fills;
	XLogRecPtr	mark;
	int			nfills = 0;

	if (n == 0)
		return;
	fills = palloc0(sizeof(WtcFill) * n);
	for (int i = 0; i < n; i++)
		fills[i].reading = readings[i];
	mark = loading->load(loading->arg, readings, fills, n);
	for (int i = 0; i < n; i++)
	{
		/* another server's Redis by now, or this server has lost it */
		if (wtc_lease_is_ours(readings[i]))
			fills[nfills++] = fills[i];
	}
	/* whether they are stored makes no difference to the caller */
	(void) wtc_lease_fill(fills, nfills, mark);
}

static void
sleep_ms(long ms)
{
	CHECK_FOR_INTERRUPTS();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, wtc_wait_await_reader);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Moves the readings that another reader may fill to the front, those that are
 * to be loaded behind them; returns how many of each there are.
 */
static int
sort_readings(WtcReading **readings, int n, int *missing, int64 *left_us)
{
	WtcReading **load = palloc(sizeof(WtcReading *) * n);
	int			waiting = 0;
	int			hits = 0;

	*missing = 0;
	for (int i = 0; i < n; i++)
	{
		switch (readings[i]->found)
		{
			case WTC_FOUND_VALUE:
			case WTC_FOUND_ABSENCE:
			case WTC_FOUND_ELSEWHERE:
				hits++;
				break;
			case WTC_FOUND_LEASE:
			case WTC_FOUND_NOTHING:
				load[(*missing)++] = readings[i];
				break;
			case WTC_FOUND_READER:
				*left_us = Max(*left_us, readings[i]->left_us);
				readings[waiting++] = readings[i];
				break;
		}
	}
	memcpy(readings + waiting, load, sizeof(WtcReading *) * *missing);
	pfree(load);
	wtc_count(WTC_READ_HITS, hits);
	wtc_count(WTC_READ_MISSES, *missing);
	return waiting;
}

void
wtc_read_through(WtcReading **readings, int n, bool leases, WtcLoader loader,
				 void *arg)
{
	Loading		loading = {loader, arg};
	int64		give_up_us = 0;
	long		pause_ms = FIRST_LOOK_MS;

	for (;;)
	{
		int64		left_us = 0;
		int			missing;

		if (n == 0)
			return;
		if (wtc_lease_get(readings, n, leases) != WTC_OK)
		{
			wtc_count(WTC_READ_UNANSWERED, n);
			break;
		}
		n = sort_readings(readings, n, &missing, &left_us);
		/* the own first, so that no two readers wait for each other */
		load(&loading, readings + n, missing);
		if (n == 0)
			return;
		if (give_up_us == 0)
		{
			wtc_count(WTC_READ_WAITS, n);
			/* the time of one that does not come back, and of the next one */
			give_up_us = wtc_clock_us() + left_us +
				(int64) wtc_push_timeout * 1000;
		}
		if (wtc_clock_us() >= give_up_us)
		{
			wtc_count(WTC_READ_MISSES, n);
			break;
		}
		sleep_ms(pause_ms);
		pause_ms = Min(pause_ms * 2, LAST_LOOK_MS);
	}
	for (int i = 0; i < n; i++)
		readings[i]->lease[0] = '\0';
	load(&loading, readings, n);
}

void
wtc_read_past(WtcReading **readings, int n, WtcLoader loader, void *arg)
{
	Loading		loading = {loader, arg};

	wtc_count(WTC_READ_BYPASSED, n);
	load(&loading, readings, n);
}
