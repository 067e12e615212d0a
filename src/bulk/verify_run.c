/*-------------------------------------------------------------------------
 *
 * verify_run.c
 *	  A call of wtcache.verify(): what has been found, and what may be waited.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bulk/verify_run.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "read/wait.h"
#include "redis/conn.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

static const char *const kind_names[] = {
	[WTC_DIFF_MISSING] = "missing",
	[WTC_DIFF_STALE] = "stale",
	[WTC_DIFF_TTL] = "ttl",
	[WTC_DIFF_TAG] = "tag",
	[WTC_DIFF_ORPHAN] = "orphan",
	[WTC_DIFF_IN_FLIGHT] = "in flight"
};

bool
wtc_verify_wait(WtcVerify *run)
{
	int64		begun = wtc_clock_us();
	bool		done = wtc_wait_until_pushed(begun + run->patience_us);

	run->patience_us = Max(run->patience_us - (wtc_clock_us() - begun), 0);
	return done;
}

char *
wtc_verify_name(WtcSpan name)
{
	StringInfoData buf;
	bool		is_text = (GetDatabaseEncoding() == PG_UTF8 ||
						   GetDatabaseEncoding() == PG_SQL_ASCII) &&
	pg_verify_mbstr(PG_UTF8, name.data, name.len, true);

	initStringInfo(&buf);
	for (uint32 i = 0; i < name.len; i++)
	{
		if (!is_text && (IS_HIGHBIT_SET(name.data[i]) || name.data[i] == '\0'))
			appendStringInfo(&buf, "\\x%02x", (uint8) name.data[i]);
		else
			appendStringInfoChar(&buf, name.data[i]);
	}
	return buf.data;
}

void
wtc_verify_report(WtcVerify *run, WtcDifference kind, WtcSpan key, Oid part,
				  const ItemPointerData *row, const char *detail,
				  bool repaired)
{
	Datum		values[6];
	bool		nulls[6] = {0};
	ItemPointerData copy;

	run->found[kind]++;
	if (run->result == NULL)
		return;
	values[0] = CStringGetTextDatum(kind_names[kind]);
	values[1] = CStringGetTextDatum(wtc_verify_name(key));
	nulls[2] = nulls[3] = row == NULL;
	if (row != NULL)
	{
		copy = *row;
		values[2] = ObjectIdGetDatum(part);
		values[3] = PointerGetDatum(&copy);
	}
	nulls[4] = detail == NULL;
	if (detail != NULL)
		values[4] = CStringGetTextDatum(detail);
	values[5] = BoolGetDatum(repaired);
	tuplestore_putvalues(run->result->setResult, run->result->setDesc,
						 values, nulls);
}
