/*-------------------------------------------------------------------------
 *
 * through.h
 *	  Reading through the cache: from Redis, else from where the caller loads
 *	  it, which fills Redis; of sessions that miss a key, one loads it.
 *
 * Serves interrupts and may raise errors because of them, or what the loader
 * raises.  A lease that is held then expires by itself.  Before the commit record
 * only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_READ_THROUGH_H
#define WTC_READ_THROUGH_H

#include "read/lease.h"

/*
 * Loads n readings, whose found becomes WTC_FOUND_ELSEWHERE, and says of each what
 * is to be filled, if its lease allows it.  Takes its snapshot when it is
 * called, and returns the mark of what it has seen, see lease.h.
 */
typedef XLogRecPtr (*WtcLoader) (void *arg, WtcReading *const *readings,
								 WtcFill *fills, int n);

/*
 * Reads all of them: found becomes WTC_FOUND_VALUE, WTC_FOUND_ABSENCE or
 * WTC_FOUND_ELSEWHERE.  Fills only with leases.  The array is used up.
 */
extern void wtc_read_through(WtcReading **readings, int n, bool leases,
							 WtcLoader load, void *arg);

/* Loads all of them, without a look at Redis. */
extern void wtc_read_past(WtcReading **readings, int n, WtcLoader load,
						  void *arg);

#endif							/* WTC_READ_THROUGH_H */
