/*-------------------------------------------------------------------------
 *
 * pause.h
 *	  Sleeping between two steps of a long work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_PAUSE_H
#define WTC_BULK_PAUSE_H

/* Sleeps until then, by wtc_clock_us(); serves interrupts, so may raise. */
extern void wtc_sleep_until(int64 until_us);

#endif							/* WTC_BULK_PAUSE_H */
