/*-------------------------------------------------------------------------
 *
 * chunk.c
 *	  Operations that go to Redis in one request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "push/chunk.h"
#include "push/request.h"
#include "push/versions.h"
#include "utils/memutils.h"

/* --- memory; before the commit record --- */

/* may raise: not after the commit record */
WtcChunk *
wtc_chunk_create(void)
{
	WtcChunk   *chunk = palloc0(sizeof(WtcChunk));

	chunk->cxt = CurrentMemoryContext;
	return chunk;
}

/* may raise: not after the commit record */
static void *
regrow(WtcChunk *chunk, void *old, size_t size)
{
	return old == NULL ? MemoryContextAllocHuge(chunk->cxt, size) :
		repalloc_huge(old, size);
}

/* may raise: not after the commit record */
static void
reserve(WtcChunk *chunk, int items, int uses, size_t bytes)
{
	int			commands;

	if (items > chunk->max_items)
	{
		chunk->items = regrow(chunk, chunk->items, sizeof(WtcItem) * items);
		chunk->max_items = items;
	}
	if (uses > chunk->max_uses)
	{
		chunk->uses = regrow(chunk, chunk->uses, sizeof(WtcTagUse) * uses);
		chunk->tags = regrow(chunk, chunk->tags, sizeof(WtcTag) * uses);
		chunk->max_uses = uses;
	}
	commands = wtc_request_commands(chunk->max_items, chunk->max_uses);
	if (commands > chunk->max_commands)
	{
		chunk->commands = regrow(chunk, chunk->commands,
								 sizeof(WtcCommand) * commands);
		chunk->max_commands = commands;
	}
	bytes += WTC_REQUEST_FIXED;
	if (bytes > chunk->size)
	{
		chunk->request = regrow(chunk, chunk->request, bytes);
		chunk->size = bytes;
	}
}

static int
uses_of(const WtcOperation *op)
{
	return op->tags.count + op->removed.count;
}

/* may raise: not after the commit record */
void
wtc_chunk_reserve(WtcChunk *chunk, const char *batch, size_t len)
{
	WtcCursor	cursor;
	WtcOperation op;
	int			items = chunk->nitems;
	int			uses = chunk->nuses;
	size_t		bytes = chunk->bytes;
	int			most_uses = 0;
	size_t		most_bytes = 0;

	if (!wtc_batch_open(&cursor, batch, len))
		elog(ERROR, "unexpected format of a batch");
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		size_t		n = wtc_request_bytes(&op);

		items++;
		uses += uses_of(&op);
		bytes += n;
		most_uses = Max(most_uses, uses_of(&op));
		most_bytes = Max(most_bytes, n);
	}
	reserve(chunk, Min(items, WTC_CHUNK_ITEMS),
			Min(uses, Max(most_uses, WTC_CHUNK_TAGS)),
			Min(bytes, Max(most_bytes, WTC_CHUNK_BYTES)));
}

/* may raise: not after the commit record */
void
wtc_chunk_reserve_operation(WtcChunk *chunk, const WtcOperation *op)
{
	reserve(chunk, WTC_CHUNK_ITEMS, Max(uses_of(op), WTC_CHUNK_TAGS),
			Max(wtc_request_bytes(op), WTC_CHUNK_BYTES));
}

/* --- from here on, on either side of it --- */

/* The tag of this name, which is made if it is not there. */
static int
tag_of(WtcChunk *chunk, WtcSpan name, bool left)
{
	uint64		hash = wtc_hash_tag(name);
	WtcTag	   *tag;

	/* from the last on: rows of one statement often have the same tags */
	for (int i = chunk->ntags - 1; i >= 0; i--)
	{
		tag = &chunk->tags[i];
		if (tag->hash == hash && tag->left == left &&
			wtc_span_equal(tag->name, name))
			return i;
	}
	tag = &chunk->tags[chunk->ntags];
	tag->name = name;
	tag->hash = hash;
	tag->left = left;
	tag->prune = 0;
	tag->first = tag->last = -1;
	return chunk->ntags++;
}

static void
use_tags(WtcChunk *chunk, int item, const WtcList *list, bool left)
{
	WtcCursor	cursor = wtc_list_cursor(list);
	WtcSpan		name;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &name))
	{
		int			t = tag_of(chunk, name, left);
		WtcTag	   *tag = &chunk->tags[t];
		int			u = chunk->nuses++;

		chunk->uses[u].item = item;
		chunk->uses[u].next = -1;
		if (tag->first < 0)
			tag->first = u;
		else
			chunk->uses[tag->last].next = u;
		tag->last = u;
	}
}

/* The next item becomes one of those that go into the request. */
static void
take_in(WtcChunk *chunk)
{
	int			i = chunk->nitems++;
	const WtcOperation *op = &chunk->items[i].op;

	use_tags(chunk, i, &op->tags, false);
	use_tags(chunk, i, &op->removed, true);
	chunk->bytes += wtc_request_bytes(op);
}

bool
wtc_chunk_add(WtcChunk *chunk, const WtcOperation *op, XLogRecPtr version,
			  XLogRecPtr commit, Oid database, const WtcKnown *known)
{
	size_t		bytes = wtc_request_bytes(op);
	WtcItem    *item;

	if (chunk->nitems >= chunk->max_items ||
		chunk->nuses + uses_of(op) > chunk->max_uses ||
		chunk->bytes + bytes + WTC_REQUEST_FIXED > chunk->size ||
		(chunk->nitems > 0 && chunk->bytes + bytes > WTC_CHUNK_BYTES))
	{
		Assert(chunk->nitems > 0);
		return false;
	}
	item = &chunk->items[chunk->nitems];
	item->op = *op;
	item->hash = op->kind == WTC_OP_INVALIDATE ? wtc_hash_tag(op->key) :
		wtc_hash_key(op->key);
	item->version = version;
	item->commit = commit;
	if (known != NULL)
		item->known = *known;
	else
		item->known = (WtcKnown)
	{
		.unsure = WTC_VERDICT_UNSURE
	};
	item->verdict = WTC_VERDICT_SEND;
	item->refused = WTC_OK;
	item->database = database;
	take_in(chunk);
	chunk->nall = chunk->nitems;
	return true;
}

void
wtc_chunk_clear(WtcChunk *chunk)
{
	chunk->nitems = chunk->nall = chunk->ntags = chunk->nuses = 0;
	chunk->bytes = 0;
	chunk->lost = false;
	chunk->words[0] = '\0';
}

/* --- marks and verdicts --- */

/* Begins anew with n items, which stand at the beginning. */
static void
take_in_first(WtcChunk *chunk, int n)
{
	chunk->nitems = chunk->ntags = chunk->nuses = 0;
	chunk->bytes = 0;
	while (chunk->nitems < n)
		take_in(chunk);
}

bool
wtc_chunk_halve(WtcChunk *chunk)
{
	if (chunk->nitems < 2)
		return false;
	take_in_first(chunk, chunk->nitems / 2);
	return true;
}

bool
wtc_chunk_rest(WtcChunk *chunk)
{
	int			n = chunk->nall - chunk->nitems;

	memmove(chunk->items, chunk->items + chunk->nitems, sizeof(WtcItem) * n);
	chunk->nall = n;
	take_in_first(chunk, n);
	return n > 0;
}

static void
unmark_first(WtcChunk *chunk, int n, int owner)
{
	for (int i = 0; i < n; i++)
	{
		if (chunk->items[i].op.kind != WTC_OP_INVALIDATE)
			wtc_versions_unmark(chunk->items[i].hash, owner);
	}
}

static WtcVerdict
judge(WtcItem *item, XLogRecPtr sent, XLogRecPtr floor)
{
	item->forgotten = sent == InvalidXLogRecPtr &&
		floor > Max(item->version, item->known.key);
	if (sent > item->version)
		return WTC_VERDICT_OVERTAKEN;
	if (item->forgotten)
		return item->known.unsure;
	if (item->refused != WTC_OK)
		return WTC_VERDICT_REJECTED;
	return WTC_VERDICT_SEND;
}

void
wtc_chunk_reject(WtcChunk *chunk)
{
	for (int i = 0; i < chunk->nitems; i++)
	{
		WtcItem    *item = &chunk->items[i];

		if (wtc_operation_stores(&item->op) && item->verdict == WTC_VERDICT_SEND)
			item->verdict = WTC_VERDICT_REJECTED;
	}
}

bool
wtc_chunk_is_unsure(const WtcChunk *chunk)
{
	for (int i = 0; i < chunk->nitems; i++)
	{
		if (chunk->items[i].verdict == WTC_VERDICT_UNSURE ||
			chunk->items[i].verdict == WTC_VERDICT_LEFT_OUT)
			return true;
	}
	return false;
}

int
wtc_chunk_recheck_tags(WtcChunk *chunk)
{
	int			n = 0;

	for (int t = 0; t < chunk->ntags; t++)
	{
		const WtcTag *tag = &chunk->tags[t];
		XLogRecPtr	commit;
		XLogRecPtr	floor;

		if (tag->left)
			continue;
		commit = wtc_versions_invalidated(tag->hash, &floor);
		for (int u = tag->first; u >= 0; u = chunk->uses[u].next)
		{
			WtcItem    *item = &chunk->items[chunk->uses[u].item];

			if (item->verdict != WTC_VERDICT_SEND ||
				!wtc_operation_stores(&item->op) ||
				Max(commit, floor) <= item->commit)
				continue;
			if (commit > item->commit)
				item->verdict = WTC_VERDICT_DELETE;
			else if (floor > item->known.tags)
				item->verdict = item->known.unsure;
			else
				continue;
			n++;
		}
	}
	return n;
}

bool
wtc_chunk_mark(WtcChunk *chunk, int owner)
{
	for (int i = 0; i < chunk->nitems; i++)
	{
		WtcItem    *item = &chunk->items[i];
		XLogRecPtr	sent;
		XLogRecPtr	floor;

		item->verdict = WTC_VERDICT_SEND;
		if (item->op.kind == WTC_OP_INVALIDATE)
			continue;
		switch (wtc_versions_mark(item->hash, owner, &sent, &floor))
		{
			case WTC_MARK_SET:
				item->verdict = judge(item, sent, floor);
				break;
			case WTC_MARK_NO_ROOM:
				/* full of this chunk's own marks, it may be */
				if (i == 0)
					return false;
				take_in_first(chunk, i);
				return true;
			case WTC_MARK_TAKEN:
				unmark_first(chunk, i, owner);
				return false;
		}
	}
	return true;
}

void
wtc_chunk_unmark(WtcChunk *chunk, int owner)
{
	unmark_first(chunk, chunk->nitems, owner);
}

void
wtc_chunk_note_sent(WtcChunk *chunk)
{
	for (int i = 0; i < chunk->nitems; i++)
	{
		const WtcItem *item = &chunk->items[i];

		if (item->op.kind == WTC_OP_INVALIDATE)
			wtc_versions_invalidate(item->hash, item->commit);
	}
	/* a store of the same transaction is not older than its invalidations */
	(void) wtc_chunk_recheck_tags(chunk);
	for (int i = 0; i < chunk->nitems; i++)
	{
		const WtcItem *item = &chunk->items[i];

		/* an entry would say that nothing newer than this has been sent */
		if (item->op.kind != WTC_OP_INVALIDATE && !item->forgotten &&
			item->verdict != WTC_VERDICT_OVERTAKEN &&
			item->verdict != WTC_VERDICT_LEFT_OUT)
			wtc_versions_send(item->hash, item->version);
	}
}
