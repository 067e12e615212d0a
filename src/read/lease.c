/*-------------------------------------------------------------------------
 *
 * lease.c
 *	  Reading keys, and filling those that are missing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "lib/stringinfo.h"
#include "push/link.h"
#include "push/push.h"
#include "push/request.h"
#include "read/lease.h"
#include "redis/keys.h"
#include "redis/resp.h"
#include "redis/script.h"
#include "redis/words.h"
#include "utils/memutils.h"

/* A conversation of one request with a reply for each command. */
typedef struct Asking
{
	StringInfoData request;
	int			ncommands;
	bool		asked;
	bool		noscript;
	bool		second;			/* of two replies for a reading */
	WtcReading *const *readings;	/* of wtc_lease_get(): the next reply's */
	const WtcFill *fills;		/* of wtc_lease_fill(), likewise */
	XLogRecPtr	mark;
} Asking;

static void
put(Asking *asking, const char *data, size_t len)
{
	StringInfo	buf = &asking->request;

	enlargeStringInfo(buf, WTC_RESP_BOUND(len));
	buf->len = wtc_resp_arg(buf->data + buf->len, data, len) - buf->data;
}

static void
put_text(Asking *asking, const char *text)
{
	put(asking, text, strlen(text));
}

static void
put_number(Asking *asking, uint64 n)
{
	put_text(asking, psprintf(UINT64_FORMAT, n));
}

static void
put_command(Asking *asking, const char *name, uint64 argc)
{
	StringInfo	buf = &asking->request;

	enlargeStringInfo(buf, WTC_RESP_HEAD);
	buf->len = wtc_resp_begin(buf->data + buf->len, argc) - buf->data;
	put_text(asking, name);
	asking->ncommands++;
}

/* A call of a script with one key and so many arguments. */
static void
put_call(Asking *asking, const char *sha, WtcSpan key, int nargs)
{
	put_command(asking, "EVALSHA", 4 + nargs);
	put(asking, sha, WTC_SHA_LEN);
	put_text(asking, "1");
	put(asking, key.data, key.len);
}

static void
put_strings(Asking *asking, const WtcList *list)
{
	WtcCursor	cursor = wtc_list_cursor(list);
	WtcSpan		string;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &string))
		put(asking, string.data, string.len);
}

static int
next_request(void *arg, const char **data, size_t *len)
{
	Asking	   *asking = arg;

	if (asking->asked)
		return 0;
	asking->asked = true;
	*data = asking->request.data;
	*len = asking->request.len;
	return asking->ncommands;
}

static WtcStatus
converse(Asking *asking, WtcStatus (*reply) (void *, const redisReply *))
{
	WtcTalk		talk = {
		.next = next_request,.reply = reply,.arg = asking,
		.deadline_us = wtc_push_deadline(),.stop = wtc_link_told_to_stop,
		.max_read = MaxAllocHugeSize
	};

	asking->asked = false;
	return wtc_conn_talk(&wtc_link, &talk);
}

/* A server that does not know the scripts of readers is told them. */
static WtcStatus
load_scripts(void)
{
	static const char *const get[] = {"SCRIPT", "LOAD", wtc_get_text};
	static const char *const fill[] = {"SCRIPT", "LOAD", wtc_fill_text};
	WtcAnswer	answer;
	WtcStatus	status = wtc_command(lengthof(get), get, &answer);

	return status != WTC_OK ? status :
		wtc_command(lengthof(fill), fill, &answer);
}

/* Has the conversation, on a connection that stands. */
static WtcStatus
ask(Asking *asking, WtcStatus (*reply) (void *, const redisReply *))
{
	Asking		first = *asking;
	WtcStatus	status;

	wtc_link_connect();
	if (wtc_link_status != WTC_OK)
		return wtc_link_status;
	status = converse(asking, reply);
	if (status == WTC_OK && asking->noscript)
	{
		/* what was done all the same is refused, or is to be waited for */
		*asking = first;
		status = load_scripts();
		if (status == WTC_OK)
			status = converse(asking, reply);
		if (status == WTC_OK && asking->noscript)
			status = wtc_fail(WTC_FAIL_OTHER, "scripts are lost at once");
	}
	wtc_link_note_read(status);
	return status;
}

/* --- get --- */

static bool
is_word(const redisReply *reply, const char *word)
{
	return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, word) == 0;
}

/* An answer of get.lua. */
static WtcStatus
take_found(WtcReading *reading, const redisReply *reply)
{
	size_t		n = reply->elements;
	redisReply **element = reply->element;

	if (reply->type != REDIS_REPLY_ARRAY || n == 0)
		return WTC_FAIL_PROTOCOL;
	if (is_word(element[0], "hit") && n == 2)
	{
		reading->found = WTC_FOUND_VALUE;
		return wtc_value_take(&reading->value, element[1]);
	}
	if (is_word(element[0], "fill") && n == 3 &&
		element[1]->type == REDIS_REPLY_STRING &&
		element[1]->len < sizeof(reading->lease))
	{
		reading->found = WTC_FOUND_LEASE;
		strcpy(reading->lease, element[1]->str);
	}
	else if (is_word(element[0], "wait") && n == 3 &&
			 element[2]->type == REDIS_REPLY_INTEGER)
	{
		reading->found = WTC_FOUND_READER;
		reading->left_us = element[2]->integer * 1000;
	}
	else if (is_word(element[0], "absent"))
		reading->found = WTC_FOUND_ABSENCE;
	else if (!is_word(element[0], "off"))
		return WTC_FAIL_PROTOCOL;
	return WTC_OK;
}

static WtcStatus
get_reply(void *arg, const redisReply *reply)
{
	Asking	   *asking = arg;
	WtcReading *reading = *asking->readings++;

	reading->found = WTC_FOUND_NOTHING;
	reading->lease[0] = '\0';
	if (reply->type == REDIS_REPLY_ERROR)
	{
		WtcStatus	status = wtc_fail_reply(reply->str);

		asking->noscript |= status == WTC_NOSCRIPT;
		/* what is neither a string nor a hash is not ours */
		return status == WTC_NOSCRIPT || status == WTC_FAIL_WRONGTYPE ?
			WTC_OK : status;
	}
	return take_found(reading, reply);
}

/* A reply to GET, where a hash is an error, or to HGETALL. */
static WtcStatus
look_reply(void *arg, const redisReply *reply)
{
	Asking	   *asking = arg;
	WtcReading *reading = *asking->readings;
	WtcStatus	status;

	if (asking->second)
		asking->readings++;
	else
		reading->found = WTC_FOUND_NOTHING;
	asking->second = !asking->second;
	if (reply->type == REDIS_REPLY_ERROR)
	{
		status = wtc_fail_reply(reply->str);
		return status == WTC_FAIL_WRONGTYPE ? WTC_OK : status;
	}
	if (reply->type == REDIS_REPLY_NIL ||
		(reply->type == REDIS_REPLY_ARRAY && reply->elements == 0))
		return WTC_OK;
	reading->found = WTC_FOUND_VALUE;
	return wtc_value_take(&reading->value, reply);
}

WtcStatus
wtc_lease_get(WtcReading *const *readings, int n, bool leases)
{
	Asking		asking = {.readings = readings};
	WtcStatus	status;

	initStringInfo(&asking.request);
	for (int i = 0; i < n; i++)
	{
		WtcSpan		key = readings[i]->key;

		if (leases)
		{
			put_call(&asking, wtc_get_sha, key, 0);
			continue;
		}
		put_command(&asking, "GET", 2);
		put(&asking, key.data, key.len);
		put_command(&asking, "HGETALL", 2);
		put(&asking, key.data, key.len);
	}
	status = ask(&asking, leases ? get_reply : look_reply);
	pfree(asking.request.data);
	return status;
}

bool
wtc_lease_is_ours(const WtcReading *reading)
{
	const char *space = strchr(reading->lease, ' ');
	uint64		number = space == NULL ? 0 : wtc_token_number(space + 1);

	return number != 0 && number == wtc_token();
}

/* --- fill --- */

static WtcStatus
fill_reply(void *arg, const redisReply *reply)
{
	Asking	   *asking = arg;
	WtcReading *reading = asking->fills++->reading;
	WtcStatus	status;

	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
		is_word(reply->element[1], "filled"))
		reading->filled = asking->mark;
	if (reply->type != REDIS_REPLY_ERROR)
		return WTC_OK;
	status = wtc_fail_reply(reply->str);
	asking->noscript |= status == WTC_NOSCRIPT;
	return status == WTC_NOSCRIPT ? WTC_OK : status;
}

WtcSpan
wtc_lease_value(const WtcOperation *op, XLogRecPtr mark)
{
	WtcPieces	pieces;
	StringInfoData buf;
	WtcSpan		value;

	wtc_value_pieces(op, mark, &pieces);
	initStringInfo(&buf);
	for (int i = 0; i < pieces.n; i++)
		appendBinaryStringInfo(&buf, pieces.span[i].data, pieces.span[i].len);
	value.data = buf.data;
	value.len = buf.len;
	return value;
}

static bool
is_pattern(const WtcPattern *pattern)
{
	return pattern->shared > 0 || pattern->rest.len > 0;
}

static void
put_pattern(Asking *asking, const WtcPattern *pattern, WtcSpan string)
{
	StringInfoData buf;

	if (!is_pattern(pattern))
		return;
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, string.data, pattern->shared);
	appendBinaryStringInfo(&buf, pattern->rest.data, pattern->rest.len);
	put(asking, buf.data, buf.len);
}

static void
put_fill(Asking *asking, const WtcFill *fill, XLogRecPtr mark)
{
	const WtcOperation *op = &fill->op;
	bool		value = fill->kind == WTC_FILL_VALUE;
	int			nvalues = !value ? 0 : op->kind == WTC_OP_SET ? 1 :
	op->fields.count;
	int			ntags = value ? op->tags.count : 0;
	int			npatterns = !value ? 0 : is_pattern(&op->keys) +
	is_pattern(&op->sets);

	put_call(asking, wtc_fill_sha, fill->reading->key,
			 5 + ntags + npatterns + nvalues);
	put_text(asking, fill->reading->lease);
	put_text(asking, psprintf("%X/%X", LSN_FORMAT_ARGS(mark)));
	put_number(asking, value ? op->ttl_ms : fill->kind == WTC_FILL_ABSENCE);
	put_number(asking, ntags);
	put_number(asking, npatterns);
	if (!value)
		return;
	put_strings(asking, &op->tags);
	put_pattern(asking, &op->keys, op->key);
	put_pattern(asking, &op->sets, wtc_list_first(&op->tags));
	if (op->kind == WTC_OP_SET)
	{
		WtcSpan		string = wtc_lease_value(op, mark);

		put(asking, string.data, string.len);
	}
	else
		put_strings(asking, &op->fields);
}

WtcStatus
wtc_lease_fill(const WtcFill *fills, int n, XLogRecPtr mark)
{
	Asking		asking = {.fills = fills,.mark = mark};
	WtcStatus	status;

	if (n == 0)
		return WTC_OK;
	initStringInfo(&asking.request);
	for (int i = 0; i < n; i++)
		put_fill(&asking, &fills[i], mark);
	status = ask(&asking, fill_reply);
	pfree(asking.request.data);
	return status;
}

/* --- counts --- */

static WtcStatus
command(int nargs, const char *const *args, WtcAnswer *answer)
{
	WtcStatus	status;

	wtc_link_connect();
	if (wtc_link_status != WTC_OK)
		return wtc_link_status;
	status = wtc_command(nargs, args, answer);
	wtc_link_note_read(status);
	return status;
}

WtcStatus
wtc_lease_counts(WtcAnswer *answer)
{
	static const char *const args[] = {"HGETALL", WTC_KEY_FILLS};

	return command(lengthof(args), args, answer);
}

WtcStatus
wtc_lease_reset_counts(void)
{
	static const char *const args[] = {"UNLINK", WTC_KEY_FILLS};
	WtcAnswer	answer;

	return command(lengthof(args), args, &answer);
}
