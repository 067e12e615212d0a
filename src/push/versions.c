/*-------------------------------------------------------------------------
 *
 * versions.c
 *	  The version table: what was sent last for each key, and by which process
 *	  it is being sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "guc.h"
#include "port/atomics.h"
#include "port/pg_bitutils.h"
#include "push/versions.h"
#include "shared/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define WAYS			5

/* Two cache lines. */
typedef struct Bucket
{
	XLogRecPtr	floor;			/* nothing that was thrown out is above */
	uint64		hash[WAYS];		/* 0: free */
	XLogRecPtr	version[WAYS];	/* 0: marked, nothing has been sent */
	int32		owner[WAYS];	/* of the mark; 0: none */
	slock_t		mutex;			/* over all of it */
	char		pad[128 - (1 + 2 * WAYS) * 8 - WAYS * 4 - sizeof(slock_t)];
} Bucket;

StaticAssertDecl(sizeof(Bucket) == 128, "a bucket is two cache lines");

typedef struct Table
{
	uint64		seed;			/* set once at start-up */
	uint64		nbuckets;		/* likewise; a power of two */
	pg_atomic_uint64 all_tags;	/* the least that holds for any tag; written
								 * by the worker */
	char		pad[104];
	Bucket		buckets[FLEXIBLE_ARRAY_MEMBER];
} Table;

static Table *table = NULL;

static uint64
count_buckets(void)
{
	uint64		n = (uint64) wtc_version_memory * 1024 / sizeof(Bucket);

	return UINT64CONST(1) << pg_leftmost_one_pos64(n);
}

static Size
table_size(void)
{
	return add_size(offsetof(Table, buckets),
					mul_size(count_buckets(), sizeof(Bucket)));
}

static void
table_attach(void *place, bool initialise)
{
	table = place;
	if (!initialise)
		return;
	/* otherwise keys could be chosen that collide, and delete each other */
	if (!pg_strong_random(&table->seed, sizeof(table->seed)))
		table->seed = (uint64) GetCurrentTimestamp();
	table->nbuckets = count_buckets();
	pg_atomic_init_u64(&table->all_tags, InvalidXLogRecPtr);
	for (uint64 i = 0; i < table->nbuckets; i++)
	{
		memset(&table->buckets[i], 0, sizeof(Bucket));
		SpinLockInit(&table->buckets[i].mutex);
	}
}

void
wtc_versions_init(void)
{
	wtc_shmem_add(table_size, table_attach);
}

/* 0 is no hash: it stands for a free entry. */
static uint64
hash_span(WtcSpan span, uint64 seed)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) span.data,
										   (int) span.len, seed);

	return hash == 0 ? 1 : hash;
}

uint64
wtc_hash_key(WtcSpan key)
{
	return hash_span(key, table->seed);
}

uint64
wtc_hash_tag(WtcSpan tag)
{
	return hash_span(tag, table->seed + 1);
}

static Bucket *
lock_bucket(uint64 hash)
{
	Bucket	   *b = &table->buckets[(hash >> 8) & (table->nbuckets - 1)];

	SpinLockAcquire(&b->mutex);
	return b;
}

static void
unlock_bucket(Bucket *b)
{
	SpinLockRelease(&b->mutex);
}

/* The entry of a hash, or -1. */
static int
find(const Bucket *b, uint64 hash)
{
	for (int i = 0; i < WAYS; i++)
	{
		if (b->hash[i] == hash)
			return i;
	}
	return -1;
}

/* An entry that may be used: a free one, or the smallest; -1: all are marked. */
static int
find_room(const Bucket *b)
{
	int			smallest = -1;

	for (int i = 0; i < WAYS; i++)
	{
		if (b->hash[i] == 0)
			return i;
		if (b->owner[i] == 0 &&
			(smallest < 0 || b->version[i] < b->version[smallest]))
			smallest = i;
	}
	return smallest;
}

/* Puts a new entry in place of what was there. */
static void
replace(Bucket *b, int i, uint64 hash, XLogRecPtr version, int owner)
{
	b->floor = Max(b->floor, b->version[i]);
	b->hash[i] = hash;
	b->version[i] = version;
	b->owner[i] = owner;
}

WtcMark
wtc_versions_mark(uint64 key, int owner, XLogRecPtr *sent, XLogRecPtr *floor)
{
	Bucket	   *b = lock_bucket(key);
	int			i = find(b, key);
	WtcMark		result = WTC_MARK_SET;

	if (i < 0)
	{
		i = find_room(b);
		if (i < 0)
			result = WTC_MARK_NO_ROOM;
		else
			replace(b, i, key, InvalidXLogRecPtr, owner);
	}
	else if (b->owner[i] != 0 && b->owner[i] != owner)
		result = WTC_MARK_TAKEN;
	else
		b->owner[i] = owner;
	if (result == WTC_MARK_SET)
	{
		*sent = b->version[i];
		*floor = b->floor;
	}
	unlock_bucket(b);
	return result;
}

void
wtc_versions_send(uint64 key, XLogRecPtr version)
{
	Bucket	   *b = lock_bucket(key);
	int			i = find(b, key);

	Assert(i >= 0 && b->owner[i] != 0);
	if (i >= 0)
		b->version[i] = Max(b->version[i], version);
	unlock_bucket(b);
}

void
wtc_versions_unmark(uint64 key, int owner)
{
	Bucket	   *b = lock_bucket(key);
	int			i = find(b, key);

	if (i >= 0 && b->owner[i] == owner)
	{
		b->owner[i] = 0;
		if (b->version[i] == InvalidXLogRecPtr)
			b->hash[i] = 0;
	}
	unlock_bucket(b);
}

void
wtc_versions_invalidate(uint64 tag, XLogRecPtr commit)
{
	Bucket	   *b = lock_bucket(tag);
	int			i = find(b, tag);

	if (i >= 0)
		b->version[i] = Max(b->version[i], commit);
	else if (b->floor < commit)
	{
		i = find_room(b);
		/* rather than throw out what is newer */
		if (i < 0 || (b->hash[i] != 0 && b->version[i] > commit))
			b->floor = commit;
		else
			replace(b, i, tag, commit, 0);
	}
	unlock_bucket(b);
}

void
wtc_versions_invalidate_all(XLogRecPtr commit)
{
	if (pg_atomic_read_u64(&table->all_tags) < commit)
		pg_atomic_write_u64(&table->all_tags, commit);
}

XLogRecPtr
wtc_versions_invalidated(uint64 tag, XLogRecPtr *floor)
{
	Bucket	   *b = lock_bucket(tag);
	int			i = find(b, tag);
	XLogRecPtr	commit = i >= 0 ? b->version[i] : InvalidXLogRecPtr;

	*floor = i >= 0 ? commit : b->floor;
	unlock_bucket(b);
	return Max(commit, pg_atomic_read_u64(&table->all_tags));
}
