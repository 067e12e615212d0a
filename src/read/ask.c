/*-------------------------------------------------------------------------
 *
 * ask.c
 *	  Reading from Redis, and running scripts that are needed seldom.
 *
 * All of it belongs before the commit record, or into the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "push/link.h"
#include "push/push.h"
#include "read/ask.h"
#include "redis/keys.h"
#include "redis/resp.h"
#include "redis/script.h"
#include "redis/words.h"
#include "shared/breaker.h"
#include "utils/memutils.h"

/* what a script of the worker may answer */
#define EVAL_MAX_READ	(1024 * 1024)

/* A conversation of one request; what answer is depends on who takes it. */
typedef struct Question
{
	const char *request;
	size_t		len;
	int			replies;
	int			seen;			/* replies */
	bool		asked;
	WtcStatus	error;			/* the first that was answered */
	bool		unwatched;		/* WATCH was refused */
	void	   *answer;
} Question;

static int
next_question(void *arg, const char **data, size_t *len)
{
	Question   *question = arg;

	if (question->asked)
		return 0;
	question->asked = true;
	*data = question->request;
	*len = question->len;
	return question->replies;
}

/* Asks what stands from buf up to end, and frees it. */
static WtcStatus
put_question(char *buf, const char *end, int replies, size_t max_read,
			 WtcStatus (*reply) (void *, const redisReply *), void *answer)
{
	Question	question = {
		.request = buf,.len = end - buf,.replies = replies,.answer = answer
	};
	WtcTalk		talk = {
		.next = next_question,.reply = reply,.arg = &question,
		.deadline_us = wtc_push_deadline(),.stop = wtc_link_told_to_stop,
		.max_read = max_read
	};
	WtcStatus	status = wtc_conn_talk(&wtc_link, &talk);

	pfree(buf);
	return status != WTC_OK ? status : question.error;
}

static void *
try_alloc(size_t size)
{
	return palloc_extended(size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
}

/* An error must not leave the reply behind: nothing here may raise one. */
static WtcStatus
take_hash(WtcValue *value, const redisReply *reply)
{
	char	   *p;
	size_t		room = 0;

	for (size_t i = 0; i < reply->elements; i++)
	{
		if (reply->element[i]->type != REDIS_REPLY_STRING)
			return WTC_FAIL_PROTOCOL;
		room += sizeof(uint32) + reply->element[i]->len;
	}
	value->data = p = try_alloc(room + 1);
	if (p == NULL)
		return WTC_FAIL_OOM;
	for (size_t i = 0; i < reply->elements; i++)
	{
		uint32		len = reply->element[i]->len;

		memcpy(p, &len, sizeof(len));
		memcpy(p + sizeof(len), reply->element[i]->str, len);
		p += sizeof(len) + len;
	}
	value->kind = WTC_VALUE_HASH;
	value->len = room;
	return WTC_OK;
}

WtcStatus
wtc_value_take(WtcValue *value, const redisReply *reply)
{
	switch (reply->type)
	{
		case REDIS_REPLY_ERROR:
			return wtc_fail_reply(reply->str);
		case REDIS_REPLY_NIL:
			value->kind = WTC_VALUE_NONE;
			return WTC_OK;
		case REDIS_REPLY_INTEGER:
			value->kind = WTC_VALUE_NUMBER;
			value->len = reply->integer;
			return WTC_OK;
		case REDIS_REPLY_STRING:
			value->data = try_alloc(reply->len + 1);
			if (value->data == NULL)
				return WTC_FAIL_OOM;
			memcpy(value->data, reply->str, reply->len);
			value->data[reply->len] = '\0';
			value->len = reply->len;
			value->kind = WTC_VALUE_STRING;
			return WTC_OK;
		case REDIS_REPLY_ARRAY:
			return take_hash(value, reply);
		default:
			return WTC_FAIL_PROTOCOL;
	}
}

static WtcStatus
get_reply(void *arg, const redisReply *reply)
{
	return wtc_value_take(((Question *) arg)->answer, reply);
}

static WtcStatus
ask(const char *command, const char *key, size_t len,
	const char *member, size_t memberlen, WtcValue *value)
{
	char	   *buf = palloc(len + memberlen + 128);
	char	   *p = wtc_resp_begin(buf, member != NULL ? 3 : 2);

	p = wtc_resp_arg(p, command, strlen(command));
	p = wtc_resp_arg(p, key, len);
	if (member != NULL)
		p = wtc_resp_arg(p, member, memberlen);
	memset(value, 0, sizeof(*value));
	return put_question(buf, p, 1, MaxAllocHugeSize, get_reply, value);
}

WtcStatus
wtc_read_get(const char *key, size_t len, WtcValue *value)
{
	WtcStatus	status;

	wtc_link_connect();
	if (wtc_link_status != WTC_OK)
		return wtc_link_status;
	status = ask("GET", key, len, NULL, 0, value);
	if (status == WTC_FAIL_WRONGTYPE)
		status = ask("HGETALL", key, len, NULL, 0, value);
	wtc_link_note_read(status);
	return status;
}

WtcStatus
wtc_read_is_member(const char *set, size_t setlen, const char *key, size_t len,
				   bool *member)
{
	WtcValue	value;
	WtcStatus	status;

	wtc_link_connect();
	if (wtc_link_status != WTC_OK)
		return wtc_link_status;
	status = ask("SISMEMBER", set, setlen, key, len, &value);
	*member = value.kind == WTC_VALUE_NUMBER && value.len > 0;
	wtc_link_note_read(status);
	return status == WTC_FAIL_WRONGTYPE ? WTC_OK : status;
}

/* --- looking for keys --- */

typedef struct Found
{
	char	   *cursor;			/* WTC_SCAN_CURSOR bytes */
	WtcValue   *keys;
} Found;

static WtcStatus
scan_reply(void *arg, const redisReply *reply)
{
	Found	   *found = ((Question *) arg)->answer;

	if (reply->type == REDIS_REPLY_ERROR)
		return wtc_fail_reply(reply->str);
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
		reply->element[0]->type != REDIS_REPLY_STRING ||
		reply->element[0]->len >= WTC_SCAN_CURSOR ||
		reply->element[1]->type != REDIS_REPLY_ARRAY)
		return WTC_FAIL_PROTOCOL;
	memcpy(found->cursor, reply->element[0]->str, reply->element[0]->len + 1);
	return take_hash(found->keys, reply->element[1]);
}

WtcStatus
wtc_read_scan(char *cursor, const char *pattern, WtcValue *keys)
{
	size_t		len = strlen(pattern);
	char	   *buf = palloc(len + 256);
	char	   *p = wtc_resp_begin(buf, 6);
	Found		found = {cursor, keys};
	WtcStatus	status;

	memset(keys, 0, sizeof(*keys));
	p = wtc_resp_arg(p, "SCAN", 4);
	p = wtc_resp_arg(p, cursor, strlen(cursor));
	p = wtc_resp_arg(p, "MATCH", 5);
	p = wtc_resp_arg(p, pattern, len);
	p = wtc_resp_arg(p, "COUNT", 5);
	p = wtc_resp_number(p, WTC_SCAN_COUNT);
	wtc_link_connect();
	if (wtc_link_status != WTC_OK)
		return wtc_link_status;
	status = put_question(buf, p, 1, MaxAllocHugeSize, scan_reply, &found);
	wtc_link_note_read(status);
	return status;
}

/* --- scripts --- */

/* NULL: no memory, or neither string nor number. */
static char *
element_text(const redisReply *reply)
{
	size_t		len = reply->type == REDIS_REPLY_STRING ? reply->len : 24;
	char	   *text = try_alloc(len + 1);

	if (text == NULL)
		return NULL;
	if (reply->type == REDIS_REPLY_STRING)
		memcpy(text, reply->str, len + 1);
	else if (reply->type == REDIS_REPLY_INTEGER)
		snprintf(text, len, "%lld", reply->integer);
	else
		return NULL;
	return text;
}

static WtcStatus
take_answer(WtcAnswer *answer, const redisReply *reply)
{
	bool		array = reply->type == REDIS_REPLY_ARRAY;

	if (reply->type == REDIS_REPLY_ERROR)
		return wtc_fail_reply(reply->str);
	answer->n = array ? (int) reply->elements : 1;
	answer->text = try_alloc(sizeof(char *) * (answer->n + 1));
	if (answer->text == NULL)
		return WTC_FAIL_OOM;
	for (int i = 0; i < answer->n; i++)
	{
		answer->text[i] = element_text(array ? reply->element[i] : reply);
		if (answer->text[i] == NULL)
			return WTC_FAIL_PROTOCOL;
	}
	return WTC_OK;
}

static WtcStatus
eval_reply(void *arg, const redisReply *reply)
{
	return take_answer(((Question *) arg)->answer, reply);
}

/*
 * MULTI, QUEUED, EXEC, WATCH, GET.  Errors are noted, for the last reply matters
 * in any case.
 */
static WtcStatus
fenced_reply(void *arg, const redisReply *reply)
{
	Question   *question = arg;
	WtcFencedAnswer *answer = question->answer;
	int			step = question->seen++;

	if (reply->type == REDIS_REPLY_ERROR)
	{
		WtcStatus	error = wtc_fail_reply(reply->str);

		/* something else in place of the token is no token */
		if (question->error == WTC_OK &&
			!(step == 4 && error == WTC_FAIL_WRONGTYPE))
			question->error = error;
		question->unwatched |= step == 3;
	}
	else if (step == 2)
	{
		answer->refused = reply->type == REDIS_REPLY_NIL;
		if (answer->refused)
			return WTC_OK;
		if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1)
			return WTC_FAIL_PROTOCOL;
		question->error = take_answer(&answer->answer, reply->element[0]);
	}
	else if (step == 4 && !question->unwatched)
		wtc_conn_note_watched(&wtc_link, reply);
	return WTC_OK;
}

/* A command of arguments that are ended by zero bytes. */
static char *
put_command(char *p, int nargs, const char *const *args)
{
	p = wtc_resp_begin(p, nargs);
	for (int i = 0; i < nargs; i++)
		p = wtc_resp_arg(p, args[i], strlen(args[i]));
	return p;
}

static size_t
room_for(int nargs, const char *const *args)
{
	size_t		room = WTC_RESP_HEAD;

	for (int i = 0; i < nargs; i++)
		room += WTC_RESP_BOUND(strlen(args[i]));
	return room;
}

WtcStatus
wtc_command(int nargs, const char *const *args, WtcAnswer *answer)
{
	char	   *buf = palloc(room_for(nargs, args));
	char	   *p = put_command(buf, nargs, args);
	WtcStatus	status;

	memset(answer, 0, sizeof(*answer));
	status = put_question(buf, p, 1, EVAL_MAX_READ, eval_reply, answer);
	/* commits need not wait for their own probe */
	if (status == WTC_OK)
		wtc_breaker_success();
	return status;
}

WtcStatus
wtc_command_fenced(int nargs, const char *const *args, WtcFencedAnswer *answer)
{
	static const char *const multi[] = {"MULTI"};
	static const char *const exec[] = {"EXEC"};
	static const char *const watch[] = {"WATCH", WTC_KEY_TOKEN};
	static const char *const get[] = {"GET", WTC_KEY_TOKEN};
	char	   *buf = palloc(room_for(nargs, args) + 256);
	char	   *p = buf;
	WtcStatus	status;

	p = put_command(p, 1, multi);
	p = put_command(p, nargs, args);
	p = put_command(p, 1, exec);
	p = put_command(p, 2, watch);
	p = put_command(p, 2, get);
	memset(answer, 0, sizeof(*answer));
	/* not known, unless the last reply says so */
	wtc_link.watched[0] = '\0';
	status = put_question(buf, p, 5, EVAL_MAX_READ, fenced_reply, answer);
	/* the new WATCH knows nothing of what the old one has seen */
	if (answer->refused)
		wtc_link.watched[0] = '\0';
	/* commits need not wait for their own probe */
	if (status == WTC_OK)
		wtc_breaker_success();
	return status;
}

/* The command that runs a script; the arguments are palloc'd. */
static const char **
eval_args(const char *script, int nkeys, int nargs, const char *const *args,
		  char *number, size_t size)
{
	const char **all = palloc(sizeof(char *) * (3 + nargs));

	snprintf(number, size, "%d", nkeys);
	all[0] = "EVAL";
	all[1] = script;
	all[2] = number;
	if (nargs > 0)
		memcpy(all + 3, args, sizeof(char *) * nargs);
	return all;
}

WtcStatus
wtc_eval(const char *script, int nkeys, int nargs, const char *const *args,
		 WtcAnswer *answer)
{
	char		number[16];

	return wtc_command(3 + nargs, eval_args(script, nkeys, nargs, args, number,
											sizeof(number)), answer);
}

WtcStatus
wtc_eval_fenced(const char *script, int nkeys, int nargs,
				const char *const *args, WtcFencedAnswer *answer)
{
	char		number[16];

	return wtc_command_fenced(3 + nargs,
							  eval_args(script, nkeys, nargs, args, number,
										sizeof(number)), answer);
}

WtcStatus
wtc_read_expel(int n, const char *const *args, WtcAnswer *answer)
{
	WtcStatus	status;

	wtc_link_connect();
	if (wtc_link_status != WTC_OK)
		return wtc_link_status;
	status = wtc_eval(wtc_expel_text, n, 2 * n, args, answer);
	wtc_link_note_read(status);
	if (status == WTC_OK && answer->n != n)
		status = WTC_FAIL_PROTOCOL;
	return status;
}
