/*-------------------------------------------------------------------------
 *
 * sql.h
 *	  What functions callable from SQL have in common: intervals, texts, rows.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SQL_H
#define WTC_SQL_H

#include "datatype/timestamp.h"
#include "fmgr.h"

/* The longest interval that makes sense: 100 years. */
#define WTC_LONGEST_MS	(UINT64CONST(86400000) * 366 * 100)

/* Raises the error that what is called so must not be null. */
extern void wtc_refuse_null(const char *name);

/* The same if an argument is. */
extern void wtc_check_not_null(FunctionCallInfo fcinfo, int i,
							   const char *name);

/* A ttl in milliseconds; an error unless it is from 1 ms to 100 years. */
extern uint64 wtc_interval_ms(const Interval *interval);

/* A timeout in microseconds; an error if it is negative. */
extern int64 wtc_timeout_us(const Interval *interval);

/*
 * Text of Redis, in UTF-8, palloc'd; what this database's encoding may lack becomes
 * "?".
 */
extern char *wtc_foreign_text(const char *text);

/* The row that a function with a row type returns. */
extern Datum wtc_result_row(FunctionCallInfo fcinfo, Datum *values,
							bool *nulls);

#endif							/* WTC_SQL_H */
