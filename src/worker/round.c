/*-------------------------------------------------------------------------
 *
 * round.c
 *	  A round of the replay: what lies in WAL is read, compacted and pushed.
 *
 * - Of each key only the last operation is pushed, lest readers see its
 *	 history pass by.  So all of WAL up to the end is read before the first
 *	 push.  The key leaves all tags that it has left on the way.
 * - What is committed may not be flushed yet where synchronous_commit is off:
 *	 WAL is flushed before anything is pushed, so that a crash cannot take back
 *	 what has been seen in Redis.
 * - Tags are invalidated before anything is stored, and nothing is stored
 *	 that was committed before one of its tags was invalidated, see order.h.
 * - An invalidation that is pushed late deletes what has been stored under its
 *	 tag since, by backends that push at the same time.  So what is stored
 *	 afterwards is read up to the end of WAL as it is then.
 * - Backends push at the same time.  Where the version table has forgotten what
 *	 of theirs lies behind the end that has been read, an operation is left out:
 *	 a later round reads further, and knows.
 *
 * Everything is in the caller's memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "change/batch.h"
#include "change/message.h"
#include "port/atomics.h"
#include "push/push.h"
#include "redis/words.h"
#include "shared/failures.h"
#include "shared/holds.h"
#include "shared/outbox.h"
#include "shared/rounds.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "utils/memutils.h"
#include "worker/blame.h"
#include "worker/check.h"
#include "worker/last.h"
#include "worker/open.h"
#include "worker/order.h"
#include "worker/parked.h"
#include "worker/round.h"
#include "worker/wal.h"
#include "worker/worker.h"

/* batches are kept in memory between the two passes up to this size */
#define KEEP_BYTES		(16 * 1024 * 1024)

/* A batch to be pushed. */
typedef struct Piece
{
	WtcWalMessage message;
	bool		blind;			/* it is not known whether it committed */
	bool		parked;
} Piece;

/* The round under way. */
typedef struct Round
{
	WtcRound   *about;
	XLogRecPtr	from;			/* WAL to read, like about's at first */
	XLogRecPtr	upto;
	uint32		part;
	uint32		parts;
	bool		parked;			/* in-progress transactions are */
	bool		invalidations;	/* there are some */
	bool		journal;		/* what is stored is noted */
	XLogRecPtr	committed_by;	/* what is pushed was committed before this */
	XLogRecPtr	known;			/* the fate of all that was written up to here
								 * is known */
	XLogRecPtr	known_tags;		/* the same of invalidations */
	bool		unsure;			/* something was left out */

	/* what has been kept of what was read */
	bool		all_kept;
	Size		kept_bytes;
	Piece	   *kept;
	int			nkept;
	int			kept_room;

	/* where a pass stands */
	bool		invalidating;	/* it is for the invalidations */
	bool		reading;
	int			kept_pos;
	int			parked_pos;

	/* what is about to be pushed */
	WtcChunk   *chunk;
	MemoryContext chunk_cxt;	/* copies of its operations */
	StringInfoData deletion;
	XLogRecPtr	begun;			/* message of the last operation gathered, if
								 * it is a place to begin again from */

	/* invalidations that this pass has gathered */
	XLogRecPtr	first_message;
	XLogRecPtr	first_commit;
	XLogRecPtr	last_commit;
} Round;

/* Makes a copy in memory, as long as there is room for all of them. */
static void
keep(Round *r, const Piece *piece)
{
	Piece	   *k;
	char	   *copy;

	r->kept_bytes += sizeof(Piece) + piece->message.len;
	if (r->kept_bytes > KEEP_BYTES)
		return;
	if (r->nkept >= r->kept_room)
	{
		r->kept_room = Max(64, r->kept_room * 2);
		r->kept = r->kept == NULL ? palloc(sizeof(Piece) * r->kept_room) :
			repalloc_huge(r->kept, sizeof(Piece) * r->kept_room);
	}
	copy = palloc(piece->message.len);
	memcpy(copy, piece->message.batch, piece->message.len);
	k = &r->kept[r->nkept++];
	*k = *piece;
	k->message.batch = copy;
}

/*
 * Is the message one to push?  In the first pass, what is not over is parked;
 * later it is known by that.
 */
static bool
wanted(Round *r, Piece *piece)
{
	WtcFate		fate;

	if (wtc_is_parked(&piece->message))
		return false;
	fate = wtc_fate_of(piece->message.xid);
	if (fate == WTC_FATE_OPEN && !r->parked)
		wtc_park(&piece->message);
	piece->blind = fate == WTC_FATE_UNKNOWN;
	piece->parked = false;
	return fate == WTC_FATE_COMMITTED || fate == WTC_FATE_UNKNOWN;
}

/* Begins to go over all that the round is about. */
static void
rewind_round(Round *r)
{
	wtc_wal_close();
	r->kept_pos = r->parked_pos = 0;
	r->reading = r->from != PG_UINT64_MAX && !r->all_kept;
	if (r->reading)
		wtc_wal_open(r->from, r->upto);
}

/*
 * The next batch to push, which stays until the next call.  What was parked
 * comes last: it has been committed after most of the others.
 */
static bool
next_piece(Round *r, Piece *piece)
{
	const WtcParked *p;

	if (r->all_kept && r->kept_pos < r->nkept)
	{
		*piece = r->kept[r->kept_pos++];
		return true;
	}
	while (r->reading && wtc_wal_next(&piece->message))
	{
		if (wanted(r, piece))
			return true;
	}
	r->reading = false;
	wtc_wal_close();

	p = wtc_parked_due(&r->parked_pos);
	if (p == NULL)
		return false;
	wtc_parked_reopen(p, &piece->message);
	piece->blind = p->blind;
	piece->parked = true;
	return true;
}

/* Is the operation's key one of those that are done now? */
static bool
in_part(const Round *r, uint64 hash)
{
	return r->parts == 1 || hash % r->parts == r->part;
}

/* Notes the positions of the batch's keys; false: they are too many. */
static bool
note_keys(Round *r, const Piece *piece)
{
	const WtcWalMessage *message = &piece->message;
	WtcCursor	cursor;
	WtcOperation op;

	if (!wtc_batch_open(&cursor, message->batch, message->len))
		return true;
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		bool		invalidation = op.kind == WTC_OP_INVALIDATE;
		uint64		hash;

		/* the journal wants the commit of everything that is stored */
		if (invalidation || op.tags.count > 0 || r->journal)
			wtc_order_want(message->xid);
		r->invalidations |= invalidation;
		if (invalidation)
			continue;
		hash = wtc_order_hash(op.key, false);
		if (in_part(r, hash) && !wtc_last_note(hash, &op, message->lsn))
			return false;
	}
	return true;
}

/*
 * The first pass: which batches, and the last position of each key.  False: a
 * part has too many keys.
 */
static bool
first_pass(Round *r)
{
	Piece		piece;
	bool		fits = true;

	wtc_fate_horizon();
	wtc_last_reset();
	r->all_kept = false;
	r->nkept = 0;
	r->kept_bytes = 0;
	rewind_round(r);
	while (fits && next_piece(r, &piece))
	{
		fits = note_keys(r, &piece);
		if (!piece.parked && r->parts == 1)
			keep(r, &piece);
	}
	wtc_wal_close();
	r->all_kept = r->parts == 1 && r->kept_bytes <= KEEP_BYTES;
	return fits;
}

/*
 * All that is to be pushed has been committed, but not all commits were among
 * what has been read: they are behind it, or, of what was parked, anywhere.
 */
static void
find_commits(Round *r)
{
	XLogRecPtr	from = Min(r->upto, r->committed_by);
	const WtcParked *p;
	WtcWalMessage message;
	int			pos = 0;

	if (!wtc_order_incomplete())
		return;
	while ((p = wtc_parked_due(&pos)) != NULL)
		from = Min(from, wtc_wal_exists(p->open_at) ? p->open_at : p->start);
	wtc_wal_open(from, r->committed_by);
	while (wtc_order_incomplete() && wtc_wal_next(&message))
		;
	wtc_wal_close();
}

/*
 * Where the batch counts as committed.  If that cannot be known, an
 * invalidation comes after everything and an image before.
 */
static XLogRecPtr
commit_of(const Round *r, const Piece *piece, bool invalidation)
{
	return wtc_order_commit(piece->message.xid, invalidation ?
							r->committed_by : piece->message.lsn);
}

/*
 * Was one of the operation's tags invalidated by a later transaction?  Then
 * its image must not be seen.
 */
static bool
invalidated_later(const WtcOperation *op, XLogRecPtr commit)
{
	WtcCursor	cursor = wtc_list_cursor(&op->tags);
	WtcSpan		tag;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &tag))
	{
		if (wtc_order_invalidated(wtc_order_hash(tag, true)) > commit)
			return true;
	}
	return false;
}

/*
 * What is known of an operation.  If what is in progress concerns it, that may not
 * change for long; nor does it where WAL is gone that would tell.
 */
static WtcKnown
known_of(const Round *r, const WtcOperation *op, XLogRecPtr version)
{
	WtcKnown	known = {.unsure = WTC_VERDICT_DELETE};

	if (r->about->last_try || wtc_open_concerns(op) ||
		(r->about->again && version < r->from))
		return known;
	known.unsure = WTC_VERDICT_LEFT_OUT;
	/* nothing is known of what lies between an older one and the round */
	if (version >= r->from)
		known.key = r->known;
	known.tags = r->known_tags;
	return known;
}

/* --- gathering operations, and pushing them --- */

static WtcReplayResult
push_gathered(Round *r, WtcStatus *status)
{
	WtcStatus	rejected = WTC_OK;
	int			n = r->chunk->nall;
	WtcPushOutcome outcome;

	if (n == 0)
		return WTC_REPLAY_DONE;
	wtc_worker_check();
	outcome = wtc_chunk_push(r->chunk, wtc_push_deadline(), status, &rejected);
	if (outcome == WTC_PUSH_FAILED)
		wtc_blame_lost(r->chunk, *status);
	wtc_chunk_clear(r->chunk);
	MemoryContextReset(r->chunk_cxt);
	if (rejected != WTC_OK)
		wtc_count_failure(rejected, wtc_words_take(rejected));
	if (outcome == WTC_PUSH_SKIPPED)
		return WTC_REPLAY_CLOSED;
	if (outcome == WTC_PUSH_FAILED)
		return WTC_REPLAY_FAILED;
	r->unsure |= outcome == WTC_PUSH_UNSURE;

	/* what is in Redis need not be pushed again, if it was all of the keys */
	if (r->parts == 1 && r->begun != InvalidXLogRecPtr && !r->unsure)
		r->about->settled = r->begun;
	wtc_rounds_note_progress();
	wtc_count(WTC_REPLAYED, n);
	wtc_count(WTC_REPLAY_BATCHES, 1);
	return WTC_REPLAY_DONE;
}

/*
 * Adds a copy of an operation of a message to what is about to be pushed.
 */
static WtcReplayResult
gather(Round *r, WtcSpan whole, const WtcWalMessage *message,
	   XLogRecPtr commit, WtcStatus *status)
{
	char	   *copy = MemoryContextAllocHuge(r->chunk_cxt, whole.len);
	WtcCursor	cursor = {copy, copy + whole.len};
	WtcKnown	known;
	WtcOperation op;
	WtcReplayResult result;

	memcpy(copy, whole.data, whole.len);
	if (!wtc_get_operation(&cursor, &op))
		elog(ERROR, "operation in WAL is malformed");
	known = known_of(r, &op, message->lsn);
	wtc_chunk_reserve_operation(r->chunk, &op);
	if (r->chunk->nall < wtc_blame_share() &&
		wtc_chunk_add(r->chunk, &op, message->lsn, commit, message->database,
					  &known))
	{
		wtc_blame_look(r->chunk);
		return WTC_REPLAY_DONE;
	}
	/* the copy goes with the others */
	result = push_gathered(r, status);
	return result != WTC_REPLAY_DONE ? result :
		gather(r, whole, message, commit, status);
}

/* Gathers an operation, if it is the last one of its key. */
static WtcReplayResult
gather_if_last(Round *r, const Piece *piece, XLogRecPtr commit,
			   const WtcOperation *op, WtcStatus *status)
{
	uint64		hash = wtc_order_hash(op->key, false);
	WtcSpan		whole;

	if (!in_part(r, hash) ||
		!wtc_last_get(hash, op, piece->message.lsn, &whole))
		return WTC_REPLAY_DONE;
	if (piece->blind || invalidated_later(op, commit))
	{
		resetStringInfo(&r->deletion);
		wtc_put_deletion(&r->deletion, whole.data, whole.len);
		whole.data = r->deletion.data;
		whole.len = r->deletion.len;
	}
	return gather(r, whole, &piece->message, commit, status);
}

/* Gathers what is to be pushed of a batch in this pass. */
static WtcReplayResult
gather_piece(Round *r, const Piece *piece, WtcStatus *status)
{
	const WtcWalMessage *message = &piece->message;
	XLogRecPtr	commit = commit_of(r, piece, r->invalidating);
	WtcReplayResult result = WTC_REPLAY_DONE;
	WtcCursor	cursor;
	WtcOperation op;

	/* what was parked is not a place to begin again from */
	r->begun = piece->parked || r->invalidating ? InvalidXLogRecPtr :
		message->start;
	if (!wtc_batch_open(&cursor, message->batch, message->len))
		return WTC_REPLAY_DONE;
	while (result == WTC_REPLAY_DONE && !wtc_cursor_done(&cursor) &&
		   wtc_get_operation(&cursor, &op))
	{
		if ((op.kind == WTC_OP_INVALIDATE) != r->invalidating)
			continue;
		if (!r->invalidating)
			result = gather_if_last(r, piece, commit, &op, status);
		else
		{
			r->first_message = Min(r->first_message, message->start);
			r->first_commit = Min(r->first_commit, commit);
			r->last_commit = Max(r->last_commit, commit);
			if (wtc_order_invalidate(wtc_order_hash(op.key, true), commit))
				result = gather(r, op.whole, message, commit, status);
		}
	}
	return result;
}

/* One pass over the round, to Redis. */
static WtcReplayResult
push_pass(Round *r, bool invalidating, WtcStatus *status)
{
	WtcReplayResult result = WTC_REPLAY_DONE;
	Piece		piece;

	r->invalidating = invalidating;
	r->begun = InvalidXLogRecPtr;
	r->first_message = r->first_commit = PG_UINT64_MAX;
	r->last_commit = InvalidXLogRecPtr;
	wtc_chunk_clear(r->chunk);
	MemoryContextReset(r->chunk_cxt);
	rewind_round(r);
	while (result == WTC_REPLAY_DONE && next_piece(r, &piece))
		result = gather_piece(r, &piece, status);
	if (result == WTC_REPLAY_DONE)
		result = push_gathered(r, status);
	wtc_wal_close();
	if (result == WTC_REPLAY_DONE && r->last_commit != InvalidXLogRecPtr)
		wtc_hold(r->first_message, r->last_commit);
	return result;
}

/*
 * Up to where the invalidations are known that were committed after what is to be
 * stored.  Their messages may stand before what has been read: then they are under
 * way, or they hold the watermark back.  Before the watermark is only what a cold
 * start has killed, or written again.
 */
static XLogRecPtr
known_tags(const Round *r)
{
	XLogRecPtr	message = wtc_inflight_min();

	pg_read_barrier();
	message = Min(message, wtc_holds_min());
	message = Max(message, wtc_watermark());
	return message >= r->from ? r->known : InvalidXLogRecPtr;
}

/*
 * Reads a part: which batches there are, and which operation is the last of each
 * key.
 */
static void
read_part(Round *r)
{
	while (!first_pass(r))
	{
		/* begin again; what has been pushed already does no harm */
		r->part = 0;
		r->parts *= 2;
	}
	r->parked = true;
	if (r->from == PG_UINT64_MAX)
		r->known = InvalidXLogRecPtr;
	else if (wtc_open_read(r->about->again))
		r->known = r->upto;
	else
		r->known = Min(r->upto, wtc_parked_open_version() - 1);

	/* what is written from here on comes after all these commits */
	r->committed_by = GetXLogInsertRecPtr();
	wtc_wal_flush(r->committed_by);
	find_commits(r);
}

/*
 * What has been stored since an invalidation was committed, and before it was
 * pushed, has been deleted by it.  So that is read as well, and stored again.
 */
static void
read_what_was_deleted(Round *r)
{
	if (wtc_wal_exists(r->first_commit))
		r->from = Min(r->from, r->first_commit);
	if (r->from == PG_UINT64_MAX)
		return;
	r->upto = GetXLogInsertRecPtr();
	wtc_wal_flush(r->upto);
	r->parked = false;
	read_part(r);
}

/* Part by part, as the keys fit into memory. */
static WtcReplayResult
push_parts(Round *r, WtcStatus *status)
{
	bool		invalidated = false;

	r->parts = 1;
	for (r->part = 0; r->part < r->parts; r->part++)
	{
		WtcReplayResult result;

		read_part(r);
		if (!invalidated)
			r->known_tags = known_tags(r);
		if (r->invalidations && !invalidated)
		{
			result = push_pass(r, true, status);
			if (result != WTC_REPLAY_DONE)
				return result;
			invalidated = true;
			read_what_was_deleted(r);
		}
		result = push_pass(r, false, status);
		if (result != WTC_REPLAY_DONE)
			return result;
	}
	return WTC_REPLAY_DONE;
}

WtcReplayResult
wtc_round_push(WtcRound *about, WtcStatus *status)
{
	Round		r = {.about = about,.from = about->from,.upto = about->upto};
	WtcReplayResult result;

	r.journal = wtc_journaling();
	r.chunk = wtc_chunk_create();
	r.chunk_cxt = AllocSetContextCreate(CurrentMemoryContext,
										"wtcache replay chunk",
										ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&r.deletion);
	wtc_last_begin(CurrentMemoryContext);
	wtc_order_begin(CurrentMemoryContext);
	wtc_open_begin(CurrentMemoryContext);
	result = push_parts(&r, status);
	wtc_order_end();
	if (result == WTC_REPLAY_DONE)
		wtc_blame_none();
	return result == WTC_REPLAY_DONE && r.unsure ? WTC_REPLAY_UNSURE : result;
}
