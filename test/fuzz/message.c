/*-------------------------------------------------------------------------
 *
 * message.c
 *	  Fuzz target: the message in WAL, from bytes to requests.
 *
 * Whatever the bytes are, reading them must not look outside, and what it
 * hands out must lie inside.  What is taken for a message must be a partition
 * of its bytes, must survive being written and read again, and must make
 * requests that fit into the room that was computed for them and have as many
 * arguments as they say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "change/message.h"
#include "common/hashfn.h"
#include "fuzz.h"
#include "push/prune.h"
#include "push/request.h"
#include "push/versions.h"
#include "redis/script.h"

/* script.c would need what the Makefile makes of the scripts */
const char	wtc_forget_sha[] = "0123456789012345678901234567890123456789";
const char	wtc_prune_sha[] = "0123456789012345678901234567890123456789";
const char	wtc_store_sha[] = "0123456789012345678901234567890123456789";

TimeLineID
GetWALInsertionTimeLine(void)
{
	return PG_UINT32_MAX;
}

/* the version table is in shared memory; nothing here asks for more of it */
uint64
wtc_hash_key(WtcSpan key)
{
	return hash_bytes_extended((const unsigned char *) key.data, key.len, 1);
}

uint64
wtc_hash_tag(WtcSpan tag)
{
	return hash_bytes_extended((const unsigned char *) tag.data, tag.len, 2);
}

WtcMark
wtc_versions_mark(uint64 key, int owner, XLogRecPtr *sent, XLogRecPtr *floor)
{
	*sent = *floor = InvalidXLogRecPtr;
	return WTC_MARK_SET;
}

void
wtc_versions_send(uint64 key, XLogRecPtr version)
{
}

void
wtc_versions_unmark(uint64 key, int owner)
{
}

void
wtc_versions_invalidate(uint64 tag, XLogRecPtr commit)
{
}

XLogRecPtr
wtc_versions_invalidated(uint64 tag, XLogRecPtr *floor)
{
	*floor = InvalidXLogRecPtr;
	return InvalidXLogRecPtr;
}

int
wtc_prune_due(uint64 hash)
{
	return WTC_PRUNE_MOST;
}

void
wtc_prune_note(WtcSpan tag, uint64 hash, uint64 added, uint64 ttl_ms)
{
}

void
wtc_patterns_begin(const char *token)
{
}

bool
wtc_pattern_is_new(const WtcPattern *pattern, WtcSpan string)
{
	return pattern->shared + pattern->rest.len > 0;
}

/* comparing all members with all is dear in a long list */
#define FEW		32

static void
check_inside(WtcSpan span, const char *begin, const char *end)
{
	CHECK(span.data >= begin && span.data <= end);
	CHECK(span.len <= (size_t) (end - span.data));
}

static void
check_list(const WtcList *list, bool belongs, const char *begin,
		   const char *end)
{
	WtcCursor	cursor;
	WtcSpan		member;
	uint32		n = 0;

	if (!belongs)
	{
		CHECK(list->count == 0 && list->bytes.len == 0);
		return;
	}
	check_inside(list->bytes, begin, end);
	cursor = wtc_list_cursor(list);
	while (!wtc_cursor_done(&cursor))
	{
		CHECK(wtc_get_string(&cursor, &member));
		check_inside(member, list->bytes.data,
					 list->bytes.data + list->bytes.len);
		if (list->count <= FEW)
			CHECK(wtc_list_has(list, member));
		n++;
	}
	CHECK(n == list->count);
}

static void
check_pattern(const WtcPattern *pattern, bool belongs, WtcSpan string,
			  const char *begin, const char *end)
{
	if (!belongs)
	{
		CHECK(pattern->shared == 0 && pattern->rest.len == 0);
		return;
	}
	CHECK(pattern->shared <= string.len);
	check_inside(pattern->rest, begin, end);
}

/* Everything in an operation lies in it, and what it has not is empty. */
static void
check_operation(const WtcOperation *op, const char *begin, const char *end)
{
	bool		is_set = op->kind == WTC_OP_SET;
	bool		is_hash = op->kind == WTC_OP_HASH;
	bool		is_tag = op->kind == WTC_OP_INVALIDATE;

	CHECK(is_set || is_hash || is_tag || op->kind == WTC_OP_DELETE);
	check_inside(op->whole, begin, end);
	end = op->whole.data + op->whole.len;
	begin = op->whole.data;

	check_inside(op->key, begin, end);
	CHECK(!op->versioned || (is_set && op->value.len >= strlen(WTC_VERSION_NONE)));
	if (is_set)
		check_inside(op->value, begin, end);
	else
		CHECK(op->value.len == 0);
	if (!is_set && !is_hash)
		CHECK(op->ttl_ms == 0);
	check_list(&op->fields, is_hash, begin, end);
	check_list(&op->tags, is_set || is_hash, begin, end);
	check_list(&op->removed, !is_tag, begin, end);
	check_pattern(&op->keys, is_set || is_hash, op->key, begin, end);
	check_pattern(&op->sets, is_set || is_hash, wtc_list_first(&op->tags),
				  begin, end);
}

static bool
same_list(const WtcList *a, const WtcList *b)
{
	return a->count == b->count &&
		(a->bytes.len == 0 || wtc_span_equal(a->bytes, b->bytes));
}

static bool
same_pattern(const WtcPattern *a, const WtcPattern *b)
{
	return a->shared == b->shared && a->rest.len == b->rest.len &&
		(a->rest.len == 0 || wtc_span_equal(a->rest, b->rest));
}

static void
check_same(const WtcOperation *a, const WtcOperation *b)
{
	CHECK(a->kind == b->kind);
	CHECK(a->versioned == b->versioned);
	CHECK(wtc_span_equal(a->key, b->key));
	CHECK(a->ttl_ms == b->ttl_ms);
	CHECK(a->value.len == b->value.len);
	CHECK(a->value.len == 0 || wtc_span_equal(a->value, b->value));
	CHECK(same_list(&a->fields, &b->fields));
	CHECK(same_list(&a->tags, &b->tags));
	CHECK(same_list(&a->removed, &b->removed));
	CHECK(same_pattern(&a->keys, &b->keys));
	CHECK(same_pattern(&a->sets, &b->sets));
}

static void
get_whole(const StringInfoData *buf, WtcOperation *op)
{
	WtcCursor	cursor = {buf->data, buf->data + buf->len};

	CHECK(wtc_get_operation(&cursor, op));
	CHECK(wtc_cursor_done(&cursor));
}

/* Written again it is the same, and no longer. */
static void
check_rewriting(const WtcOperation *op)
{
	StringInfoData once;
	StringInfoData twice;
	WtcOperation again;

	initStringInfo(&once);
	initStringInfo(&twice);
	wtc_put_operation(&once, op);
	CHECK((uint32) once.len <= op->whole.len);
	get_whole(&once, &again);
	check_same(op, &again);
	wtc_put_operation(&twice, &again);
	CHECK(once.len == twice.len &&
		  memcmp(once.data, twice.data, once.len) == 0);
	pfree(twice.data);
	pfree(once.data);
}

static void
check_deletion(const WtcOperation *op)
{
	StringInfoData buf;
	WtcOperation deletion;

	initStringInfo(&buf);
	wtc_put_deletion(&buf, op->whole.data, op->whole.len);
	get_whole(&buf, &deletion);
	if (op->kind == WTC_OP_SET || op->kind == WTC_OP_HASH)
	{
		CHECK(deletion.kind == WTC_OP_DELETE);
		CHECK(wtc_span_equal(op->key, deletion.key));
		CHECK(same_list(&op->removed, &deletion.removed));
	}
	else
		CHECK(wtc_span_equal(op->whole, deletion.whole));
	pfree(buf.data);
}

/*
 * Reads operations until there is no more, or one is malformed; returns how
 * many there were.
 */
static uint32
walk(const char *data, size_t len, bool wellformed)
{
	const char *end = data + len;
	const char *at = data + 1;
	WtcCursor	cursor;
	WtcOperation op;
	uint32		n = 0;

	if (!wtc_batch_open(&cursor, data, len))
	{
		CHECK(!wellformed);
		return 0;
	}
	while (!wtc_cursor_done(&cursor))
	{
		if (!wtc_get_operation(&cursor, &op))
		{
			CHECK(!wellformed);
			CHECK(cursor.p <= end);
			return n;
		}
		CHECK(op.whole.data == at);
		at += op.whole.len;
		CHECK(cursor.p == at);
		check_operation(&op, data, end);
		check_rewriting(&op);
		check_deletion(&op);
		n++;
	}
	CHECK(at == end);
	return n;
}

/* Written as a message it is text, and the same batch when it is read. */
static void
check_written(const WtcMessage *message)
{
	StringInfoData buf;
	WtcMessage	again;

	initStringInfo(&buf);
	wtc_put_message(&buf, message);
	for (int i = 0; i < buf.len; i++)
		CHECK(buf.data[i] > 0);
	CHECK(wtc_get_message(buf.data, buf.len, &again));
	CHECK(again.xid == message->xid && again.lsn == message->lsn);
	CHECK(wtc_span_equal(again.batch, message->batch));
	pfree(buf.data);
}

/* A number after a type byte, and its line end. */
static const char *
resp_number(const char *p, const char *end, char type, uint64 *n)
{
	CHECK(p < end && *p++ == type);
	CHECK(p < end && *p >= '0' && *p <= '9');
	for (*n = 0; p < end && *p >= '0' && *p <= '9'; p++)
		*n = *n * 10 + (*p - '0');
	CHECK(end - p >= 2 && p[0] == '\r' && p[1] == '\n');
	return p + 2;
}

/* So many commands, with the arguments that they say, and nothing behind. */
static void
check_commands(const char *p, const char *end, int commands)
{
	uint64		args;
	uint64		len;

	while (commands-- > 0)
	{
		p = resp_number(p, end, '*', &args);
		while (args-- > 0)
		{
			p = resp_number(p, end, '$', &len);
			CHECK(len <= (uint64) (end - p) && end - p - len >= 2);
			p += len;
			CHECK(p[0] == '\r' && p[1] == '\n');
			p += 2;
		}
	}
	CHECK(p == end);
}

static void
check_request(WtcChunk *chunk)
{
	const char *token = "18446744073709551615 4294967295 18446744073709551615 18446744073709551615";
	size_t		len;

	for (int leases = 0; leases <= 1; leases++)
	{
		len = wtc_request_write(chunk, token, true, leases);
		CHECK(len <= chunk->size && chunk->ncommands <= chunk->max_commands);
		CHECK((len == 0) == (chunk->ncommands == 0));
		if (len > 0)
			check_commands(chunk->request, chunk->request + len,
						   chunk->ncommands + 4);
	}
	len = wtc_request_write_forget(chunk, token, true);
	CHECK(len <= chunk->size);
	check_commands(chunk->request, chunk->request + len, 1);
}

static void
check_requests(WtcSpan batch, uint32 operations)
{
	WtcChunk   *chunk = wtc_chunk_create();
	WtcCursor	cursor;
	WtcOperation op;
	uint32		n = 0;

	wtc_chunk_reserve(chunk, batch.data, batch.len);
	CHECK(wtc_batch_open(&cursor, batch.data, batch.len));
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		if (!wtc_chunk_add(chunk, &op, ~UINT64CONST(0), ~UINT64CONST(0),
						  InvalidOid, NULL))
		{
			CHECK(chunk->nitems > 0);
			check_request(chunk);
			wtc_chunk_clear(chunk);
			CHECK(wtc_chunk_add(chunk, &op, ~UINT64CONST(0), ~UINT64CONST(0),
						  InvalidOid, NULL));
		}
		n++;
	}
	CHECK(n == operations);
	if (chunk->nitems > 0)
		check_request(chunk);
}

/* Reading a message overwrites it. */
static char *
copy_of(const uint8_t *bytes, size_t size)
{
	char	   *copy = palloc(size);

	memcpy(copy, bytes, size);
	return copy;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char	   *data = copy_of(bytes, size);
	WtcMessage	message;
	uint32		n;

	if (wtc_get_message(data, size, &message))
	{
		fuzz_accepted++;
		check_inside(message.batch, data, data + size);
		CHECK((message.lsn == 0) == (message.xid == InvalidTransactionId));
		CHECK(message.xid == InvalidTransactionId ||
			  TransactionIdIsNormal(message.xid));
		n = walk(message.batch.data, message.batch.len, true);
		check_written(&message);
		check_requests(message.batch, n);
	}
	else
		(void) walk((const char *) bytes, size, false);
	fuzz_free_all();
	return 0;
}
