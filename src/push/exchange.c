/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  Sending a chunk that is marked, and understanding the replies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "guc.h"
#include "push/exchange.h"
#include "push/link.h"
#include "push/patterns.h"
#include "push/request.h"
#include "redis/resp.h"
#include "redis/script.h"
#include "redis/words.h"
#include "shared/slots.h"
#include "shared/state.h"

/* replies are short: all of a request's together are less than this */
#define PUSH_MAX_READ	(64 * 1024 * 1024)

/* no commit waits for what the worker sends; so long it waits at least */
#define WORKER_PATIENCE_US	INT64CONST(1000000)

/* so often a request is sent again after the scripts have been flushed */
#define SCRIPT_TRIES	3

/* A request under way, and what its replies have said. */
typedef struct Exchange
{
	WtcChunk   *chunk;
	size_t		len;
	int			nreplies;
	int			seen;
	bool		plain;			/* forget.lua by itself, no EXEC */

	WtcStatus	denied;			/* a command was refused: nothing was done */
	bool		unarmed;		/* WATCH was refused behind it */
	bool		loose;			/* MULTI was refused: the rest may have been
								 * done outside it */
	bool		refused;		/* the token did not hold: nothing was done */
	WtcStatus	failed;			/* one of the commands executed has failed */
	bool		noscript;		/* ... because the scripts were flushed */
	bool		aimed;			/* what was denied, or has failed, was so
								 * because of a key */
	WtcStatus	rejected;		/* something could not be stored */
	int64		draining;		/* sets of invalidated tags that are left */
} Exchange;

static int
next_request(void *arg, const char **data, size_t *len)
{
	Exchange   *x = arg;

	if (x->len == 0)
		return 0;
	*data = x->chunk->request;
	*len = x->len;
	x->len = 0;
	return x->nreplies;
}

/* Redis has refused something, in these words. */
static WtcStatus
take_words(Exchange *x, const char *text)
{
	wtc_words_copy(x->chunk->words, WTC_WORDS_LEN, text);
	return wtc_fail_reply(text);
}

/* forget.lua has answered. */
static void
take_forget(Exchange *x, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
		reply->element[0]->type != REDIS_REPLY_INTEGER ||
		reply->element[1]->type != REDIS_REPLY_INTEGER ||
		reply->element[2]->type != REDIS_REPLY_INTEGER)
	{
		x->failed = WTC_FAIL_PROTOCOL;
		return;
	}
	if (reply->element[0]->integer == 0)
		x->refused = true;
	if (reply->element[1]->integer > 0)
		x->rejected = WTC_FAIL_WRONGTYPE;
	x->draining = reply->element[2]->integer;
}

/* store.lua has answered. */
static void
take_store(Exchange *x, int index, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_INTEGER)
		x->failed = WTC_FAIL_PROTOCOL;
	else if (reply->integer == 0)
		x->chunk->items[index].verdict = WTC_VERDICT_DELETE;
}

/* The key of an item must be deleted: it could not be stored as it should. */
static void
reject_item(Exchange *x, int index, WtcStatus why)
{
	x->chunk->items[index].verdict = WTC_VERDICT_REJECTED;
	x->rejected = why;
}

static void
reject_tag(Exchange *x, const WtcTag *tag, WtcStatus why)
{
	for (int u = tag->first; u >= 0; u = x->chunk->uses[u].next)
	{
		int			i = x->chunk->uses[u].item;

		if (x->chunk->items[i].verdict == WTC_VERDICT_SEND)
			reject_item(x, i, why);
	}
}

/* One of the commands that EXEC has executed has failed. */
static void
take_error(Exchange *x, const WtcCommand *command, const char *text)
{
	WtcStatus	status = wtc_status_of_error(text);

	switch ((WtcCommandKind) command->kind)
	{
		case WTC_COMMAND_LEAVE:
			return;				/* no set, so the key is in none */
		case WTC_COMMAND_PRUNE:
			x->noscript |= status == WTC_NOSCRIPT;
			return;
		case WTC_COMMAND_ADD:
		case WTC_COMMAND_TAG:
			(void) take_words(x, text);
			reject_tag(x, &x->chunk->tags[command->index], status);
			return;
		case WTC_COMMAND_STORE:
			if (status == WTC_NOSCRIPT)
			{
				x->noscript = true;
				x->failed = status;
				return;
			}
			/* FALLTHROUGH */
		case WTC_COMMAND_VALUE:
			(void) take_words(x, text);
			reject_item(x, command->index, status);
			return;
		case WTC_COMMAND_FORGET:
			x->noscript |= status == WTC_NOSCRIPT;
			x->aimed = wtc_error_is_about_key(text);
			x->failed = take_words(x, text);
			return;
		case WTC_COMMAND_PLAIN:
			x->failed = wtc_fail_reply(text);
			return;
	}
}

/* A command was refused before EXEC, or EXEC itself. */
static void
deny(Exchange *x, const char *text)
{
	if (x->denied != WTC_OK)
		return;
	x->denied = take_words(x, text);
	x->aimed = wtc_error_is_about_key(text);
}

static WtcStatus
take_exec(Exchange *x, const redisReply *reply)
{
	WtcChunk   *chunk = x->chunk;

	if (reply->type == REDIS_REPLY_NIL)
	{
		x->refused = true;
		return WTC_OK;
	}
	if (reply->type == REDIS_REPLY_ERROR && x->denied != WTC_OK)
		return WTC_OK;			/* EXECABORT, and why has been said */
	if (reply->type == REDIS_REPLY_ERROR)
	{
		deny(x, reply->str);
		return WTC_OK;
	}
	if (reply->type != REDIS_REPLY_ARRAY ||
		reply->elements != (size_t) chunk->ncommands || x->denied != WTC_OK)
		return WTC_FAIL_PROTOCOL;
	for (int i = 0; i < chunk->ncommands; i++)
	{
		const redisReply *element = reply->element[i];

		if (element->type == REDIS_REPLY_ERROR)
			take_error(x, &chunk->commands[i], element->str);
		else if (chunk->commands[i].kind == WTC_COMMAND_FORGET)
			take_forget(x, element);
		else if (chunk->commands[i].kind == WTC_COMMAND_STORE)
			take_store(x, chunk->commands[i].index, element);
		else if (chunk->commands[i].kind == WTC_COMMAND_ADD &&
				 element->type == REDIS_REPLY_INTEGER)
			wtc_request_note_added(chunk, chunk->commands[i].index,
								   element->integer);
	}
	return WTC_OK;
}

static bool
is_status(const redisReply *reply, const char *word)
{
	return reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, word) == 0;
}

/* MULTI, a QUEUED for each command, EXEC, WATCH, GET */
static WtcStatus
take_reply(void *arg, const redisReply *reply)
{
	Exchange   *x = arg;
	int			i = x->seen++;
	int			exec = x->chunk->ncommands + 1;

	if (x->plain)
	{
		if (reply->type == REDIS_REPLY_ERROR)
			take_error(x, &x->chunk->commands[0], reply->str);
		else
			take_forget(x, reply);
		return WTC_OK;
	}
	if (x->loose && i <= exec)
		return WTC_OK;			/* answers of commands outside a MULTI */
	if (i == exec)
		return take_exec(x, reply);
	if (i == exec + 2 && reply->type != REDIS_REPLY_ERROR)
	{
		if (!x->unarmed)
			wtc_conn_note_watched(&wtc_link, reply);
		return WTC_OK;
	}
	if (reply->type == REDIS_REPLY_ERROR)
	{
		if (i > exec)
		{
			x->unarmed = true;
			wtc_link.watched[0] = '\0';
			return WTC_OK;
		}
		x->loose |= i == 0;
		deny(x, reply->str);
		return WTC_OK;
	}
	return is_status(reply, i == 0 || i > exec ? "OK" : "QUEUED") ?
		WTC_OK : WTC_FAIL_PROTOCOL;
}

/*
 * A large request may take longer as long as it gets on: a commit as long as a
 * transaction of this size may, the worker as long as it wants to.
 */
static void
go_on_while_moving(WtcTalk *talk, size_t len)
{
	int64		timeout_us = (int64) wtc_push_timeout * 1000;

	if (wtc_am_worker())
	{
		talk->patience_us = Max(timeout_us, WORKER_PATIENCE_US);
		talk->deadline_us = Max(talk->deadline_us,
								wtc_clock_us() + talk->patience_us);
		talk->last_us = PG_INT64_MAX;
	}
	else
	{
		talk->patience_us = timeout_us;
		talk->last_us = talk->deadline_us +
			(int64) (len / WTC_BATCH_BYTES) * timeout_us;
	}
}

/* Sends the request that stands in the chunk, and takes the replies. */
static WtcStatus
exchange(Exchange *x, size_t len, int64 deadline_us, bool *sent)
{
	WtcTalk		talk = {
		.next = next_request,.reply = take_reply,.arg = x,
		.deadline_us = deadline_us,.stop = wtc_link_told_to_stop,
		.max_read = PUSH_MAX_READ
	};
	WtcStatus	status;

	if (len > WTC_CHUNK_BYTES + WTC_REQUEST_FIXED)
		go_on_while_moving(&talk, len);
	x->len = len;
	x->nreplies = x->plain ? 1 : x->chunk->ncommands + 4;
	status = wtc_conn_talk(&wtc_link, &talk);
	wtc_count(WTC_BYTES_SENT, talk.sent);
	*sent |= talk.sent > 0;
	return status;
}

/*
 * Deletes what cannot be stored as it should: the items whose verdict says so,
 * or all of them, and invalidates the tags then.
 */
static WtcTurn
forget(WtcChunk *chunk, const char *token, bool everything, int64 deadline_us,
	   WtcSaid *said)
{
	Exchange	x;
	bool		sent = false;

	for (int i = 0; i < SCRIPT_TRIES; i++)
	{
		x = (Exchange)
		{
			.chunk = chunk,.plain = true
		};
		said->status = exchange(&x, wtc_request_write_forget(chunk, token,
															 everything),
								deadline_us, &sent);
		if (said->status != WTC_OK || !x.noscript)
			break;
		said->status = wtc_conn_load_scripts(&wtc_link, deadline_us,
											 wtc_link_told_to_stop);
		if (said->status != WTC_OK)
			break;
	}
	if (said->status != WTC_OK)
		return WTC_TURN_DOUBT;
	if (x.refused)
		return WTC_TURN_AGAIN;
	said->draining = Max(said->draining, x.draining);
	if (x.rejected != WTC_OK)
		said->rejected = x.rejected;
	said->status = x.failed == WTC_NOSCRIPT ? WTC_FAIL_OTHER : x.failed;
	if (x.failed == WTC_OK)
		return WTC_TURN_DONE;
	return x.aimed ? WTC_TURN_REFUSED : WTC_TURN_DOUBT;
}

static WtcStatus
drain_reply(void *arg, const redisReply *reply)
{
	Exchange   *x = arg;

	if (reply->type == REDIS_REPLY_ERROR)
		return wtc_fail_reply(reply->str);
	if (reply->type != REDIS_REPLY_INTEGER)
		return WTC_FAIL_PROTOCOL;
	x->draining = reply->integer;
	return WTC_OK;
}

WtcStatus
wtc_exchange_drain(WtcChunk *chunk, int64 deadline_us)
{
	Exchange	x = {.chunk = chunk,.draining = 1,.nreplies = 1};
	WtcTalk		talk = {
		.next = next_request,.reply = drain_reply,.arg = &x,
		.deadline_us = deadline_us,.stop = wtc_link_told_to_stop,
		.max_read = PUSH_MAX_READ
	};
	WtcStatus	status = WTC_OK;

	while (x.draining > 0 && status == WTC_OK)
	{
		char	   *p = wtc_resp_begin(chunk->request, 3);

		p = wtc_resp_arg(p, "EVALSHA", 7);
		p = wtc_resp_arg(p, wtc_drain_sha, WTC_SHA_LEN);
		p = wtc_resp_number(p, 0);
		x.len = p - chunk->request;
		status = wtc_conn_talk(&wtc_link, &talk);
		if (status == WTC_NOSCRIPT)
			status = wtc_conn_load_scripts(&wtc_link, deadline_us,
										   wtc_link_told_to_stop);
	}
	return status;
}

WtcTurn
wtc_exchange_chunk(WtcChunk *chunk, const char *token, int64 deadline_us,
				   WtcSaid *said)
{
	bool		journal = wtc_journaling();
	bool		leases = wtc_lease_ms() > 0;
	bool		sent = false;
	Exchange	x;

	*said = (WtcSaid)
	{
		0
	};
	for (int i = 0; i < SCRIPT_TRIES; i++)
	{
		size_t		len = wtc_request_write(chunk, token, journal, leases);

		if (len == 0)
			return WTC_TURN_DONE;
		x = (Exchange)
		{
			.chunk = chunk
		};
		said->status = exchange(&x, len, deadline_us, &sent);
		if (said->status != WTC_OK || x.refused || x.denied != WTC_OK ||
			x.failed != WTC_OK)
			wtc_patterns_forget();
		else
			wtc_patterns_keep();
		if (said->status != WTC_OK)
			return sent ? WTC_TURN_DOUBT : WTC_TURN_FAILED;
		if (!x.noscript)
			break;
		said->status = wtc_conn_load_scripts(&wtc_link, deadline_us,
											 wtc_link_told_to_stop);
		if (said->status != WTC_OK)
			return WTC_TURN_DOUBT;
		if (x.failed == WTC_OK)
			break;				/* it was only about pruning */
	}
	if (x.refused)
		return WTC_TURN_AGAIN;
	said->status = x.denied;
	said->rejected = x.rejected;
	said->draining = x.draining;
	if (x.loose)
		return WTC_TURN_DOUBT;
	if (x.denied == WTC_FAIL_OOM)
	{
		WtcTurn		turn;

		/* a full server: what is old there has to go at least */
		wtc_chunk_reject(chunk);
		turn = forget(chunk, token, true, deadline_us, said);
		said->rejected = WTC_FAIL_OOM;
		return turn;
	}
	if (x.denied != WTC_OK)
		return x.aimed ? WTC_TURN_REFUSED : WTC_TURN_FAILED;
	said->status = x.failed == WTC_NOSCRIPT ? WTC_FAIL_OTHER : x.failed;
	if (x.failed != WTC_OK)
		return x.aimed ? WTC_TURN_REFUSED : WTC_TURN_DOUBT;

	/* an invalidation may have come meanwhile; or a tag could not be noted */
	if (wtc_chunk_recheck_tags(chunk) > 0 || said->rejected != WTC_OK)
		return forget(chunk, token, false, deadline_us, said);
	return WTC_TURN_DONE;
}
