/*-------------------------------------------------------------------------
 *
 * round.c
 *	  A round of the replay: what lies in WAL is read, compacted and pushed.
 *
 * - Of each key only the last operation is pushed, lest readers see its
 *	 history pass by.  So all of WAL up to the end is read before the first
 *	 push.
 * - What is committed may not be flushed yet where synchronous_commit is off:
 *	 WAL is flushed before anything is pushed (R14).
 * - Tags are invalidated before anything is stored, and nothing is stored
 *	 that was committed before one of its tags was invalidated, see order.h.
 *
 * Everything is in the caller's memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "common/hashfn.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "change/batch.h"
#include "change/message.h"
#include "push/push.h"
#include "shared/shmem.h"
#include "utils/timestamp.h"
#include "worker/order.h"
#include "worker/parked.h"
#include "worker/round.h"
#include "worker/wal.h"
#include "worker/worker.h"

/* batches are kept in memory between the two passes up to this size */
#define KEEP_BYTES		(16 * 1024 * 1024)
/* keys whose last position is known at a time; more are done in parts */
#define MAX_KEYS		(1024 * 1024)

/* The last version of a key, by hash. */
typedef struct LastEntry
{
	uint64		hash;
	XLogRecPtr	lsn;
	char		status;
} LastEntry;

#define SH_PREFIX last
#define SH_ELEMENT_TYPE LastEntry
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(tb, key) ((uint32) ((key) ^ ((key) >> 32)))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A batch to be pushed. */
typedef struct Piece
{
	WtcWalMessage message;
	int64		created_us;
	bool		blind;			/* nobody knows whether it committed */
	bool		parked;
} Piece;

/* The round under way. */
typedef struct Round
{
	WtcRound   *about;
	uint32		part;
	uint32		parts;
	bool		known;			/* in-progress transactions are parked already */
	bool		invalidations;	/* there are some */
	XLogRecPtr	committed_by;	/* what is pushed was committed before this */
	last_hash  *last;

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
	StringInfoData out;
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

	if (wtc_is_parked(piece->message.lsn))
		return false;
	fate = wtc_fate_of(piece->message.xid);
	if (fate == WTC_FATE_OPEN && !r->known)
		wtc_park(&piece->message, r->about->created_us);
	piece->created_us = r->about->created_us;
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
	r->reading = r->about->from != PG_UINT64_MAX && !r->all_kept;
	if (r->reading)
		wtc_wal_open(r->about->from, r->about->upto);
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
	piece->created_us = p->created_us;
	piece->blind = p->blind;
	piece->parked = true;
	return true;
}

/* A tag and a key of the same name are different things. */
static uint64
hash_name(WtcSpan name, bool tag)
{
	static uint64 seed = 0;

	/* whoever could choose keys that collide could keep others from Redis */
	if (seed == 0 && !pg_strong_random(&seed, sizeof(seed)))
		seed = (uint64) GetCurrentTimestamp();
	return hash_bytes_extended((const unsigned char *) name.data, name.len,
							   seed + (tag ? 1 : 0));
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
		LastEntry  *entry;
		bool		found;

		if ((invalidation || op.tags.count > 0) &&
			message->commit == InvalidXLogRecPtr)
			wtc_order_want(message->xid);
		r->invalidations |= invalidation;
		if (invalidation)
			continue;
		hash = hash_name(op.key, false);
		if (!in_part(r, hash))
			continue;
		entry = last_insert(r->last, hash, &found);
		if (!found || entry->lsn < message->lsn)
			entry->lsn = message->lsn;
		if (r->last->members > MAX_KEYS)
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
	last_reset(r->last);
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
	XLogRecPtr	from = Min(r->about->upto, r->committed_by);
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
	if (piece->message.commit != InvalidXLogRecPtr)
		return piece->message.commit;
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
		if (wtc_order_invalidated(hash_name(tag, true)) > commit)
			return true;
	}
	return false;
}

/* Writes an operation to out, if it is one of the last of its tag or key. */
static void
put_if_last(Round *r, const Piece *piece, XLogRecPtr commit,
			const WtcOperation *op)
{
	uint64		hash = hash_name(op->key, false);
	LastEntry  *entry;

	if (!in_part(r, hash))
		return;
	entry = last_lookup(r->last, hash);
	if (entry != NULL && entry->lsn > piece->message.lsn)
	{
		/* it may have taken the key out of tags, and does that still */
		if (op->removed.count > 0)
			wtc_put_deletion(&r->out, op->whole.data, op->whole.len);
	}
	else if (piece->blind || invalidated_later(op, commit))
		wtc_put_deletion(&r->out, op->whole.data, op->whole.len);
	else
		appendBinaryStringInfo(&r->out, op->whole.data, op->whole.len);
}

/*
 * A later replay may begin in between an invalidation's message and its commit:
 * at the mark of a backend whose push is under way.  It must know of the
 * invalidation all the same, or what that backend has stored under the tag
 * would count as newer, should Redis have lost all else that says so.
 */
static void
repeat_behind_commit(Round *r, const WtcWalMessage *message, XLogRecPtr commit)
{
	StringInfoData buf;

	if (message->commit != InvalidXLogRecPtr ||
		Min(wtc_inflight_min(),
			pg_atomic_read_u64(&wtc_shared->replay_from)) >= commit)
		return;
	initStringInfo(&buf);
	wtc_put_message_head(&buf, message->xid, message->timeline, message->lsn,
						 commit);
	appendBinaryStringInfo(&buf, r->out.data, r->out.len);
	r->about->repeated = wtc_log_named_message(wtc_message_prefix(), buf.data, buf.len);
	pfree(buf.data);
}

/*
 * What is to be pushed of a batch in this pass, if anything.
 */
static bool
hand_out(Round *r, const Piece *piece, WtcStreamBatch *batch)
{
	const WtcWalMessage *message = &piece->message;
	XLogRecPtr	commit = commit_of(r, piece, r->invalidating);
	WtcCursor	cursor;
	WtcOperation op;

	resetStringInfo(&r->out);
	appendStringInfoCharMacro(&r->out, WTC_BATCH_FORMAT);
	if (!wtc_batch_open(&cursor, message->batch, message->len))
		return false;
	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		if ((op.kind == WTC_OP_INVALIDATE) != r->invalidating)
			continue;
		if (!r->invalidating)
			put_if_last(r, piece, commit, &op);
		else if (wtc_order_invalidate(hash_name(op.key, true), commit))
			appendBinaryStringInfo(&r->out, op.whole.data, op.whole.len);
	}
	if (r->out.len <= 1)
		return false;
	if (r->invalidating)
		repeat_behind_commit(r, message, commit);

	batch->data = r->out.data;
	batch->len = r->out.len;
	batch->timeline = message->timeline;
	batch->lsn = message->lsn;
	/* the position is where the record ends */
	batch->commit_timeline = wtc_wal_timeline(commit - 1);
	batch->commit = commit;
	/* what was parked is not a place to begin again from */
	batch->start = piece->parked || r->invalidating ? InvalidXLogRecPtr :
		message->start;
	batch->created_us = piece->created_us;
	return true;
}

/* The next batch to be pushed; the callback of the stream. */
static bool
next_batch(void *arg, WtcStreamBatch *batch)
{
	Round	   *r = arg;
	Piece		piece;

	wtc_worker_check();
	while (next_piece(r, &piece))
	{
		if (hand_out(r, &piece, batch))
			return true;
	}
	return false;
}

/* One pass over the round, to Redis. */
static WtcReplayResult
push_pass(Round *r, bool invalidating, WtcStatus *status)
{
	WtcStream	stream = {.next = next_batch,.arg = r};

	r->invalidating = invalidating;
	rewind_round(r);
	*status = wtc_push_stream(&stream);
	wtc_wal_close();
	if (stream.stranger)
		return WTC_REPLAY_STRANGER;
	if (*status == WTC_OK)
		return WTC_REPLAY_DONE;

	/* what is in Redis need not be pushed again, if it was all of the keys */
	if (r->parts == 1)
		r->about->settled = stream.settled;
	return WTC_REPLAY_FAILED;
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

		while (!first_pass(r))
		{
			/* begin again; what has been pushed already does no harm */
			r->part = 0;
			r->parts *= 2;
		}
		r->known = true;

		/*
		 * Nobody may see what a crash would take back (R14).  And what is
		 * written from here on comes after all these commits.
		 */
		r->committed_by = GetXLogInsertRecPtr();
		wtc_wal_flush(r->committed_by);
		find_commits(r);

		/* the images of the same transactions stay */
		if (r->invalidations && !invalidated)
		{
			result = push_pass(r, true, status);
			if (result != WTC_REPLAY_DONE)
				return result;
			invalidated = true;
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
	Round		r = {.about = about};
	WtcReplayResult result;

	r.last = last_create(CurrentMemoryContext, 256, NULL);
	initStringInfo(&r.out);
	wtc_order_begin(CurrentMemoryContext);
	result = push_parts(&r, status);
	wtc_order_end();
	return result;
}
