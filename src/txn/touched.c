/*-------------------------------------------------------------------------
 *
 * touched.c
 *	  The documents that the current transaction has changed parts of.
 *
 * There are wtcache.document_limit of them at most, so that the end of a
 * subtransaction can look at each.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "txn/touched.h"
#include "utils/memutils.h"

typedef struct TouchedEntry
{
	WtcTouched *touched;
	char		status;
} TouchedEntry;

static inline bool
same_document(const WtcTouched *a, const WtcTouched *b)
{
	return a->document == b->document && wtc_span_equal(a->key, b->key);
}

#define SH_PREFIX touchmap
#define SH_ELEMENT_TYPE TouchedEntry
#define SH_KEY_TYPE WtcTouched *
#define SH_KEY touched
#define SH_HASH_KEY(tb, key) ((key)->hash)
#define SH_EQUAL(tb, a, b) same_document(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext touched_cxt = NULL;
static touchmap_hash *map = NULL;	/* NULL: there are none */

static void
make_probe(WtcTouched *probe, Oid document, WtcSpan key)
{
	memset(probe, 0, sizeof(*probe));
	probe->document = document;
	probe->key = key;
	probe->hash = hash_combine(murmurhash32(document),
							   hash_bytes((const unsigned char *) key.data,
										  key.len));
}

WtcTouched *
wtc_touched_find(Oid document, WtcSpan key)
{
	WtcTouched	probe;
	TouchedEntry *entry;

	if (map == NULL)
		return NULL;
	make_probe(&probe, document, key);
	entry = touchmap_lookup(map, &probe);
	return entry != NULL ? entry->touched : NULL;
}

WtcTouched *
wtc_touched_add(Oid document, WtcSpan key)
{
	WtcTouched	probe;
	WtcTouched *touched = wtc_touched_find(document, key);
	bool		found;

	if (touched != NULL)
		return touched;

	if (touched_cxt == NULL)
		touched_cxt = AllocSetContextCreate(TopMemoryContext,
											"wtcache touched documents",
											ALLOCSET_SMALL_SIZES);
	if (map == NULL)
		map = touchmap_create(touched_cxt, 8, NULL);
	make_probe(&probe, document, key);
	touched = MemoryContextAlloc(touched_cxt,
								 offsetof(WtcTouched, bytes) + key.len);
	*touched = probe;
	touched->nestlevel = GetCurrentTransactionNestLevel();
	memcpy(touched->bytes, key.data, key.len);
	touched->key.data = touched->bytes;
	touchmap_insert(map, touched, &found)->touched = touched;
	return touched;
}

/*
 * A rollback to a savepoint leaves those there that have been left after it: to be
 * taken out of a tag's set is no loss to a document that carries the tag, because
 * it is put there again.
 */
void
wtc_touched_leave(WtcTouched *touched, const WtcList *tags)
{
	WtcCursor	cursor = wtc_list_cursor(tags);
	MemoryContext old = MemoryContextSwitchTo(touched_cxt);
	StringInfoData buf;
	WtcSpan		tag;

	initStringInfo(&buf);
	if (touched->left.count > 0)
		appendBinaryStringInfo(&buf, touched->left.bytes.data,
							   touched->left.bytes.len);
	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &tag) &&
		   touched->left.count < WTC_MAX_TAGS)
	{
		if (wtc_list_has(&touched->left, tag))
			continue;
		wtc_put_string(&buf, tag.data, tag.len);
		touched->left.count++;
		touched->left.bytes.data = buf.data;
		touched->left.bytes.len = buf.len;
	}
	MemoryContextSwitchTo(old);
}

int
wtc_touched_count(void)
{
	return map != NULL ? (int) map->members : 0;
}

List *
wtc_touched_all(void)
{
	List	   *all = NIL;
	touchmap_iterator it;
	TouchedEntry *entry;

	if (map == NULL)
		return NIL;
	touchmap_start_iterate(map, &it);
	while ((entry = touchmap_iterate(map, &it)) != NULL)
		all = lappend(all, entry->touched);
	return all;
}

void
wtc_touched_subcommit(int nestlevel)
{
	touchmap_iterator it;
	TouchedEntry *entry;

	if (map == NULL)
		return;
	touchmap_start_iterate(map, &it);
	while ((entry = touchmap_iterate(map, &it)) != NULL)
		entry->touched->nestlevel = Min(entry->touched->nestlevel,
										nestlevel - 1);
}

void
wtc_touched_subabort(int nestlevel)
{
	touchmap_iterator it;
	TouchedEntry *entry;

	if (map == NULL)
		return;
	touchmap_start_iterate(map, &it);
	while ((entry = touchmap_iterate(map, &it)) != NULL)
	{
		/* simplehash allows this while iterating */
		if (entry->touched->nestlevel >= nestlevel)
			touchmap_delete_item(map, entry);
	}
	if (map->members == 0)
		wtc_touched_reset();
}

void
wtc_touched_reset(void)
{
	if (map == NULL)
		return;
	map = NULL;
	MemoryContextReset(touched_cxt);
}
