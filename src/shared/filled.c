/*-------------------------------------------------------------------------
 *
 * filled.c
 *	  Which tables have been warmed, or found to be all in the cache, and when.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "shared/filled.h"
#include "storage/spin.h"

#define FILLED_TABLES	1024

typedef struct FilledTable
{
	Oid			dbid;
	Oid			relid;
	TimestampTz since;			/* 0: free */
} FilledTable;

typedef struct Filled
{
	slock_t		mutex;			/* over the rest */
	FilledTable tables[FILLED_TABLES];
} Filled;

static Filled *filled = NULL;

Size
wtc_filled_size(void)
{
	return sizeof(Filled);
}

void
wtc_filled_attach(void *place, bool initialise)
{
	filled = place;
	if (!initialise)
		return;
	memset(filled, 0, sizeof(*filled));
	SpinLockInit(&filled->mutex);
}

/* The table's entry, or the oldest; the mutex is held. */
static FilledTable *
find(Oid relid)
{
	FilledTable *oldest = &filled->tables[0];

	for (int i = 0; i < FILLED_TABLES; i++)
	{
		FilledTable *t = &filled->tables[i];

		if (t->dbid == MyDatabaseId && t->relid == relid)
			return t;
		if (t->since < oldest->since)
			oldest = t;
	}
	return oldest;
}

void
wtc_filled_note(Oid relid, TimestampTz since)
{
	FilledTable *t;

	SpinLockAcquire(&filled->mutex);
	t = find(relid);
	t->dbid = MyDatabaseId;
	t->relid = relid;
	t->since = since;
	SpinLockRelease(&filled->mutex);
}

TimestampTz
wtc_filled_since(Oid relid)
{
	FilledTable *t;
	TimestampTz since;

	SpinLockAcquire(&filled->mutex);
	t = find(relid);
	since = t->dbid == MyDatabaseId && t->relid == relid ? t->since : 0;
	SpinLockRelease(&filled->mutex);
	return since;
}
