/*-------------------------------------------------------------------------
 *
 * attachment_cache.c
 *	  The attachments that this backend has decoded.
 *
 * The cache is filled at a trigger's first call and emptied by relcache
 * invalidation, so ALTER TABLE, a new trigger or a dropped index are seen at
 * the next call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/attachment_cache.h"
#include "capture/condition.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

typedef struct CacheKey
{
	Oid			relid;
	Oid			trigger;
} CacheKey;

typedef struct CacheEntry
{
	CacheKey	key;
	bool		valid;
	bool		building;		/* in use although there is nothing yet */
	WtcAttachment *att;
} CacheEntry;

static HTAB *cache = NULL;

static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	CacheEntry *entry;

	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (relid == InvalidOid || relid == entry->key.relid ||
			(entry->att != NULL && relid == entry->att->root))
			entry->valid = false;
	}
}

/*
 * What runs foreign code is made again when that may have changed, or which roles
 * may execute it; and all when there are other casts, for those to json.
 */
static void
invalidate_foreign(Datum all, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS seq;
	CacheEntry *entry;

	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (DatumGetBool(all) || entry->att == NULL || entry->att->exotic ||
			wtc_attachment_keeps(entry->att))
			entry->valid = false;
	}
}

static void
make_cache(void)
{
	HASHCTL		ctl = {
		.keysize = sizeof(CacheKey),
		.entrysize = sizeof(CacheEntry),
		.hcxt = TopMemoryContext
	};

	cache = hash_create("wtcache attachments", 32, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, invalidate_foreign,
								  BoolGetDatum(false));
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_foreign,
								  BoolGetDatum(false));
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, invalidate_foreign,
								  BoolGetDatum(false));
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, invalidate_foreign,
								  BoolGetDatum(true));
}

/*
 * Drops what has been invalidated: attachments of tables that are gone are not
 * asked for again.  A caller up the stack may still be using one, so their memory
 * stays until the transaction ends.
 */
static void
sweep_cache(void)
{
	HASH_SEQ_STATUS seq;
	CacheEntry *entry;

	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->valid || entry->building)
			continue;
		if (entry->att != NULL)
			MemoryContextSetParent(entry->att->cxt, TopTransactionContext);
		hash_search(cache, &entry->key, HASH_REMOVE, NULL);
	}
}

WtcAttachment *
wtc_attachment_get(Relation rel, const Trigger *trigger)
{
	CacheKey	key = {RelationGetRelid(rel), trigger->tgoid};
	CacheEntry *entry;
	bool		found;

	if (cache == NULL)
		make_cache();
	entry = hash_search(cache, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->building)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("wtcache condition of table \"%s\" refers to itself",
						RelationGetRelationName(rel))));
	if (entry != NULL && entry->valid)
		return entry->att;

	sweep_cache();
	entry = hash_search(cache, &key, HASH_ENTER, &found);
	entry->att = NULL;
	entry->building = true;

	/* what invalidates it while it is being built must not be lost */
	entry->valid = true;
	PG_TRY();
	{
		entry->att = wtc_attachment_build(rel, trigger->tgnargs,
										  trigger->tgargs,
										  wtc_condition_stored(rel),
										  CurTransactionContext);
	}
	PG_CATCH();
	{
		entry->valid = false;
		entry->building = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	entry->building = false;
	MemoryContextSetParent(entry->att->cxt, TopMemoryContext);
	if (wtc_attachment_is_broken(entry->att))
		ereport(WARNING,
				(errmsg("rows of \"%s\" are not cached",
						RelationGetRelationName(rel)),
				 errdetail("There can be no images: %s.",
						   entry->att->no_images)));
	return entry->att;
}
