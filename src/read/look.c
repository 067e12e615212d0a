/*-------------------------------------------------------------------------
 *
 * look.c
 *	  Comparing many keys with what they should hold, in one conversation.
 *
 * Values are compared as they arrive and not kept.  Of a hash only the fields
 * that it should have are asked for, and how many there are, so that no reply
 * is an array larger than a row.
 *
 * All of it belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "push/link.h"
#include "read/look.h"
#include "push/push.h"
#include "redis/resp.h"
#include "redis/words.h"

/* about so many bytes are sent at a time */
#define PIECE_BYTES		16384

/* The replies that a key gets, in their order; tags are the last. */
enum
{
	SAYS_VALUE,
	SAYS_FIELDS,				/* of a hash: how many */
	SAYS_EXPIRES,
	SAYS_TAGS
};

typedef struct Looking
{
	WtcTalk    *talk;

	/* what is sent */
	const WtcLook *next;
	const WtcLook *end;
	StringInfoData buf;
	int		   *ends;			/* where each look's commands end */
	int			nsent;

	/* what is being received */
	WtcLook    *now;
	int			step;
} Looking;

static void
put(StringInfo buf, const char *data, size_t len)
{
	enlargeStringInfo(buf, WTC_RESP_BOUND(len));
	buf->len = wtc_resp_arg(buf->data + buf->len, data, len) - buf->data;
}

static void
put_command(StringInfo buf, const char *name, uint64 argc)
{
	enlargeStringInfo(buf, WTC_RESP_HEAD);
	buf->len = wtc_resp_begin(buf->data + buf->len, argc) - buf->data;
	put(buf, name, strlen(name));
}

static void
put_key_command(StringInfo buf, const char *name, WtcSpan key)
{
	put_command(buf, name, 2);
	put(buf, key.data, key.len);
}

/* Names of a hash's fields, which come by turns with the values. */
static void
put_names(StringInfo buf, const WtcList *fields)
{
	WtcCursor	cursor = wtc_list_cursor(fields);
	WtcSpan		name;
	WtcSpan		value;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &name) &&
		   wtc_get_string(&cursor, &value))
		put(buf, name.data, name.len);
}

static void
put_look(StringInfo buf, const WtcLook *look)
{
	WtcCursor	tags = wtc_list_cursor(&look->op.tags);
	WtcSpan		tag;

	if (look->op.kind == WTC_OP_SET)
		put_key_command(buf, "GET", look->key);
	if (look->op.kind == WTC_OP_HASH)
	{
		put_command(buf, "HMGET", 2 + look->op.fields.count / 2);
		put(buf, look->key.data, look->key.len);
		put_names(buf, &look->op.fields);
		put_key_command(buf, "HLEN", look->key);
	}
	put_key_command(buf, look->op.kind == WTC_OP_DELETE ? "PEXPIRETIME" :
					"PTTL", look->key);
	while (!wtc_cursor_done(&tags) && wtc_get_string(&tags, &tag))
	{
		put_command(buf, "SISMEMBER", 3);
		put(buf, tag.data, tag.len);
		put(buf, look->key.data, look->key.len);
	}
}

static int
first_step(const WtcLook *look)
{
	return look->op.kind == WTC_OP_DELETE ? SAYS_EXPIRES : SAYS_VALUE;
}

/* Replies that a key's commands have. */
static int
replies_of(const WtcLook *look)
{
	return (look->op.kind == WTC_OP_DELETE ? 1 :
			look->op.kind == WTC_OP_SET ? 2 : 3) + look->op.tags.count;
}

static int
next_piece(void *arg, const char **data, size_t *len)
{
	Looking    *l = arg;
	int			start = l->nsent > 0 ? l->ends[l->nsent - 1] : 0;
	int			replies = 0;

	while (l->next < l->end &&
		   (replies == 0 || l->ends[l->nsent] - start <= PIECE_BYTES))
	{
		replies += replies_of(l->next++);
		l->nsent++;
	}
	if (replies == 0)
		return 0;
	*data = l->buf.data + start;
	*len = l->ends[l->nsent - 1] - start;
	return replies;
}

/* How much of a string is the version: a row's is not known afterwards. */
static size_t
version_len(const WtcOperation *op, const redisReply *reply)
{
	size_t		head = strlen(WTC_VERSION_HEAD);
	size_t		digits;

	if (!op->versioned || reply->len < head ||
		memcmp(reply->str, WTC_VERSION_HEAD, head) != 0)
		return 0;
	digits = strspn(reply->str + head, "0123456789");
	return digits == 0 ? 0 : head + digits;
}

static void
compare_string(WtcLook *look, const redisReply *reply)
{
	WtcSpan		expected = look->op.value;
	size_t		skipped;

	look->held = 0;
	look->other_value = true;
	if (reply->type != REDIS_REPLY_STRING)
		return;
	look->held = reply->len;
	skipped = version_len(&look->op, reply);
	if (skipped > 0)
	{
		expected.data += strlen(WTC_VERSION_NONE);
		expected.len -= strlen(WTC_VERSION_NONE);
	}
	look->other_value = reply->len - skipped != expected.len ||
		memcmp(reply->str + skipped, expected.data, expected.len) != 0;
}

static void
compare_fields(WtcLook *look, const redisReply *reply)
{
	WtcCursor	cursor = wtc_list_cursor(&look->op.fields);
	WtcSpan		name;
	WtcSpan		value;
	size_t		i = 0;

	look->other_value = reply->type != REDIS_REPLY_ARRAY ||
		reply->elements != look->op.fields.count / 2;
	while (!look->other_value && !wtc_cursor_done(&cursor) &&
		   wtc_get_string(&cursor, &name) && wtc_get_string(&cursor, &value))
	{
		const redisReply *element = reply->element[i++];

		look->other_value = element->type != REDIS_REPLY_STRING ||
			element->len != value.len ||
			memcmp(element->str, value.data, value.len) != 0;
	}
}

static WtcStatus
take_look(WtcLook *look, int step, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR)
	{
		WtcStatus	status = wtc_fail_reply(reply->str);

		if (status != WTC_FAIL_WRONGTYPE || step == SAYS_EXPIRES)
			return status;
	}
	switch (step)
	{
		case SAYS_VALUE:
			if (reply->type == REDIS_REPLY_ERROR)
				look->other_type = true;
			else if (look->op.kind == WTC_OP_SET)
				compare_string(look, reply);
			else
				compare_fields(look, reply);
			return WTC_OK;
		case SAYS_FIELDS:
			look->held = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
			look->other_value |= look->held != look->op.fields.count / 2;
			return WTC_OK;
		case SAYS_EXPIRES:
			if (reply->type != REDIS_REPLY_INTEGER)
				return WTC_FAIL_PROTOCOL;
			look->expires = reply->integer;
			look->exists = reply->integer != -2;
			return WTC_OK;
		default:
			if (reply->type != REDIS_REPLY_INTEGER || reply->integer == 0)
			{
				int			tag = step - SAYS_TAGS;

				look->untagged[tag / 64] |= UINT64CONST(1) << (tag % 64);
				look->nuntagged++;
			}
			return WTC_OK;
	}
}

static WtcStatus
get_reply(void *arg, const redisReply *reply)
{
	Looking    *l = arg;
	WtcStatus	status = take_look(l->now, l->step, reply);

	l->talk->deadline_us = wtc_push_deadline();
	l->step++;
	if (l->step == SAYS_FIELDS && l->now->op.kind != WTC_OP_HASH)
		l->step++;
	if (l->step == SAYS_TAGS + l->now->op.tags.count)
	{
		l->now++;
		if (l->now < l->end)
			l->step = first_step(l->now);
	}
	return status;
}

WtcStatus
wtc_read_look(WtcLook *looks, int n)
{
	Looking		looking = {.next = looks,.end = looks + n,.now = looks};
	WtcTalk		talk = {
		.next = next_piece,.reply = get_reply,.arg = &looking,
		.stop = wtc_link_told_to_stop,.max_read = (size_t) -1
	};
	WtcStatus	status;

	if (n == 0)
		return WTC_OK;
	looking.talk = &talk;
	looking.step = first_step(looks);
	looking.ends = palloc(sizeof(int) * n);
	initStringInfo(&looking.buf);
	for (int i = 0; i < n; i++)
	{
		put_look(&looking.buf, &looks[i]);
		looking.ends[i] = looking.buf.len;
	}

	wtc_link_connect();
	if (wtc_link_status != WTC_OK)
		return wtc_link_status;
	talk.deadline_us = wtc_push_deadline();
	status = wtc_conn_talk(&wtc_link, &talk);
	pfree(looking.buf.data);
	pfree(looking.ends);
	wtc_link_note_read(status);
	return status;
}
