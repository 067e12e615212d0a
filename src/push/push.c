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

#include "guc.h"
#include "miscadmin.h"
#include "push/exchange.h"
#include "push/link.h"
#include "push/patterns.h"
#include "push/push.h"
#include "push/token.h"
#include "redis/words.h"
#include "shared/debug.h"
#include "shared/failures.h"
#include "shared/outbox.h"
#include "shared/rejected.h"
#include "shared/slots.h"
#include "utils/memutils.h"

/* how long to wait before a key that is under way is tried again, microseconds */
#define FIRST_WAIT_US	30
#define LAST_WAIT_US	1000

StaticAssertDecl(WTC_STATUS_COUNT <= WTC_FAIL_CLASSES,
				 "there must be a counter for every class of failure");
StaticAssertDecl(WTC_SAID_LEN <= WTC_WORDS_LEN,
				 "there must be room for what is said");

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
	int			shares;			/* of push_timeout, for what they hold */
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
	push->shares += 1 + len / WTC_BATCH_BYTES;

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
static WtcTurn
get_token(int64 deadline_us, uint64 *token, bool *strange, WtcStatus *status)
{
	*token = wtc_token_await(deadline_us, wtc_link_told_to_stop);
	*status = WTC_OK;
	if (*token == 0)
		return WTC_TURN_FAILED;
	if (wtc_token_number(wtc_link.watched) == *token)
		return WTC_TURN_DONE;
	if (wtc_am_worker())
	{
		/* another WATCH would not tell what Redis has lost in between */
		wtc_token_doubt(*token);
		return WTC_TURN_FAILED;
	}
	/* what Redis has lost before this WATCH is not known */
	wtc_patterns_forget();
	*status = wtc_conn_watch(&wtc_link, deadline_us, wtc_link_told_to_stop);
	if (*status != WTC_OK)
		return WTC_TURN_FAILED;
	if (wtc_token_number(wtc_link.watched) == *token)
		return WTC_TURN_DONE;

	/*
	 * Redis has lost it, or holds another one: the worker has to look.  If it
	 * has, and is content with what it found, this is not the same Redis.
	 */
	if (wtc_token() != *token)
		return WTC_TURN_AGAIN;
	if (*strange)
	{
		*status = WTC_FAIL_CLOSED;
		return WTC_TURN_FAILED;
	}
	*strange = true;
	wtc_token_doubt(*token);
	return WTC_TURN_AGAIN;
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
static WtcTurn
attempt(WtcChunk *chunk, int64 deadline_us, bool *strange, WtcSaid *said)
{
	int			owner = wtc_my_owner();
	char		text[WTC_TOKEN_LEN];
	uint64		token;
	WtcTurn		turn = get_token(deadline_us, &token, strange,
								 &said->status);

	if (turn != WTC_TURN_DONE)
		return turn;
	said->status = get_marks(chunk, owner, deadline_us);
	if (said->status != WTC_OK)
		return WTC_TURN_FAILED;

	/* a request in doubt closes Redis before it gives back its marks */
	if (wtc_token() != token)
		turn = WTC_TURN_AGAIN;
	else
	{
		wtc_chunk_note_sent(chunk);
		wtc_token_text(text, token);
		turn = wtc_exchange_chunk(chunk, text, deadline_us, said);
		if (wtc_chunk_is_unsure(chunk))
			wtc_read_again_ask();
		chunk->lost = turn == WTC_TURN_DOUBT;
		if (turn == WTC_TURN_DOUBT)
			wtc_token_doubt(token);
		else if (turn == WTC_TURN_AGAIN)
			look_again(token);
	}
	wtc_chunk_unmark(chunk, owner);
	return turn;
}

/* The item's key is to be listed as one that Redis does not take. */
static void
list_rejected(const WtcChunk *chunk, const WtcItem *item, WtcStatus why)
{
	WtcRejected rejected = {
		.hash = item->hash,.database = item->database,.status = why
	};

	wtc_rejected_text(rejected.key, sizeof(rejected.key), item->op.key.data,
					  item->op.key.len);
	strlcpy(rejected.words, chunk->words, sizeof(rejected.words));
	wtc_rejected_note(&rejected);
}

/* All is done: for the items that could not be stored, rejected says why. */
static void
count_items(const WtcChunk *chunk, WtcStatus rejected)
{
	uint64		n[WTC_VERDICTS] = {0};
	uint64		stored = 0;
	bool		listed = wtc_rejected_any();

	for (int i = 0; i < chunk->nitems; i++)
	{
		const WtcItem *item = &chunk->items[i];
		bool		store = wtc_operation_stores(&item->op);

		if (store && item->verdict == WTC_VERDICT_REJECTED)
			list_rejected(chunk, item, item->refused != WTC_OK ?
						  item->refused : rejected);
		else if (listed && item->op.kind != WTC_OP_INVALIDATE)
			wtc_rejected_clear(item->hash);
		if (store || item->verdict == WTC_VERDICT_OVERTAKEN)
			n[item->verdict]++;
		stored += store && item->verdict == WTC_VERDICT_SEND;
	}
	wtc_count(WTC_STORED, stored);
	wtc_count(WTC_OVERTAKEN, n[WTC_VERDICT_OVERTAKEN]);
	wtc_count(WTC_DEGRADED, n[WTC_VERDICT_DELETE] + n[WTC_VERDICT_UNSURE]);
}

/*
 * Pushes the items that go into one request.  WTC_TURN_FAILED with the status
 * WTC_OK: Redis is closed.
 */
static WtcTurn
push_items(WtcChunk *chunk, int64 deadline_us, WtcSaid *said)
{
	bool		strange = false;
	WtcTurn		turn;

	do
	{
		turn = attempt(chunk, deadline_us, &strange, said);
	} while (turn == WTC_TURN_AGAIN && wtc_clock_us() < deadline_us &&
			 !wtc_link_told_to_stop());

	/* the next transaction finds out anew where Redis is */
	if (strange && turn != WTC_TURN_DONE)
		wtc_link_hang_up();
	if (turn == WTC_TURN_AGAIN)
		said->status = wtc_link_told_to_stop() ? WTC_FAIL_CANCELLED :
			WTC_FAIL_TIMEOUT;
	if (turn == WTC_TURN_DONE && said->draining > 0)
		said->status = wtc_exchange_drain(chunk, deadline_us);
	if (turn == WTC_TURN_DONE && said->status != WTC_OK)
		return WTC_TURN_FAILED;
	return turn;
}

/*
 * Redis objects to something in the request.  Finds out to what, by halves: the
 * rest of it is to be pushed.  Of an item that is alone only its key is
 * deleted; false: if that is what was refused, nothing is done.
 */
static bool
narrow_down(WtcChunk *chunk, WtcStatus why)
{
	WtcItem    *item = &chunk->items[0];

	if (wtc_chunk_halve(chunk))
		return true;
	if (item->op.kind == WTC_OP_INVALIDATE || item->refused != WTC_OK)
		return false;
	item->refused = why;
	return true;
}

WtcPushOutcome
wtc_chunk_push(WtcChunk *chunk, int64 deadline_us, WtcStatus *status,
			   WtcStatus *rejected)
{
	WtcPushOutcome worst = WTC_PUSH_DONE;

	do
	{
		WtcSaid		said = {0};
		WtcTurn		turn;

		do
		{
			/* no commit waits for it, and it has to come to an end */
			if (wtc_am_worker())
				deadline_us = wtc_push_deadline();
			turn = push_items(chunk, deadline_us, &said);
		} while (turn == WTC_TURN_REFUSED &&
				 narrow_down(chunk, said.status));

		*status = said.status;
		if (turn == WTC_TURN_DONE)
		{
			count_items(chunk, said.rejected);
			if (wtc_chunk_is_unsure(chunk))
				worst = WTC_PUSH_UNSURE;
		}
		else if (turn == WTC_TURN_REFUSED)
		{
			list_rejected(chunk, &chunk->items[0], said.status);
			said.rejected = said.status;
			*status = WTC_OK;
		}
		else
			return turn == WTC_TURN_FAILED && said.status == WTC_OK ?
				WTC_PUSH_SKIPPED : WTC_PUSH_FAILED;
		if (chunk->items[0].refused != WTC_OK)
			said.rejected = chunk->items[0].refused;
		if (said.rejected != WTC_OK)
		{
			*rejected = said.rejected;
			worst = Max(worst, WTC_PUSH_REJECTED);
		}
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
		   wtc_chunk_add(chunk, &op, batch->lsn, commit, MyDatabaseId, NULL))
		batch->cursor = cursor;
	return chunk->nall > 0;
}

/*
 * Counts a push that has failed.  What is large may have been refused for that,
 * by closing the connection, and is not a sign that Redis is away.
 */
static void
note_failure(const WtcChunk *chunk, WtcStatus status)
{
	if (chunk->bytes > WTC_CHUNK_BYTES)
		wtc_count_failure(status, wtc_words_take(status));
	else
		wtc_link_note(status);
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
	deadline_us += (int64) (push->shares - 1) * wtc_push_timeout * 1000;
	for (PushBatch *batch = push->first; batch != NULL; batch = batch->next)
	{
		/* one at a time: a key is in a batch once only */
		while (fill_chunk(push->chunk, batch, commit))
		{
			WtcPushOutcome outcome;

			outcome = wtc_chunk_push(push->chunk,
									 Min(deadline_us, wtc_push_deadline()),
									 &status, &rejected);
			if (outcome == WTC_PUSH_SKIPPED)
				return outcome;
			if (outcome == WTC_PUSH_FAILED)
			{
				note_failure(push->chunk, status);
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
