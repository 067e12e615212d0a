/*-------------------------------------------------------------------------
 *
 * request.c
 *	  A chunk as the commands that Redis is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "push/patterns.h"
#include "push/prune.h"
#include "push/request.h"
#include "push/token.h"
#include "redis/keys.h"
#include "redis/resp.h"
#include "redis/script.h"

/* a tag's set outlives its longest member by this */
#define TAG_OUTLIVES_MS	60000

/* a number of 20 digits as an argument */
#define NUMBER_ROOM		WTC_RESP_BOUND(20)
/* the longest name of a command, or the SHA of a script */
#define NAME_ROOM		WTC_RESP_BOUND(WTC_SHA_LEN)
/* "timeline lsn " before a key in the journal */
#define JOURNAL_ROOM	40

/* SADD and the name of the set before a pattern, and what goes with that */
#define PATTERN_ROOM	(WTC_RESP_HEAD + WTC_RESP_BOUND(4) + \
						 WTC_RESP_BOUND(sizeof(WTC_KEY_PATTERNS)) + \
						 WTC_RESP_BOUND(0))

/* Argument that is a literal. */
#define PUT(p, literal) wtc_resp_arg((p), (literal), sizeof(literal) - 1)

typedef struct Writer
{
	WtcChunk   *chunk;
	bool		leases;
	char	   *p;
} Writer;

size_t
wtc_request_bytes(const WtcOperation *op)
{
	uint32		uses = op->tags.count + op->removed.count;
	size_t		key = WTC_RESP_BOUND(op->key.len);
	size_t		patterns = 0;

	if (wtc_operation_stores(op))
		patterns += PATTERN_ROOM + op->keys.shared + op->keys.rest.len;
	if (op->tags.count > 0)
		patterns += PATTERN_ROOM + op->sets.shared + op->sets.rest.len;

	/*
	 * The key stands in UNLINK, SET or HSET, PEXPIRE, the journal, once for
	 * each tag, and in the name of its lease.  Each tag is named four times
	 * at most: SADD, two PEXPIRE, prune.lua.
	 */
	return (5 + uses) * key + JOURNAL_ROOM + strlen(WTC_KEY_LEASE) +
		WTC_RESP_BOUND(op->value.len) + (op->versioned ? NUMBER_ROOM : 0) +
		op->fields.bytes.len + op->fields.count * WTC_RESP_BOUND(0) +
		patterns +
		4 * (op->tags.bytes.len + op->removed.bytes.len) +
		4 * uses * WTC_RESP_BOUND(0) +
		(3 + 4 * uses) * (WTC_RESP_HEAD + NAME_ROOM + 2 * NUMBER_ROOM);
}

int
wtc_request_commands(int items, int uses)
{
	/*
	 * SET or HSET, PEXPIRE, two patterns; SADD, two PEXPIRE, prune.lua; the
	 * others are one of each
	 */
	return 4 * items + 4 * uses + 4;
}

/* Begins a command, and remembers what it is about. */
static void
begin(Writer *w, WtcCommandKind kind, int index, uint64 argc)
{
	WtcChunk   *chunk = w->chunk;

	Assert(chunk->ncommands < chunk->max_commands);
	chunk->commands[chunk->ncommands].kind = (char) kind;
	chunk->commands[chunk->ncommands].index = index;
	chunk->ncommands++;
	w->p = wtc_resp_begin(w->p, argc);
}

static void
put_span(Writer *w, WtcSpan span)
{
	w->p = wtc_resp_arg(w->p, span.data, span.len);
}

/* Puts pieces as one argument. */
static void
put_pieces(Writer *w, const WtcSpan *pieces, int n)
{
	size_t		len = 0;

	for (int i = 0; i < n; i++)
		len += pieces[i].len;
	w->p = wtc_resp_prefix(w->p, '$', len);
	for (int i = 0; i < n; i++)
	{
		memcpy(w->p, pieces[i].data, pieces[i].len);
		w->p += pieces[i].len;
	}
	*w->p++ = '\r';
	*w->p++ = '\n';
}

/* Is there anything in the request for the item? */
static bool
is_sent(const WtcItem *item)
{
	return item->verdict != WTC_VERDICT_OVERTAKEN &&
		item->verdict != WTC_VERDICT_LEFT_OUT;
}

static bool
is_live_store(const WtcItem *item)
{
	return item->verdict == WTC_VERDICT_SEND && wtc_operation_stores(&item->op);
}

/* Is the item's key to be deleted, before anything else? */
static bool
is_unlinked(const WtcItem *item)
{
	return item->op.kind != WTC_OP_INVALIDATE && is_sent(item) &&
		!(item->verdict == WTC_VERDICT_SEND && item->op.kind == WTC_OP_SET);
}

/* A name that no other request has: the version of an item. */
static void
put_unique(Writer *w)
{
	w->p = wtc_resp_number(w->p, w->chunk->items[0].version);
}

static void
put_invalidations(Writer *w)
{
	for (int i = 0; i < w->chunk->nitems; i++)
	{
		if (w->chunk->items[i].op.kind == WTC_OP_INVALIDATE)
			put_span(w, w->chunk->items[i].op.key);
	}
}

static int
count_invalidations(const WtcChunk *chunk)
{
	int			n = 0;

	for (int i = 0; i < chunk->nitems; i++)
		n += chunk->items[i].op.kind == WTC_OP_INVALIDATE;
	return n;
}

static void
write_invalidations(Writer *w, const char *token)
{
	int			n = count_invalidations(w->chunk);

	if (n == 0)
		return;
	begin(w, WTC_COMMAND_FORGET, 0, 5 + n);
	w->p = PUT(w->p, "EVALSHA");
	w->p = wtc_resp_arg(w->p, wtc_forget_sha, WTC_SHA_LEN);
	w->p = PUT(w->p, "0");
	w->p = wtc_resp_arg(w->p, token, strlen(token));
	put_unique(w);
	put_invalidations(w);
}

/* Is a lease for the item's key to be voided? */
static bool
voids_lease(const Writer *w, const WtcItem *item)
{
	return w->leases && item->op.kind != WTC_OP_INVALIDATE && is_sent(item);
}

static void
put_lease(Writer *w, WtcSpan key)
{
	WtcSpan		pieces[] = {{WTC_KEY_LEASE, strlen(WTC_KEY_LEASE)}, key};

	put_pieces(w, pieces, lengthof(pieces));
}

static void
write_unlink(Writer *w)
{
	int			n = 0;

	for (int i = 0; i < w->chunk->nitems; i++)
		n += is_unlinked(&w->chunk->items[i]) +
			voids_lease(w, &w->chunk->items[i]);
	if (n == 0)
		return;
	begin(w, WTC_COMMAND_PLAIN, 0, 1 + n);
	w->p = PUT(w->p, "UNLINK");
	for (int i = 0; i < w->chunk->nitems; i++)
	{
		if (is_unlinked(&w->chunk->items[i]))
			put_span(w, w->chunk->items[i].op.key);
		if (voids_lease(w, &w->chunk->items[i]))
			put_lease(w, w->chunk->items[i].op.key);
	}
}

/* Does the item take part in the tag, as things have been decided? */
static bool
takes_part(const WtcTag *tag, const WtcItem *item)
{
	/* for one that Redis objects to there is nothing but the deletion */
	if (tag->left)
		return is_sent(item) && item->verdict != WTC_VERDICT_REJECTED;
	return is_live_store(item);
}

static void
write_expiry(Writer *w, int t, uint64 life_ms, const char *when, size_t len)
{
	begin(w, WTC_COMMAND_TAG, t, 4);
	w->p = PUT(w->p, "PEXPIRE");
	put_span(w, w->chunk->tags[t].name);
	w->p = wtc_resp_number(w->p, life_ms);
	w->p = wtc_resp_arg(w->p, when, len);
}

void
wtc_request_note_added(const WtcChunk *chunk, int t, uint64 n)
{
	const WtcTag *tag = &chunk->tags[t];

	wtc_prune_note(tag->name, tag->hash, n, tag->life_ms - TAG_OUTLIVES_MS);
}

static void
write_tag(Writer *w, int t)
{
	WtcChunk   *chunk = w->chunk;
	WtcTag	   *tag = &chunk->tags[t];
	WtcSpan		values = {WTC_KEY_VALUES, sizeof(WTC_KEY_VALUES) - 1};
	uint64		life_ms = 0;
	int			n = 0;

	for (int u = tag->first; u >= 0; u = chunk->uses[u].next)
	{
		const WtcItem *item = &chunk->items[chunk->uses[u].item];

		if (!takes_part(tag, item))
			continue;
		n++;
		life_ms = Max(life_ms, item->op.ttl_ms + TAG_OUTLIVES_MS);
	}
	tag->life_ms = life_ms;
	tag->prune = 0;
	if (n == 0)
		return;
	if (!tag->left)
		tag->prune = wtc_prune_due(tag->hash);
	begin(w, tag->left ? WTC_COMMAND_LEAVE : WTC_COMMAND_ADD, t, 2 + n);
	w->p = tag->left ? PUT(w->p, "SREM") : PUT(w->p, "SADD");
	put_span(w, tag->name);
	for (int u = tag->first; u >= 0; u = chunk->uses[u].next)
	{
		const WtcItem *item = &chunk->items[chunk->uses[u].item];

		if (takes_part(tag, item))
			put_span(w, item->op.key);
	}
	/* what has no time to live is not evicted before what it is about */
	if (tag->left || wtc_span_equal(tag->name, values))
		return;
	/* a set that has no time to live gets one; one that has, only a longer */
	write_expiry(w, t, life_ms, "NX", 2);
	write_expiry(w, t, life_ms, "GT", 2);
}

void
wtc_value_pieces(const WtcOperation *op, XLogRecPtr version,
				 WtcPieces *pieces)
{
	WtcSpan    *span = pieces->span;

	pieces->n = op->versioned ? 3 : 1;
	span[0] = op->value;
	if (!op->versioned)
		return;
	span[0].len = strlen(WTC_VERSION_HEAD);
	span[1].data = pieces->digits;
	span[1].len = wtc_resp_digits(pieces->digits, version) - pieces->digits;
	span[2].data = op->value.data + strlen(WTC_VERSION_NONE);
	span[2].len = op->value.len - strlen(WTC_VERSION_NONE);
}

static void
put_value(Writer *w, const WtcItem *item)
{
	WtcPieces	pieces;

	wtc_value_pieces(&item->op, item->version, &pieces);
	put_pieces(w, pieces.span, pieces.n);
}

static void
write_pattern(Writer *w, const WtcPattern *pattern, WtcSpan string)
{
	WtcSpan		pieces[] = {{string.data, pattern->shared}, pattern->rest};

	if (!wtc_pattern_is_new(pattern, string))
		return;
	begin(w, WTC_COMMAND_PLAIN, 0, 3);
	w->p = PUT(w->p, "SADD");
	w->p = PUT(w->p, WTC_KEY_PATTERNS);
	put_pieces(w, pieces, lengthof(pieces));
}

/* How to find what the item stores, if all of the cache is to be emptied. */
static void
write_patterns(Writer *w, const WtcOperation *op)
{
	write_pattern(w, &op->keys, op->key);
	write_pattern(w, &op->sets, wtc_list_first(&op->tags));
}

static void
put_fields(Writer *w, const WtcOperation *op)
{
	WtcCursor	cursor = wtc_list_cursor(&op->fields);
	WtcSpan		field;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &field))
		put_span(w, field);
}

/* Unless a reader has filled the key with something newer. */
static void
write_value_if_newer(Writer *w, int i)
{
	const WtcItem *item = &w->chunk->items[i];
	const WtcOperation *op = &item->op;

	begin(w, WTC_COMMAND_STORE, i,
		  6 + (op->kind == WTC_OP_SET ? 1 : op->fields.count));
	w->p = PUT(w->p, "EVALSHA");
	w->p = wtc_resp_arg(w->p, wtc_store_sha, WTC_SHA_LEN);
	w->p = PUT(w->p, "1");
	put_span(w, op->key);
	w->p = wtc_resp_number(w->p, item->version);
	w->p = wtc_resp_number(w->p, op->ttl_ms);
	if (op->kind == WTC_OP_SET)
		put_value(w, item);
	else
		put_fields(w, op);
}

static void
write_value(Writer *w, int i)
{
	const WtcOperation *op = &w->chunk->items[i].op;

	if (op->kind == WTC_OP_SET)
	{
		begin(w, WTC_COMMAND_VALUE, i, 5);
		w->p = PUT(w->p, "SET");
		put_span(w, op->key);
		put_value(w, &w->chunk->items[i]);
		w->p = PUT(w->p, "PX");
		w->p = wtc_resp_number(w->p, op->ttl_ms);
		return;
	}
	begin(w, WTC_COMMAND_VALUE, i, 2 + op->fields.count);
	w->p = PUT(w->p, "HSET");
	put_span(w, op->key);
	put_fields(w, op);
	begin(w, WTC_COMMAND_PLAIN, 0, 3);
	w->p = PUT(w->p, "PEXPIRE");
	put_span(w, op->key);
	w->p = wtc_resp_number(w->p, op->ttl_ms);
}

/* Looks for dead members of a tag that has got so many new ones. */
static void
write_prune(Writer *w, int t)
{
	begin(w, WTC_COMMAND_PRUNE, t, 5);
	w->p = PUT(w->p, "EVALSHA");
	w->p = wtc_resp_arg(w->p, wtc_prune_sha, WTC_SHA_LEN);
	w->p = PUT(w->p, "1");
	put_span(w, w->chunk->tags[t].name);
	w->p = wtc_resp_number(w->p, w->chunk->tags[t].prune);
}

static void
write_journal(Writer *w)
{
	TimeLineID	timeline = GetWALInsertionTimeLine();
	int			n = 0;

	for (int i = 0; i < w->chunk->nitems; i++)
		n += is_live_store(&w->chunk->items[i]);
	if (n == 0)
		return;
	begin(w, WTC_COMMAND_PLAIN, 0, 2 + n);
	w->p = PUT(w->p, "RPUSH");
	w->p = PUT(w->p, WTC_KEY_JOURNAL);
	for (int i = 0; i < w->chunk->nitems; i++)
	{
		const WtcItem *item = &w->chunk->items[i];
		char		place[JOURNAL_ROOM];
		char	   *end = place;
		WtcSpan		pieces[] = {{place}, item->op.key};

		if (!is_live_store(item))
			continue;
		end = wtc_resp_digits(end, timeline);
		*end++ = ' ';
		end = wtc_resp_digits(end, item->commit);
		*end++ = ' ';
		pieces[0].len = end - place;
		put_pieces(w, pieces, lengthof(pieces));
	}
}

size_t
wtc_request_write(WtcChunk *chunk, const char *token, bool journal,
				  bool leases)
{
	Writer		w = {.chunk = chunk,.leases = leases,.p = chunk->request};

	chunk->ncommands = 0;
	wtc_patterns_begin(token);
	w.p = wtc_resp_begin(w.p, 1);
	w.p = PUT(w.p, "MULTI");
	write_invalidations(&w, token);
	write_unlink(&w);
	for (int t = 0; t < chunk->ntags; t++)
	{
		if (chunk->tags[t].left)
			write_tag(&w, t);
	}
	for (int t = 0; t < chunk->ntags; t++)
	{
		if (!chunk->tags[t].left)
			write_tag(&w, t);
	}
	for (int i = 0; i < chunk->nitems; i++)
	{
		if (!is_live_store(&chunk->items[i]))
			continue;
		write_patterns(&w, &chunk->items[i].op);
		if (leases)
			write_value_if_newer(&w, i);
		else
			write_value(&w, i);
	}
	for (int t = 0; t < chunk->ntags; t++)
	{
		if (chunk->tags[t].prune > 0)
			write_prune(&w, t);
	}
	if (journal)
		write_journal(&w);
	if (chunk->ncommands == 0)
		return 0;

	w.p = wtc_resp_begin(w.p, 1);
	w.p = PUT(w.p, "EXEC");
	w.p = wtc_resp_begin(w.p, 2);
	w.p = PUT(w.p, "WATCH");
	w.p = PUT(w.p, WTC_KEY_TOKEN);
	w.p = wtc_resp_begin(w.p, 2);
	w.p = PUT(w.p, "GET");
	w.p = PUT(w.p, WTC_KEY_TOKEN);
	Assert((size_t) (w.p - chunk->request) <= chunk->size);
	return w.p - chunk->request;
}

static bool
is_forgotten(const WtcItem *item, bool everything)
{
	return item->op.kind != WTC_OP_INVALIDATE &&
		(item->verdict == WTC_VERDICT_LEFT_OUT ||
		 item->verdict == WTC_VERDICT_UNSURE ||
		 item->verdict == WTC_VERDICT_DELETE ||
		 item->verdict == WTC_VERDICT_REJECTED ||
		 (everything && item->verdict == WTC_VERDICT_SEND));
}

size_t
wtc_request_write_forget(WtcChunk *chunk, const char *token, bool everything)
{
	Writer		w = {.chunk = chunk,.p = chunk->request};
	int			tags = everything ? count_invalidations(chunk) : 0;
	int			n = 0;

	chunk->ncommands = 0;
	for (int i = 0; i < chunk->nitems; i++)
		n += is_forgotten(&chunk->items[i], everything);
	begin(&w, WTC_COMMAND_FORGET, 0, 5 + n + tags);
	w.p = PUT(w.p, "EVALSHA");
	w.p = wtc_resp_arg(w.p, wtc_forget_sha, WTC_SHA_LEN);
	w.p = wtc_resp_number(w.p, n);
	for (int i = 0; i < chunk->nitems; i++)
	{
		if (is_forgotten(&chunk->items[i], everything))
			put_span(&w, chunk->items[i].op.key);
	}
	w.p = wtc_resp_arg(w.p, token, strlen(token));
	put_unique(&w);
	if (tags > 0)
		put_invalidations(&w);
	return w.p - chunk->request;
}
