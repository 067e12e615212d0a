/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  Statistics that can be reset.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "compat.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "shared/slots.h"
#include "shared/stats.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

/* Counters of a table; a key is a database and a table, or one of these. */
#define KEY_NONE		0
#define KEY_FREE		1		/* was used once: look on behind it */
#define KEY_CLAIMED		2		/* about to be used */

typedef struct TableEntry
{
	pg_atomic_uint64 key;
	pg_atomic_uint64 n[WTC_TABLE_COUNTERS];
	pg_atomic_uint64 last_change;
} TableEntry;

typedef struct Histogram
{
	pg_atomic_uint64 sum_us;
	pg_atomic_uint64 max_us;
	pg_atomic_uint64 buckets[WTC_LATENCY_BUCKETS];
} Histogram;

/* A backend's place; only its owner writes it. */
typedef struct Place
{
	pg_atomic_uint64 epoch;		/* 0: being emptied */
	uint32		hand;			/* the next table to make room; owner only */
	Histogram	latency[WTC_LATENCY_KINDS];
	TableEntry	recent[WTC_RECENT_TABLES];
	char		pad[128];		/* none shares a cache line with the next */
} Place;

typedef struct Stats
{
	/* written by who resets */
	pg_atomic_uint64 epoch;
	pg_atomic_uint64 reset_at;	/* TimestampTz */
	pg_atomic_uint64 base[WTC_COUNTERS];	/* what the counters were then */

	/* tables on their way from a backend's place: begun and done */
	pg_atomic_uint64 moves_begun;
	pg_atomic_uint64 moves_done;

	/*
	 * Of even and of odd epochs: a backend that still adds to what has been
	 * counted before a reset does not add to what is counted after it.
	 */
	TableEntry	tables[2][WTC_TABLES];
	Place		places[FLEXIBLE_ARRAY_MEMBER];
} Stats;

static Stats *stats = NULL;
static LWLock *reset_lock = NULL;	/* held by who resets, nobody else */

/* may raise: not after the commit record */
Size
wtc_stats_size(void)
{
	if (process_shmem_requests_in_progress)
		RequestNamedLWLockTranche("wtcache", 1);
	return add_size(offsetof(Stats, places),
					mul_size(MaxBackends + 1, sizeof(Place)));
}

static void
init_table(TableEntry *entry)
{
	pg_atomic_init_u64(&entry->key, KEY_NONE);
	for (int i = 0; i < WTC_TABLE_COUNTERS; i++)
		pg_atomic_init_u64(&entry->n[i], 0);
	pg_atomic_init_u64(&entry->last_change, 0);
}

static void
init_place(Place *place)
{
	pg_atomic_init_u64(&place->epoch, 1);
	place->hand = 0;
	for (int kind = 0; kind < WTC_LATENCY_KINDS; kind++)
	{
		Histogram  *h = &place->latency[kind];

		pg_atomic_init_u64(&h->sum_us, 0);
		pg_atomic_init_u64(&h->max_us, 0);
		for (int i = 0; i < WTC_LATENCY_BUCKETS; i++)
			pg_atomic_init_u64(&h->buckets[i], 0);
	}
	for (int i = 0; i < WTC_RECENT_TABLES; i++)
		init_table(&place->recent[i]);
}

/* may raise: not after the commit record */
void
wtc_stats_attach(void *place, bool initialise)
{
	stats = place;
	reset_lock = &GetNamedLWLockTranche("wtcache")->lock;
	if (!initialise)
		return;
	pg_atomic_init_u64(&stats->epoch, 1);
	pg_atomic_init_u64(&stats->reset_at, GetCurrentTimestamp());
	for (int c = 0; c < WTC_COUNTERS; c++)
		pg_atomic_init_u64(&stats->base[c], 0);
	pg_atomic_init_u64(&stats->moves_begun, 0);
	pg_atomic_init_u64(&stats->moves_done, 0);
	for (int i = 0; i < WTC_TABLES; i++)
	{
		init_table(&stats->tables[0][i]);
		init_table(&stats->tables[1][i]);
	}
	for (int i = 0; i < wtc_slots_count(); i++)
		init_place(&stats->places[i]);
}

/* --- noting --- */

static void
add(pg_atomic_uint64 *counter, uint64 n)
{
	pg_atomic_write_u64(counter, pg_atomic_read_u64(counter) + n);
}

static void
empty_table(TableEntry *entry)
{
	for (int i = 0; i < WTC_TABLE_COUNTERS; i++)
		pg_atomic_write_u64(&entry->n[i], 0);
	pg_atomic_write_u64(&entry->last_change, 0);
}

/* The statistics have been reset: the place is empty. */
static void
begin_epoch(Place *place, uint64 epoch)
{
	pg_atomic_write_u64(&place->epoch, 0);
	pg_write_barrier();
	for (int kind = 0; kind < WTC_LATENCY_KINDS; kind++)
	{
		Histogram  *h = &place->latency[kind];

		pg_atomic_write_u64(&h->sum_us, 0);
		pg_atomic_write_u64(&h->max_us, 0);
		for (int i = 0; i < WTC_LATENCY_BUCKETS; i++)
			pg_atomic_write_u64(&h->buckets[i], 0);
	}
	for (int i = 0; i < WTC_RECENT_TABLES; i++)
	{
		pg_atomic_write_u64(&place->recent[i].key, KEY_NONE);
		empty_table(&place->recent[i]);
	}
	pg_write_barrier();
	pg_atomic_write_u64(&place->epoch, epoch);
}

static Place *
my_place(void)
{
	int			slot = wtc_slots_mine();
	Place	   *place;
	uint64		epoch;

	if (slot < 0)
		return NULL;
	place = &stats->places[slot];
	epoch = pg_atomic_read_u64(&stats->epoch);
	if (unlikely(pg_atomic_read_u64(&place->epoch) != epoch))
		begin_epoch(place, epoch);
	return place;
}

static int
bucket_of(uint64 us)
{
	int			power;

	if (us < 4)
		return (int) us;
	power = pg_leftmost_one_pos64(us);
	if (power > 26)
		return WTC_LATENCY_BUCKETS - 1;
	return (power - 1) * 4 + (int) ((us >> (power - 2)) & 3);
}

void
wtc_latency_note(WtcLatencyKind kind, int64 us)
{
	Place	   *place = my_place();
	Histogram  *h;

	if (place == NULL)
		return;
	us = Max(us, 0);
	h = &place->latency[kind];
	add(&h->buckets[bucket_of(us)], 1);
	add(&h->sum_us, us);
	if ((uint64) us > pg_atomic_read_u64(&h->max_us))
		pg_atomic_write_u64(&h->max_us, us);
}

static uint64
table_key(Oid dbid, Oid relid)
{
	return ((uint64) dbid << 32) | relid;
}

/* The tables for all that belong to an epoch. */
static TableEntry *
tables_of(uint64 epoch)
{
	return stats->tables[epoch % 2];
}

/*
 * The table's entry among those for all; NULL: there is no room.  Of several
 * who claim one for the same table each may get one of its own: readers add
 * them up.
 */
static TableEntry *
common_entry(TableEntry *tables, uint64 key)
{
	uint32		begin = murmurhash32((uint32) key ^ (uint32) (key >> 32));

	for (uint32 i = 0; i < WTC_TABLES; i++)
	{
		TableEntry *entry = &tables[(begin + i) % WTC_TABLES];
		uint64		found = pg_atomic_read_u64(&entry->key);

		if (found == key)
			return entry;
		if (found == KEY_NONE)
			break;
	}
	for (uint32 i = 0; i < WTC_TABLES; i++)
	{
		TableEntry *entry = &tables[(begin + i) % WTC_TABLES];
		uint64		found = pg_atomic_read_u64(&entry->key);

		if ((found == KEY_NONE || found == KEY_FREE) &&
			pg_atomic_compare_exchange_u64(&entry->key, &found, KEY_CLAIMED))
		{
			empty_table(entry);
			pg_write_barrier();
			pg_atomic_write_u64(&entry->key, key);
			return entry;
		}
	}
	return NULL;
}

static void
add_to_common(TableEntry *tables, TableEntry *from, uint64 key)
{
	TableEntry *entry = common_entry(tables, key);
	uint64		at = pg_atomic_read_u64(&from->last_change);
	uint64		seen;

	if (entry == NULL)
	{
		for (int i = WTC_TABLE_SETS; i <= WTC_TABLE_INVALIDATIONS; i++)
			wtc_count(WTC_UNLISTED, pg_atomic_read_u64(&from->n[i]));
		return;
	}
	for (int i = 0; i < WTC_TABLE_COUNTERS; i++)
		pg_atomic_fetch_add_u64(&entry->n[i],
								pg_atomic_read_u64(&from->n[i]));
	seen = pg_atomic_read_u64(&entry->last_change);
	while (seen < at &&
		   !pg_atomic_compare_exchange_u64(&entry->last_change, &seen, at))
		;
}

/* Makes room in a place; readers look again when that happened meanwhile. */
static void
make_room(Place *place, TableEntry *entry, uint64 key)
{
	uint64		before = pg_atomic_read_u64(&entry->key);

	if (before != KEY_NONE)
	{
		pg_atomic_fetch_add_u64(&stats->moves_begun, 1);
		add_to_common(tables_of(pg_atomic_read_u64(&place->epoch)), entry,
					  before);
		empty_table(entry);
		pg_atomic_write_u64(&entry->key, key);
		pg_atomic_fetch_add_u64(&stats->moves_done, 1);
	}
	else
		pg_atomic_write_u64(&entry->key, key);
}

void
wtc_table_note(Oid relid, const uint64 *n, TimestampTz at)
{
	Place	   *place = my_place();
	uint64		key = table_key(MyDatabaseId, relid);
	TableEntry *entry = NULL;

	if (place == NULL)
		return;
	for (int i = 0; i < WTC_RECENT_TABLES && entry == NULL; i++)
	{
		if (pg_atomic_read_u64(&place->recent[i].key) == key)
			entry = &place->recent[i];
	}
	if (entry == NULL)
	{
		entry = &place->recent[place->hand++ % WTC_RECENT_TABLES];
		make_room(place, entry, key);
	}
	for (int i = 0; i < WTC_TABLE_COUNTERS; i++)
		add(&entry->n[i], n[i]);
	pg_atomic_write_u64(&entry->last_change, at);
}

/* --- looking --- */

/* Adds those of a place, unless they are of another epoch. */
static void
add_latency(WtcLatency *latency, Place *place, WtcLatencyKind kind,
			uint64 epoch)
{
	Histogram  *h = &place->latency[kind];
	uint64		n[WTC_LATENCY_BUCKETS];
	uint64		sum_us;
	uint64		max_us;

	if (pg_atomic_read_u64(&place->epoch) != epoch)
		return;
	pg_read_barrier();
	for (int i = 0; i < WTC_LATENCY_BUCKETS; i++)
		n[i] = pg_atomic_read_u64(&h->buckets[i]);
	sum_us = pg_atomic_read_u64(&h->sum_us);
	max_us = pg_atomic_read_u64(&h->max_us);
	pg_read_barrier();
	/* being emptied: not some of them without the others */
	if (pg_atomic_read_u64(&place->epoch) != epoch)
		return;

	for (int i = 0; i < WTC_LATENCY_BUCKETS; i++)
	{
		latency->buckets[i] += n[i];
		latency->count += n[i];
	}
	latency->sum_us += sum_us;
	latency->max_us = Max(latency->max_us, max_us);
}

void
wtc_latency_read(WtcLatencyKind kind, WtcLatency *latency)
{
	uint64		epoch = pg_atomic_read_u64(&stats->epoch);

	memset(latency, 0, sizeof(*latency));
	for (int p = 0; p < wtc_slots_count(); p++)
		add_latency(latency, &stats->places[p], kind, epoch);
}

uint64
wtc_latency_bound(int bucket)
{
	if (bucket < 4)
		return bucket + 1;
	if (bucket == WTC_LATENCY_BUCKETS - 1)
		return PG_UINT64_MAX;
	return (uint64) (5 + bucket % 4) << (bucket / 4 - 1);
}

double
wtc_latency_quantile(const WtcLatency *latency, double part)
{
	uint64		wanted = (uint64) ceil(part * latency->count);
	uint64		passed = 0;

	for (int i = 0; i < WTC_LATENCY_BUCKETS; i++)
	{
		uint64		n = latency->buckets[i];
		double		low = i == 0 ? 0 : wtc_latency_bound(i - 1);
		double		high = Min(wtc_latency_bound(i), latency->max_us);

		if (n == 0 || passed + n < wanted)
		{
			passed += n;
			continue;
		}
		/* as if they were spread evenly over the bucket */
		if (high < low)
			high = low;
		return (low + (high - low) * (wanted - passed) / n) / 1000;
	}
	return 0;
}

/* may raise: not after the commit record */
static void
take(HTAB *totals, Oid dbid, TableEntry *entry)
{
	uint64		key = pg_atomic_read_u64(&entry->key);
	Oid			relid = (Oid) key;
	WtcTableStat *total;
	bool		found;

	if ((Oid) (key >> 32) != dbid)
		return;
	pg_read_barrier();
	total = hash_search(totals, &relid, HASH_ENTER, &found);
	if (!found)
	{
		memset(total, 0, sizeof(*total));
		total->relid = relid;
	}
	for (int i = 0; i < WTC_TABLE_COUNTERS; i++)
		total->n[i] += pg_atomic_read_u64(&entry->n[i]);
	total->last_change = Max(total->last_change, (TimestampTz)
							 pg_atomic_read_u64(&entry->last_change));
}

/* Everything, unless the statistics are reset meanwhile. */
/* may raise: not after the commit record */
static void
take_all(HTAB *totals, Oid dbid)
{
	uint64		epoch = pg_atomic_read_u64(&stats->epoch);

	for (int i = 0; i < WTC_TABLES; i++)
		take(totals, dbid, &tables_of(epoch)[i]);
	for (int p = 0; p < wtc_slots_count(); p++)
	{
		Place	   *place = &stats->places[p];

		if (pg_atomic_read_u64(&place->epoch) != epoch)
			continue;
		pg_read_barrier();
		for (int i = 0; i < WTC_RECENT_TABLES; i++)
			take(totals, dbid, &place->recent[i]);
	}
}

/* may raise: not after the commit record */
WtcTableStat *
wtc_tables_read(Oid dbid, int *n)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(WtcTableStat)};
	HTAB	   *totals = NULL;
	HASH_SEQ_STATUS seq;
	WtcTableStat *result;
	WtcTableStat *total;
	uint64		done;

	ctl.hcxt = CurrentMemoryContext;
	/* what moves from one place to another would count twice, or not at all */
	for (int attempt = 0; attempt < 100; attempt++)
	{
		if (totals != NULL)
			hash_destroy(totals);
		totals = hash_create("wtcache tables", 64, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		done = pg_atomic_read_u64(&stats->moves_done);
		pg_read_barrier();
		take_all(totals, dbid);
		pg_read_barrier();
		if (pg_atomic_read_u64(&stats->moves_begun) == done)
			break;
		CHECK_FOR_INTERRUPTS();
	}

	result = palloc(sizeof(WtcTableStat) * (hash_get_num_entries(totals) + 1));
	*n = 0;
	hash_seq_init(&seq, totals);
	while ((total = hash_seq_search(&seq)) != NULL)
		result[(*n)++] = *total;
	hash_destroy(totals);
	return result;
}

/*
 * Whoever adds to the entry at this very moment adds to it in vain, or to the
 * table that has it next.
 */
void
wtc_table_forget(Oid dbid, Oid relid)
{
	uint64		key = table_key(dbid, relid);
	TableEntry *tables = tables_of(pg_atomic_read_u64(&stats->epoch));

	for (int i = 0; i < WTC_TABLES; i++)
	{
		uint64		expected = key;

		(void) pg_atomic_compare_exchange_u64(&tables[i].key,
											  &expected, KEY_FREE);
	}
}

uint64
wtc_counter_since_reset(WtcCounter counter)
{
	/* the base first: the sum only grows */
	uint64		base = pg_atomic_read_u64(&stats->base[counter]);

	pg_read_barrier();
	return wtc_counter_sum(counter) - base;
}

TimestampTz
wtc_stats_reset_at(void)
{
	return (TimestampTz) pg_atomic_read_u64(&stats->reset_at);
}

/*
 * The counters go on: the worker's log needs them.  The places are emptied by
 * their owners; the tables of the next epoch here, before anybody uses them.
 */
/* may raise: not after the commit record */
void
wtc_stats_reset(void)
{
	uint64		epoch;
	TableEntry *next;

	LWLockAcquire(reset_lock, LW_EXCLUSIVE);
	epoch = pg_atomic_read_u64(&stats->epoch);
	next = tables_of(epoch + 1);
	for (int i = 0; i < WTC_TABLES; i++)
	{
		pg_atomic_write_u64(&next[i].key, KEY_NONE);
		empty_table(&next[i]);
	}
	pg_write_barrier();
	pg_atomic_write_u64(&stats->epoch, epoch + 1);
	for (int c = 0; c < WTC_COUNTERS; c++)
	{
		uint64		sum = wtc_counter_sum(c);

		/* who sees the base must not see less than that */
		pg_memory_barrier();
		pg_atomic_write_u64(&stats->base[c], sum);
	}
	pg_atomic_write_u64(&stats->reset_at, GetCurrentTimestamp());
	LWLockRelease(reset_lock);
}
