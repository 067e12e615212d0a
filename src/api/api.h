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
#include "fmgr.h"

/* A ttl in milliseconds; raises an error if it makes no sense. */
extern uint64 wtc_interval_ms(const Interval *interval);

/* The row that a function with a row type returns. */
extern Datum wtc_result_row(FunctionCallInfo fcinfo, Datum *values,
							bool *nulls);

#endif							/* WTC_API_API_H */
