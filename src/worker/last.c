/*-------------------------------------------------------------------------
 *
 * last.c
 *	  The last operation of each key of a round, and the tags that the key has
 *	  left by any of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"
#include "worker/last.h"

/* keys whose last position is known at a time; more are done in parts */
#define MAX_KEYS		(1024 * 1024)
/* tags that keys have left are known up to this size */
#define LEFT_BYTES		(16 * 1024 * 1024)

/* A tag that a key has left. */
typedef struct LeftTag
{
	struct LeftTag *next;
	uint32		len;
	char		name[FLEXIBLE_ARRAY_MEMBER];
} LeftTag;

/* The last version of a key, by hash; what it has left by any operation. */
typedef struct LastEntry
{
	uint64		hash;
	XLogRecPtr	lsn;
	LeftTag    *left;
	char		status;
} LastEntry;

#define SH_PREFIX last
#define SH_ELEMENT_TYPE LastEntry
#include "worker/hashed.h"

static last_hash *keys = NULL;
static MemoryContext left_cxt = NULL;	/* the tags left */
static Size left_bytes = 0;
static StringInfoData removed;
static StringInfoData merged;

void
wtc_last_begin(MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);

	keys = last_create(cxt, 256, NULL);
	left_cxt = AllocSetContextCreate(cxt, "wtcache tags left",
									 ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&removed);
	initStringInfo(&merged);
	MemoryContextSwitchTo(old);
}

void
wtc_last_reset(void)
{
	last_reset(keys);
	MemoryContextReset(left_cxt);
	left_bytes = 0;
}

/*
 * Notes the tags that a key has left by an operation.  If there is no room, it
 * stays a member, and an invalidation deletes it in vain.
 */
static void
note_left(LastEntry *entry, const WtcOperation *op)
{
	WtcCursor	cursor = wtc_list_cursor(&op->removed);
	WtcSpan		tag;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &tag))
	{
		Size		size = offsetof(LeftTag, name) + tag.len;
		LeftTag    *left = entry->left;
		int			n = 0;

		for (; left != NULL; left = left->next, n++)
		{
			if (left->len == tag.len &&
				memcmp(left->name, tag.data, tag.len) == 0)
				break;
		}
		if (left != NULL || n >= WTC_MAX_TAGS ||
			left_bytes + size > LEFT_BYTES)
			continue;
		left = MemoryContextAlloc(left_cxt, size);
		left->len = tag.len;
		memcpy(left->name, tag.data, tag.len);
		left->next = entry->left;
		entry->left = left;
		left_bytes += size;
	}
}

bool
wtc_last_note(uint64 key, const WtcOperation *op, XLogRecPtr lsn)
{
	bool		found;
	LastEntry  *entry = last_insert(keys, key, &found);

	if (!found)
		entry->left = NULL;
	if (!found || entry->lsn < lsn)
		entry->lsn = lsn;
	note_left(entry, op);
	return keys->members <= MAX_KEYS;
}

/*
 * The bytes of a key's last operation, which takes the key out of all tags that it
 * has left by any operation of the round.
 */
static WtcSpan
merge_left(const LastEntry *entry, const WtcOperation *op)
{
	WtcOperation all = *op;
	WtcSpan		whole = op->whole;
	uint32		n = 0;

	resetStringInfo(&removed);
	for (LeftTag *left = entry->left; left != NULL; left = left->next, n++)
		wtc_put_string(&removed, left->name, left->len);
	if (n <= op->removed.count)
		return whole;			/* they are its own */
	all.removed.count = n;
	all.removed.bytes.data = removed.data;
	all.removed.bytes.len = removed.len;
	resetStringInfo(&merged);
	wtc_put_operation(&merged, &all);
	whole.data = merged.data;
	whole.len = merged.len;
	return whole;
}

bool
wtc_last_get(uint64 key, const WtcOperation *op, XLogRecPtr lsn, WtcSpan *whole)
{
	const LastEntry *entry = last_lookup(keys, key);

	if (entry != NULL && entry->lsn > lsn)
		return false;
	*whole = entry != NULL ? merge_left(entry, op) : op->whole;
	return true;
}
