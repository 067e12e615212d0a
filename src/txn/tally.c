/*-------------------------------------------------------------------------
 *
 * tally.c
 *	  Operations by table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "shared/stats.h"
#include "txn/tally.h"
#include "utils/memutils.h"

typedef struct TallyEntry
{
	Oid			relid;
	char		status;
	uint64		n[WTC_TABLE_COUNTERS];
} TallyEntry;

#define SH_PREFIX tally
#define SH_ELEMENT_TYPE TallyEntry
#define SH_KEY_TYPE Oid
#define SH_KEY relid
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static TallyEntry *
entry_of(WtcTally **tally, Oid relid)
{
	TallyEntry *entry;
	bool		found;

	if (*tally == NULL)
		*tally = tally_create(TopTransactionContext, 4, NULL);
	entry = tally_insert(*tally, relid, &found);
	if (!found)
		memset(entry->n, 0, sizeof(entry->n));
	return entry;
}

void
wtc_tally_note(WtcTally **tally, Oid relid, char kind, uint32 len)
{
	TallyEntry *entry;

	if (!OidIsValid(relid))
		return;
	entry = entry_of(tally, relid);
	if (kind == WTC_OP_INVALIDATE)
		entry->n[WTC_TABLE_INVALIDATIONS]++;
	else if (kind == WTC_OP_DELETE)
		entry->n[WTC_TABLE_DELETES]++;
	else
		entry->n[WTC_TABLE_SETS]++;
	entry->n[WTC_TABLE_BYTES] += len;
}

void
wtc_tally_join(WtcTally **into, WtcTally *from)
{
	tally_iterator it;
	TallyEntry *entry;

	if (from == NULL || *into == NULL)
	{
		*into = from == NULL ? *into : from;
		return;
	}
	tally_start_iterate(from, &it);
	while ((entry = tally_iterate(from, &it)) != NULL)
	{
		TallyEntry *target = entry_of(into, entry->relid);

		for (int i = 0; i < WTC_TABLE_COUNTERS; i++)
			target->n[i] += entry->n[i];
	}
	tally_destroy(from);
}

void
wtc_tally_publish(WtcTally *tally, TimestampTz at)
{
	tally_iterator it;
	TallyEntry *entry;

	if (tally == NULL)
		return;
	tally_start_iterate(tally, &it);
	while ((entry = tally_iterate(tally, &it)) != NULL)
		wtc_table_note(entry->relid, entry->n, at);
}

static uint64
operations_of(const TallyEntry *entry)
{
	return entry->n[WTC_TABLE_SETS] + entry->n[WTC_TABLE_DELETES] +
		entry->n[WTC_TABLE_INVALIDATIONS];
}

void
wtc_tally_list(WtcTally *tally, WtcPrepared *prepared)
{
	tally_iterator it;
	TallyEntry *entry;

	prepared->ntables = 0;
	prepared->unlisted = 0;
	if (tally == NULL)
		return;
	tally_start_iterate(tally, &it);
	while ((entry = tally_iterate(tally, &it)) != NULL)
	{
		int			i = prepared->ntables;

		if (i == WTC_PREPARED_TABLES)
		{
			prepared->unlisted += operations_of(entry);
			continue;
		}
		prepared->tables[i].relid = entry->relid;
		memcpy(prepared->tables[i].n, entry->n, sizeof(entry->n));
		prepared->ntables++;
	}
}
