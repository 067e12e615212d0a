/*-------------------------------------------------------------------------
 *
 * push.c
 *	  Taking operations to Redis, after they have been committed.
 *
 * How order is kept.  Backends and the worker push side by side, each on its
 * own connection.  A request is an EXEC under a WATCH of the token (token.h), so
 * it is executed only while the token holds that was seen when the request was
 * made.  Of two requests for one key the later one waits until the outcome of
 * the earlier is known (versions.h), and what has been overtaken is left out.
 * A request whose outcome is not known closes Redis before it gives its marks
 * back: whichever process gets them then sees that, and sends nothing until the
 * worker has set another token, under which the doubtful request cannot be
 * executed any more.
 *
 * Tags are invalidated by the place of the commit.  A store under a tag that has
 * been invalidated by a later commit deletes its key; as the invalidation may
 * come while the store is under way, this is asked once more behind the reply.
 *
 * wtc_push_run() is called when the transaction is committed and the client is
 * waiting.  An error there would be a PANIC, so nothing on that path may reach
 * ereport, palloc, a syscache, a latch or an LWLock: it uses redis/, shared/ and
 * the memory that has been set aside.  The caller has set CurrentResourceOwner
 * to NULL by then, so that a mistake shows at once on every version.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "guc.h"
#include "push/link.h"
#include "push/push.h"
#include "push/request.h"
#include "push/token.h"
#include "redis/resp.h"
#include "redis/script.h"
#include "shared/debug.h"
#include "shared/shmem.h"
#include "utils/memutils.h"

/* replies are short: all of a request's together are less than this */
#define PUSH_MAX_READ	(64 * 1024 * 1024)

/* how long to wait before a key that is under way is tried again, microseconds */
#define FIRST_WAIT_US	30
#define LAST_WAIT_US	1000

/* so often a request is sent again after the scripts have been flushed */
#define SCRIPT_TRIES	3

StaticAssertDecl(WTC_STATUS_COUNT <= WTC_FAIL_CLASSES,
				 "there must be a counter for every class of failure");

/* A batch of the transaction, in the order in which they were added. */
typedef struct PushBatch
{
	WtcCursor	cursor;			/* what has not been pushed */
	XLogRecPtr	lsn;
	struct PushBatch *next;
} PushBatch;

struct WtcPush
{
	bool		skipped;		/* the breaker was open */
	WtcStatus	unready;		/* why there was no connection, or WTC_OK */
	PushBatch  *first;
	PushBatch **last;
	WtcChunk   *chunk;

	/* operations by kind */
	uint64		sets;
	uint64		deletes;
	uint64		invalidations;
};

/* --- before the commit record --- */

/* may raise: not after the commit record */
WtcPush *
wtc_push_create(void)
{
	WtcPush    *push = palloc0(sizeof(WtcPush));

	push->skipped = wtc_link_skipped;
	push->unready = wtc_link_status;
	push->last = &push->first;
	push->chunk = wtc_chunk_create();
	return push;
}

/* may raise: not after the commit record */
void
wtc_push_add(WtcPush *push, const char *data, size_t len, XLogRecPtr lsn)
{
	PushBatch  *batch = MemoryContextAllocZero(push->chunk->cxt,
											   sizeof(PushBatch));
	WtcOperation op;
	WtcCursor	cursor;

	if (!wtc_batch_open(&batch->cursor, data, len))
		elog(ERROR, "unexpected format of a batch");
	batch->lsn = lsn;
	*push->last = batch;
	push->last = &batch->next;

	cursor = batch->cursor;
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		if (op.kind == WTC_OP_INVALIDATE)
			push->invalidations++;
		else if (op.kind == WTC_OP_DELETE)
			push->deletes++;
		else
			push->sets++;
	}
	if (push->unready == WTC_OK)
		wtc_chunk_reserve(push->chunk, data, len);
}

/* --- on either side of it --- */

bool
wtc_push_invalidates(const WtcPush *push)
{
	return push->invalidations > 0;
}

int64
wtc_push_deadline(void)
{
	return wtc_clock_us() + (int64) wtc_push_timeout * 1000;
}

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
		case WTC_COMMAND_TAG:
			reject_tag(x, &x->chunk->tags[command->index], status);
			return;
		case WTC_COMMAND_VALUE:
			reject_item(x, command->index, status);
			return;
		case WTC_COMMAND_FORGET:
			x->noscript |= status == WTC_NOSCRIPT;
			x->failed = status;
			return;
		case WTC_COMMAND_PLAIN:
			x->failed = status;
			return;
	}
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
		x->denied = wtc_status_of_error(reply->str);
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
		WtcStatus	status = wtc_status_of_error(reply->str);

		if (i > exec)
		{
			x->unarmed = true;
			wtc_link.watched[0] = '\0';
			return WTC_OK;
		}
		x->loose |= i == 0;
		if (x->denied == WTC_OK)
			x->denied = status;
		return WTC_OK;
	}
	return is_status(reply, i == 0 || i > exec ? "OK" : "QUEUED") ?
		WTC_OK : WTC_FAIL_PROTOCOL;
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

	x->len = len;
	x->nreplies = x->plain ? 1 : x->chunk->ncommands + 4;
	status = wtc_conn_talk(&wtc_link, &talk);
	wtc_count(WTC_BYTES_SENT, talk.sent);
	*sent |= talk.sent > 0;
	return status;
}

/* How far a round of the loop in wtc_chunk_push() has come. */
typedef enum Turn
{
	TURN_DONE,
	TURN_AGAIN,					/* nothing was done, and may be soon */
	TURN_FAILED,				/* nothing was done */
	TURN_DOUBT					/* something may have been done, or may yet */
} Turn;

/*
 * Deletes what cannot be stored as it should: the items whose verdict says so,
 * or all of them, and invalidates the tags then.
 */
static Turn
forget(WtcChunk *chunk, const char *token, bool everything, int64 deadline_us,
	   Exchange *said, WtcStatus *status)
{
	Exchange	x;
	bool		sent = false;

	for (int i = 0; i < SCRIPT_TRIES; i++)
	{
		x = (Exchange)
		{
			.chunk = chunk,.plain = true
		};
		*status = exchange(&x, wtc_request_write_forget(chunk, token,
														everything),
						   deadline_us, &sent);
		if (*status != WTC_OK || !x.noscript)
			break;
		*status = wtc_conn_load_scripts(&wtc_link, deadline_us,
										wtc_link_told_to_stop);
		if (*status != WTC_OK)
			break;
	}
	if (*status != WTC_OK)
		return TURN_DOUBT;
	if (x.refused)
		return TURN_AGAIN;
	said->draining = Max(said->draining, x.draining);
	if (x.rejected != WTC_OK)
		said->rejected = x.rejected;
	*status = x.failed == WTC_NOSCRIPT ? WTC_FAIL_OTHER : x.failed;
	return x.failed == WTC_OK ? TURN_DONE : TURN_DOUBT;
}

static WtcStatus
drain_reply(void *arg, const redisReply *reply)
{
	Exchange   *x = arg;

	if (reply->type == REDIS_REPLY_ERROR)
		return wtc_status_of_error(reply->str);
	if (reply->type != REDIS_REPLY_INTEGER)
		return WTC_FAIL_PROTOCOL;
	x->draining = reply->integer;
	return WTC_OK;
}

/* Large tag sets are emptied in steps. */
static WtcStatus
drain(WtcChunk *chunk, int64 deadline_us)
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

/*
 * Sends a chunk that is marked, under a token that held when the marks were
 * set.
 */
static Turn
send_chunk(WtcChunk *chunk, const char *token, int64 deadline_us,
		   Exchange *said, WtcStatus *status)
{
	bool		journal = pg_atomic_read_u32(&wtc_shared->journal) != 0;
	bool		sent = false;

	for (int i = 0; i < SCRIPT_TRIES; i++)
	{
		size_t		len = wtc_request_write(chunk, token, journal);

		*said = (Exchange)
		{
			.chunk = chunk
		};
		if (len == 0)
			return TURN_DONE;
		*status = exchange(said, len, deadline_us, &sent);
		if (*status != WTC_OK)
			return sent ? TURN_DOUBT : TURN_FAILED;
		if (!said->noscript)
			break;
		*status = wtc_conn_load_scripts(&wtc_link, deadline_us,
										wtc_link_told_to_stop);
		if (*status != WTC_OK)
			return TURN_DOUBT;
		if (said->failed == WTC_OK)
			break;				/* it was only about pruning */
	}
	if (said->refused)
		return TURN_AGAIN;
	*status = said->denied;
	if (said->loose)
		return TURN_DOUBT;
	if (said->denied == WTC_FAIL_OOM)
	{
		/* a full server: what is old there has to go at least */
		Turn		turn;

		wtc_chunk_reject(chunk);
		turn = forget(chunk, token, true, deadline_us, said, status);

		said->rejected = WTC_FAIL_OOM;
		return turn;
	}
	if (said->denied != WTC_OK)
		return TURN_FAILED;
	*status = said->failed == WTC_NOSCRIPT ? WTC_FAIL_OTHER : said->failed;
	if (said->failed != WTC_OK)
		return TURN_DOUBT;

	/* an invalidation may have come meanwhile; or a tag could not be noted */
	if (wtc_chunk_recheck_tags(chunk) > 0 || said->rejected != WTC_OK)
		return forget(chunk, token, false, deadline_us, said, status);
	return TURN_DONE;
}

/*
 * Gets the marks of all keys: waits for those that are under way elsewhere,
 * holding none meanwhile.
 */
static WtcStatus
get_marks(WtcChunk *chunk, int owner, int64 deadline_us)
{
	long		wait_us = FIRST_WAIT_US;

	while (!wtc_chunk_mark(chunk, owner))
	{
		if (wtc_link_told_to_stop())
			return WTC_FAIL_CANCELLED;
		if (wtc_clock_us() >= deadline_us)
			return WTC_FAIL_TIMEOUT;
		pg_usleep(wait_us);
		wait_us = Min(wait_us * 2, LAST_WAIT_US);
	}
	return WTC_OK;
}

/*
 * Sees to it that the connection watches the token that holds; *token becomes
 * its number.  *strange: Redis has been found to hold another one.
 */
static Turn
get_token(int64 deadline_us, uint64 *token, bool *strange, WtcStatus *status)
{
	*token = wtc_token_await(deadline_us, wtc_link_told_to_stop);
	*status = WTC_OK;
	if (*token == 0)
		return TURN_FAILED;
	if (wtc_token_number(wtc_link.watched) == *token)
		return TURN_DONE;
	if (wtc_am_worker())
	{
		/* another WATCH would not tell what Redis has lost in between */
		wtc_token_doubt(*token);
		return TURN_FAILED;
	}
	*status = wtc_conn_watch(&wtc_link, deadline_us, wtc_link_told_to_stop);
	if (*status != WTC_OK)
		return TURN_FAILED;
	if (wtc_token_number(wtc_link.watched) == *token)
		return TURN_DONE;

	/*
	 * Redis has lost it, or holds another one: the worker has to look.  If it
	 * has, and is content with what it found, this is not the same Redis.
	 */
	if (wtc_token() != *token)
		return TURN_AGAIN;
	if (*strange)
	{
		*status = WTC_FAIL_CLOSED;
		return TURN_FAILED;
	}
	*strange = true;
	wtc_token_doubt(*token);
	return TURN_AGAIN;
}

/*
 * The request has been refused, nothing was done.  If Redis has a new token, it
 * is sent again.  If it has the one that the request was sent under, which is
 * never set twice, Redis has been put back to an earlier state: the worker has to
 * look, and the WATCH that stands behind the refused request must not hide that.
 */
static void
look_again(uint64 token)
{
	if (wtc_token_number(wtc_link.watched) != token)
		return;
	wtc_link.watched[0] = '\0';
	wtc_token_doubt(token);
}

/* One attempt, from the token to the outcome. */
static Turn
attempt(WtcChunk *chunk, int64 deadline_us, bool *strange, Exchange *said,
		WtcStatus *status)
{
	int			owner = wtc_my_owner();
	char		text[WTC_TOKEN_LEN];
	uint64		token;
	Turn		turn = get_token(deadline_us, &token, strange, status);

	if (turn != TURN_DONE)
		return turn;
	*status = get_marks(chunk, owner, deadline_us);
	if (*status != WTC_OK)
		return TURN_FAILED;

	/* a request in doubt closes Redis before it gives back its marks */
	if (wtc_token() != token)
		turn = TURN_AGAIN;
	else
	{
		wtc_chunk_note_sent(chunk);
		wtc_token_text(text, token);
		turn = send_chunk(chunk, text, deadline_us, said, status);
		if (turn == TURN_DOUBT)
			wtc_token_doubt(token);
		else if (turn == TURN_AGAIN)
			look_again(token);
	}
	wtc_chunk_unmark(chunk, owner);
	return turn;
}

static void
count_items(const WtcChunk *chunk)
{
	uint64		n[WTC_VERDICTS] = {0};
	uint64		stored = 0;

	for (int i = 0; i < chunk->nitems; i++)
	{
		const WtcItem *item = &chunk->items[i];
		bool		store = item->op.kind == WTC_OP_SET ||
		item->op.kind == WTC_OP_HASH;

		if (store || item->verdict == WTC_VERDICT_OVERTAKEN)
			n[item->verdict]++;
		stored += store && item->verdict == WTC_VERDICT_SEND;
	}
	wtc_count(WTC_STORED, stored);
	wtc_count(WTC_OVERTAKEN, n[WTC_VERDICT_OVERTAKEN]);
	wtc_count(WTC_DEGRADED, n[WTC_VERDICT_DELETE]);
}

/* Pushes the items that go into one request. */
static WtcPushOutcome
push_items(WtcChunk *chunk, int64 deadline_us, WtcStatus *status,
		   WtcStatus *rejected)
{
	Exchange	said = {.chunk = chunk};
	bool		strange = false;
	Turn		turn;

	do
	{
		turn = attempt(chunk, deadline_us, &strange, &said, status);
	} while (turn == TURN_AGAIN && wtc_clock_us() < deadline_us &&
			 !wtc_link_told_to_stop());

	/* the next transaction finds out anew where Redis is */
	if (strange && turn != TURN_DONE)
		wtc_link_hang_up();
	if (turn == TURN_AGAIN)
		*status = wtc_link_told_to_stop() ? WTC_FAIL_CANCELLED : WTC_FAIL_TIMEOUT;
	if (turn == TURN_FAILED && *status == WTC_OK)
		return WTC_PUSH_SKIPPED;	/* closed */
	if (turn != TURN_DONE)
		return WTC_PUSH_FAILED;
	if (said.draining > 0)
		*status = drain(chunk, deadline_us);
	if (*status != WTC_OK)
		return WTC_PUSH_FAILED;
	count_items(chunk);
	if (said.rejected == WTC_OK)
		return WTC_PUSH_DONE;
	*rejected = said.rejected;
	return WTC_PUSH_REJECTED;
}

WtcPushOutcome
wtc_chunk_push(WtcChunk *chunk, int64 deadline_us, WtcStatus *status,
			   WtcStatus *rejected)
{
	WtcPushOutcome worst = WTC_PUSH_DONE;

	*status = WTC_OK;
	do
	{
		WtcPushOutcome outcome = push_items(chunk, deadline_us, status,
											rejected);

		if (outcome == WTC_PUSH_FAILED || outcome == WTC_PUSH_SKIPPED)
			return outcome;
		if (outcome == WTC_PUSH_REJECTED)
			worst = outcome;
	} while (wtc_chunk_rest(chunk));
	return worst;
}

/* Fills the chunk from a batch; false: the batch is at its end. */
static bool
fill_chunk(WtcChunk *chunk, PushBatch *batch, XLogRecPtr commit)
{
	WtcCursor	cursor = batch->cursor;
	WtcOperation op;

	wtc_chunk_clear(chunk);
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op) &&
		   wtc_chunk_add(chunk, &op, batch->lsn, commit))
		batch->cursor = cursor;
	return chunk->nall > 0;
}

WtcPushOutcome
wtc_push_run(WtcPush *push, XLogRecPtr commit, int64 deadline_us)
{
	WtcPushOutcome worst = WTC_PUSH_DONE;
	WtcStatus	status = WTC_OK;
	WtcStatus	rejected = WTC_OK;

	if (push->unready != WTC_OK)
		return push->skipped ? WTC_PUSH_SKIPPED : WTC_PUSH_FAILED;
	if (wtc_debug_hold_push)
	{
		wtc_debug_hold();
		deadline_us = wtc_push_deadline();
	}
	for (PushBatch *batch = push->first; batch != NULL; batch = batch->next)
	{
		/* one at a time: a key is in a batch once only */
		while (fill_chunk(push->chunk, batch, commit))
		{
			WtcPushOutcome outcome = wtc_chunk_push(push->chunk, deadline_us,
													&status, &rejected);

			if (outcome == WTC_PUSH_SKIPPED)
				return outcome;
			if (outcome == WTC_PUSH_FAILED)
			{
				wtc_link_note(status);
				return outcome;
			}
			worst = Max(worst, outcome);
		}
	}
	wtc_link_note(rejected);
	if (worst == WTC_PUSH_DONE)
	{
		wtc_count(WTC_SETS, push->sets);
		wtc_count(WTC_DELETES, push->deletes);
		wtc_count(WTC_INVALIDATIONS, push->invalidations);
	}
	return worst;
}
