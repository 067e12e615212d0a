/*-------------------------------------------------------------------------
 *
 * prepared.c
 *	  What prepared transactions have done for each table, until they end.
 *
 * An entry is written by who claims it by compare-and-swap, and read by who
 * claims it back.  In between its state is a number that never comes again; so
 * what was compared before a swap of that number that succeeded was whole.
 *
 * A gid may be used again as soon as its transaction has ended, a moment before
 * the numbers are taken.  Then there are two entries of this gid, and the older
 * one is the one that is meant.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "shared/prepared.h"
#include "storage/shmem.h"

/* States of an entry; from the last one on, numbers. */
#define STATE_FREE		0
#define STATE_CLAIMED	1
#define STATE_FIRST		2

typedef struct PreparedEntry
{
	pg_atomic_uint64 state;
	WtcPrepared what;			/* written by who has claimed it */
} PreparedEntry;

typedef struct PreparedTable
{
	pg_atomic_uint64 next;		/* number; counted up by any backend */
	int			nentries;		/* set once at start-up */
	PreparedEntry entries[FLEXIBLE_ARRAY_MEMBER];
} PreparedTable;

static PreparedTable *prepared = NULL;

/* One for each that is prepared, and for each that has just been finished. */
static int
count_entries(void)
{
	return max_prepared_xacts == 0 ? 0 : max_prepared_xacts + MaxBackends;
}

Size
wtc_prepared_size(void)
{
	return add_size(offsetof(PreparedTable, entries),
					mul_size(count_entries(), sizeof(PreparedEntry)));
}

void
wtc_prepared_attach(void *place, bool initialise)
{
	prepared = place;
	if (!initialise)
		return;
	pg_atomic_init_u64(&prepared->next, STATE_FIRST);
	prepared->nentries = count_entries();
	for (int i = 0; i < prepared->nentries; i++)
		pg_atomic_init_u64(&prepared->entries[i].state, STATE_FREE);
}

bool
wtc_prepared_keep(const WtcPrepared *what)
{
	for (int i = 0; i < prepared->nentries; i++)
	{
		PreparedEntry *entry = &prepared->entries[i];
		uint64		state = pg_atomic_read_u64(&entry->state);

		if (state != STATE_FREE ||
			!pg_atomic_compare_exchange_u64(&entry->state, &state,
											STATE_CLAIMED))
			continue;
		entry->what = *what;
		pg_write_barrier();
		pg_atomic_write_u64(&entry->state,
							pg_atomic_fetch_add_u64(&prepared->next, 1));
		return true;
	}
	return false;
}

/* The oldest entry with this gid, and its state; or NULL. */
static PreparedEntry *
find_oldest(const char *gid, uint64 *oldest)
{
	PreparedEntry *found = NULL;

	for (int i = 0; i < prepared->nentries; i++)
	{
		PreparedEntry *entry = &prepared->entries[i];
		uint64		state = pg_atomic_read_u64(&entry->state);

		if (state < STATE_FIRST || (found != NULL && state > *oldest))
			continue;
		pg_read_barrier();
		if (strncmp(entry->what.gid, gid, GIDSIZE) != 0)
			continue;
		found = entry;
		*oldest = state;
	}
	return found;
}

bool
wtc_prepared_take(const char *gid, WtcPrepared *what)
{
	PreparedEntry *entry;
	uint64		state = 0;

	while ((entry = find_oldest(gid, &state)) != NULL)
	{
		/* the swap is a barrier; if it fails, somebody else has taken it */
		if (!pg_atomic_compare_exchange_u64(&entry->state, &state,
											STATE_CLAIMED))
			continue;
		*what = entry->what;
		pg_memory_barrier();
		pg_atomic_write_u64(&entry->state, STATE_FREE);
		return true;
	}
	return false;
}
