/*-------------------------------------------------------------------------
 *
 * sql.c
 *	  What functions callable from SQL have in common: intervals, texts, rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "sql.h"
#include "utils/timestamp.h"

#define LONGEST_US	(WTC_LONGEST_MS * 1000.0)

/* In microseconds; months count 30 days, as elsewhere in PostgreSQL. */
static double
interval_us(const Interval *interval)
{
	return interval->time + (double) USECS_PER_DAY *
		(interval->day + (double) DAYS_PER_MONTH * interval->month);
}

void
wtc_refuse_null(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not be null", name)));
}

void
wtc_check_not_null(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		wtc_refuse_null(name);
}

uint64
wtc_interval_ms(const Interval *interval)
{
	double		us = interval_us(interval);

	if (us < 1000 || us > LONGEST_US)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ttl must be between one millisecond and 100 years")));
	return (uint64) (us / 1000);
}

int64
wtc_timeout_us(const Interval *interval)
{
	double		us = interval_us(interval);

	if (us < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative")));
	return (int64) Min(us, LONGEST_US);
}

char *
wtc_foreign_text(const char *text)
{
	char	   *copy = pstrdup(text);

	if (GetDatabaseEncoding() != PG_UTF8)
	{
		for (char *p = copy; *p != '\0'; p++)
		{
			if (IS_HIGHBIT_SET(*p))
				*p = '?';
		}
	}
	else if (!pg_verify_mbstr(PG_UTF8, text, strlen(text), true))
		*copy = '\0';
	return copy;
}

Datum
wtc_result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
											 values, nulls));
}
