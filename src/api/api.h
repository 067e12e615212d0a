/*-------------------------------------------------------------------------
 *
 * api.h
 *	  What the files of the SQL interface share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_API_H
#define WTC_API_API_H

#include "datatype/timestamp.h"

/* A ttl in milliseconds; raises an error if it makes no sense. */
extern uint64 wtc_interval_ms(const Interval *interval);

#endif							/* WTC_API_API_H */
