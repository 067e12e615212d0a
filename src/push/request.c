/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Writing a batch as calls of apply.lua.
 *
 * A chunk is small enough not to hold up Redis' other clients and large
 * enough to spread the cost of the call: a few hundred operations.  The
 * limits below also keep Lua's unpack() far from its limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "push/request.h"
#include "redis/resp.h"
#include "redis/script.h"

#define CHUNK_BYTES		(256 * 1024)
#define CHUNK_OPS		500
/* keys and tags that are looked up in the fence by one call */
#define CHUNK_FIELDS	1500

/* a tag's set outlives its longest member by this */
#define TAG_OUTLIVES_MS	60000

/* EVALSHA, digest, number of keys, two fences, six fixed arguments */
#define FIXED_ARGS		11
#define FIXED_ROOM		512

static size_t
list_room(const WtcList *list)
{
	return list->bytes.len + (size_t) list->count * WTC_RESP_BOUND(0);
}

/* No more than this many bytes does the operation take in a request. */
static size_t
operation_room(const WtcOperation *op)
{
	return WTC_RESP_BOUND(op->key.len) + WTC_RESP_BOUND(op->value.len) +
		list_room(&op->fields) + list_room(&op->tags) +
		list_room(&op->removed) + 6 * WTC_RESP_BOUND(20);
}

size_t
wtc_request_room(const char *batch, size_t len)
{
	WtcCursor	cursor;
	WtcOperation op;
	size_t		total = 0;
	size_t		largest = 0;

	if (!wtc_batch_open(&cursor, batch, len))
		return 0;
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		size_t		room = operation_room(&op);

		total += room;
		largest = Max(largest, room);
	}
	return FIXED_ROOM + Min(total, Max(largest, CHUNK_BYTES));
}

/* What a chunk holds. */
typedef struct Chunk
{
	WtcCursor	end;			/* the first operation behind it */
	uint32		tags;			/* tags to invalidate */
	uint32		keys;
	uint64		args;			/* of the operations, without their keys */
} Chunk;

/* How many operations fit into one request. */
static void
measure(const WtcRequest *request, Chunk *chunk)
{
	WtcCursor	cursor = request->cursor;
	WtcOperation op;
	size_t		room = FIXED_ROOM;
	uint32		fields = 0;

	memset(chunk, 0, sizeof(*chunk));
	chunk->end = cursor;
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		uint32		n = chunk->tags + chunk->keys;

		room += operation_room(&op);
		fields += 1 + op.tags.count;
		if (n > 0 && (room > request->size || n >= CHUNK_OPS ||
					  fields > CHUNK_FIELDS))
			break;

		switch (op.kind)
		{
			case WTC_OP_INVALIDATE:
				chunk->tags++;
				break;
			case WTC_OP_DELETE:
				chunk->keys++;
				chunk->args += 2 + op.removed.count;
				break;
			case WTC_OP_SET:
				chunk->keys++;
				chunk->args += 6 + op.tags.count + op.removed.count;
				break;
			case WTC_OP_HASH:
				chunk->keys++;
				chunk->args += 6 + op.fields.count + op.tags.count +
					op.removed.count;
				break;
		}
		chunk->end = cursor;
	}
}

static char *
put_list(char *p, const WtcList *list, bool counted)
{
	WtcCursor	cursor = wtc_list_cursor(list);
	WtcSpan		member;

	if (counted)
		p = wtc_resp_number(p, list->count);
	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &member))
		p = wtc_resp_arg(p, member.data, member.len);
	return p;
}

static char *
put_operation(char *p, const WtcOperation *op)
{
	char		kind = (char) op->kind;

	p = wtc_resp_arg(p, &kind, 1);
	if (op->kind != WTC_OP_DELETE)
	{
		p = wtc_resp_number(p, op->ttl_ms);
		p = wtc_resp_number(p, op->ttl_ms + TAG_OUTLIVES_MS);
		if (op->kind == WTC_OP_SET)
			p = wtc_resp_arg(p, op->value.data, op->value.len);
		else
			p = put_list(p, &op->fields, true);
		p = put_list(p, &op->tags, true);
	}
	return put_list(p, &op->removed, true);
}

/* Which operations a pass over the chunk writes, and what of them. */
typedef enum Pass
{
	PASS_KEYS,
	PASS_TAGS,
	PASS_OPERATIONS
} Pass;

static char *
put_chunk(char *p, const WtcRequest *request, const Chunk *chunk, Pass pass)
{
	WtcCursor	cursor = {request->cursor.p, chunk->end.p};
	WtcOperation op;

	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		if ((pass == PASS_TAGS) != (op.kind == WTC_OP_INVALIDATE))
			continue;
		p = pass == PASS_OPERATIONS ? put_operation(p, &op) :
			wtc_resp_arg(p, op.key.data, op.key.len);
	}
	return p;
}

size_t
wtc_request_next(WtcRequest *request)
{
	Chunk		chunk;
	char	   *p = request->buf;

	if (wtc_cursor_done(&request->cursor))
		return 0;
	measure(request, &chunk);
	if (chunk.tags + chunk.keys == 0)
		return 0;

	p = wtc_resp_begin(p, FIXED_ARGS + chunk.tags + chunk.keys + chunk.args);
	p = wtc_resp_arg(p, "EVALSHA", 7);
	p = wtc_resp_arg(p, wtc_apply_sha, WTC_SHA_LEN);
	p = wtc_resp_number(p, 2 + chunk.keys);
	p = wtc_resp_arg(p, WTC_FENCE_0, strlen(WTC_FENCE_0));
	p = wtc_resp_arg(p, WTC_FENCE_1, strlen(WTC_FENCE_1));
	p = put_chunk(p, request, &chunk, PASS_KEYS);
	p = wtc_resp_arg(p, request->version, WTC_VERSION_LEN);
	p = wtc_resp_number(p, request->created_us);
	p = wtc_resp_number(p, request->fence_us);
	p = wtc_resp_arg(p, request->commit, WTC_VERSION_LEN);
	p = wtc_resp_number(p, request->replay ? 1 : 0);
	p = wtc_resp_number(p, chunk.tags);
	p = put_chunk(p, request, &chunk, PASS_TAGS);
	p = put_chunk(p, request, &chunk, PASS_OPERATIONS);

	Assert((size_t) (p - request->buf) <= request->size);
	request->cursor.p = chunk.end.p;
	return p - request->buf;
}

size_t
wtc_request_drain(WtcRequest *request)
{
	char	   *p = request->buf;

	p = wtc_resp_begin(p, 3);
	p = wtc_resp_arg(p, "EVALSHA", 7);
	p = wtc_resp_arg(p, wtc_drain_sha, WTC_SHA_LEN);
	p = wtc_resp_number(p, 0);
	return p - request->buf;
}
