/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Writing and reading the bytes of a batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/batch.h"

/* the letter of a WTC_OP_SET that is versioned */
#define VERSIONED	'v'

/* a digit has five bits; the last one begins here, the others behind it */
#define LAST_DIGIT		'0'
#define DIGIT			(LAST_DIGIT + 0x20)

void
wtc_put_number(StringInfo buf, uint64 v)
{
	for (; v >= 0x20; v >>= 5)
		appendStringInfoCharMacro(buf, DIGIT + (char) (v & 0x1f));
	appendStringInfoCharMacro(buf, LAST_DIGIT + (char) v);
}

void
wtc_put_string(StringInfo buf, const char *data, uint32 len)
{
	wtc_put_number(buf, len);
	appendBinaryStringInfo(buf, data, len);
}

void
wtc_put_list(StringInfo buf, const WtcList *list)
{
	wtc_put_number(buf, list->count);
	if (list->bytes.len > 0)
		appendBinaryStringInfo(buf, list->bytes.data, list->bytes.len);
}

bool
wtc_get_number(WtcCursor *cursor, uint64 *v)
{
	*v = 0;
	for (int shift = 0; shift < 64; shift += 5)
	{
		uint8		digit;

		if (cursor->p >= cursor->end)
			return false;
		digit = (uint8) *cursor->p++ - LAST_DIGIT;
		if (digit > 0x3f)
			return false;
		*v |= (uint64) (digit & 0x1f) << shift;
		if (digit < 0x20)
			return true;
	}
	return false;
}

bool
wtc_get_string(WtcCursor *cursor, WtcSpan *span)
{
	uint64		len;

	if (!wtc_get_number(cursor, &len) ||
		len > (uint64) (cursor->end - cursor->p))
		return false;
	span->data = cursor->p;
	span->len = (uint32) len;
	cursor->p += len;
	return true;
}

static bool
get_list(WtcCursor *cursor, WtcList *list)
{
	uint64		count;
	WtcSpan		skipped;

	/* a string takes a byte at least */
	if (!wtc_get_number(cursor, &count) ||
		count > (uint64) (cursor->end - cursor->p))
		return false;
	list->count = (uint32) count;
	list->bytes.data = cursor->p;
	while (count-- > 0)
	{
		if (!wtc_get_string(cursor, &skipped))
			return false;
	}
	list->bytes.len = (uint32) (cursor->p - list->bytes.data);
	return true;
}

static bool
get_pattern(WtcCursor *cursor, uint32 len, WtcPattern *pattern)
{
	uint64		shared;

	if (!wtc_get_number(cursor, &shared) || shared > len)
		return false;
	pattern->shared = (uint32) shared;
	return wtc_get_string(cursor, &pattern->rest);
}

/* What all operations that store something end with. */
static bool
get_stored(WtcCursor *cursor, WtcOperation *op)
{
	return get_list(cursor, &op->tags) && get_list(cursor, &op->removed) &&
		get_pattern(cursor, op->key.len, &op->keys) &&
		get_pattern(cursor, wtc_list_first(&op->tags).len, &op->sets);
}

bool
wtc_batch_open(WtcCursor *cursor, const char *data, size_t len)
{
	cursor->p = data;
	cursor->end = data + len;
	return len > 0 && *cursor->p++ == WTC_BATCH_FORMAT;
}

static bool
begins_unversioned(WtcSpan value)
{
	return value.len >= strlen(WTC_VERSION_NONE) &&
		memcmp(value.data, WTC_VERSION_NONE, strlen(WTC_VERSION_NONE)) == 0;
}

bool
wtc_get_operation(WtcCursor *cursor, WtcOperation *op)
{
	memset(op, 0, sizeof(*op));
	if (wtc_cursor_done(cursor))
		return false;
	op->whole.data = cursor->p;
	op->kind = (WtcOpKind) *cursor->p++;
	if (op->kind == (WtcOpKind) VERSIONED)
	{
		op->kind = WTC_OP_SET;
		op->versioned = true;
	}
	if (!wtc_get_string(cursor, &op->key))
		return false;

	switch (op->kind)
	{
		case WTC_OP_INVALIDATE:
			break;
		case WTC_OP_DELETE:
			if (!get_list(cursor, &op->removed))
				return false;
			break;
		case WTC_OP_SET:
			if (!wtc_get_number(cursor, &op->ttl_ms) ||
				!wtc_get_string(cursor, &op->value) ||
				(op->versioned && !begins_unversioned(op->value)) ||
				!get_stored(cursor, op))
				return false;
			break;
		case WTC_OP_HASH:
			if (!wtc_get_number(cursor, &op->ttl_ms) ||
				!get_list(cursor, &op->fields) ||
				!get_stored(cursor, op))
				return false;
			break;
		default:
			return false;
	}
	op->whole.len = (uint32) (cursor->p - op->whole.data);
	return true;
}

static void
put_pattern(StringInfo buf, const WtcPattern *pattern)
{
	wtc_put_number(buf, pattern->shared);
	wtc_put_string(buf, pattern->rest.data, pattern->rest.len);
}

static void
put_stored(StringInfo buf, const WtcOperation *op)
{
	wtc_put_list(buf, &op->tags);
	wtc_put_list(buf, &op->removed);
	put_pattern(buf, &op->keys);
	put_pattern(buf, &op->sets);
}

void
wtc_put_operation(StringInfo buf, const WtcOperation *op)
{
	appendStringInfoCharMacro(buf, op->versioned ? VERSIONED :
							  (char) op->kind);
	wtc_put_string(buf, op->key.data, op->key.len);
	switch (op->kind)
	{
		case WTC_OP_INVALIDATE:
			break;
		case WTC_OP_DELETE:
			wtc_put_list(buf, &op->removed);
			break;
		case WTC_OP_SET:
			wtc_put_number(buf, op->ttl_ms);
			wtc_put_string(buf, op->value.data, op->value.len);
			put_stored(buf, op);
			break;
		case WTC_OP_HASH:
			wtc_put_number(buf, op->ttl_ms);
			wtc_put_list(buf, &op->fields);
			put_stored(buf, op);
			break;
	}
}

void
wtc_put_deletion(StringInfo buf, const char *op, size_t len)
{
	WtcCursor	cursor = {op, op + len};
	WtcOperation parts;

	if (!wtc_get_operation(&cursor, &parts))
		elog(ERROR, "pending cache operation is malformed");
	if (parts.kind != WTC_OP_SET && parts.kind != WTC_OP_HASH)
	{
		appendBinaryStringInfo(buf, op, len);
		return;
	}
	appendStringInfoCharMacro(buf, (char) WTC_OP_DELETE);
	wtc_put_string(buf, parts.key.data, parts.key.len);
	wtc_put_list(buf, &parts.removed);
}

WtcSpan
wtc_list_first(const WtcList *list)
{
	WtcCursor	cursor = wtc_list_cursor(list);
	WtcSpan		first = {0};

	if (list->count > 0)
		(void) wtc_get_string(&cursor, &first);
	return first;
}

bool
wtc_list_has(const WtcList *list, WtcSpan string)
{
	WtcCursor	cursor = wtc_list_cursor(list);
	WtcSpan		member;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &member))
	{
		if (wtc_span_equal(member, string))
			return true;
	}
	return false;
}

WtcList
wtc_list_without(const WtcList *a, const WtcList *b)
{
	WtcCursor	cursor = wtc_list_cursor(a);
	WtcList		result = {0};
	StringInfoData buf;
	WtcSpan		string;

	if (a->count == 0)
		return result;
	initStringInfo(&buf);
	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &string))
	{
		if (wtc_list_has(b, string))
			continue;
		wtc_put_string(&buf, string.data, string.len);
		result.count++;
	}
	result.bytes.data = buf.data;
	result.bytes.len = buf.len;
	return result;
}
