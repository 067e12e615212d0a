/*-------------------------------------------------------------------------
 *
 * replay.c
 *	  Pushing what backends have not pushed, from WAL.
 *
 * A round reads WAL from where something may be missing up to its end, and
 * pushes what is committed, see round.c.  A transaction is asked first whether
 * it is in progress and only then whether it committed: it must not be seen in
 * Redis before it is visible in tables.  In progress, prepared included: its
 * batch is parked, and looked at again in later rounds.
 *
 * What has been read, from first up to next, is either settled or parked.  So
 * when backends name a position in between there is nothing to read again,
 * unless they ask for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "change/batch.h"
#include "guc.h"
#include "port/atomics.h"
#include "push/push.h"
#include "push/versions.h"
#include "shared/outbox.h"
#include "shared/rounds.h"
#include "shared/state.h"
#include "utils/memutils.h"
#include "worker/lag.h"
#include "worker/order.h"
#include "worker/parked.h"
#include "worker/replay.h"
#include "worker/round.h"
#include "worker/slot.h"
#include "worker/wal.h"
#include "worker/worker.h"

/* what a round makes */
static MemoryContext round_cxt = NULL;

/* what has been read */
static XLogRecPtr first = InvalidXLogRecPtr;
static XLogRecPtr next = InvalidXLogRecPtr;

/* WAL that has to be replayed is gone; or it is there, but not readable: why */
static bool gap = false;
static WtcColdReason damage = WTC_COLD_NONE;

/* batches of backends from before this are gone when they are handed over */
static XLogRecPtr stranded_before = InvalidXLogRecPtr;

/* wtc_replay_rescue() has seen all there was */
static bool rescued = false;

/* replaying is what wtc_replay_begin() took for the worst */
static bool provisional = false;

/* so many rounds in a row have left something out; more than these must not */
#define MOST_TRIES	100
static int	tries = 0;

/* how far wtc_replay_skim() has seen nothing */
static XLogRecPtr skimmed = InvalidXLogRecPtr;

/* --- taking over from the backends --- */

/*
 * Noted in replaying before it is taken out of replay_from: at every moment
 * one of the two names the batch.  Everything before the watermark is in Redis.
 */
static void
take_over(void)
{
	uint64		from = wtc_replay_from();
	uint64		mark = wtc_watermark();

	while (from != PG_UINT64_MAX)
	{
		gap |= from < stranded_before;
		wtc_set_replaying(Min(wtc_replaying(), Max(from, mark)));
		if (wtc_replay_from_take(&from))
			break;
	}
	/* asked before the batch was left; one that is left later is read anyway */
	if (wtc_read_again_take())
		first = next = InvalidXLogRecPtr;
}

bool
wtc_replay_wanted(void)
{
	return wtc_replay_from() != PG_UINT64_MAX ||
		wtc_replaying() != PG_UINT64_MAX;
}

/* What the round has read joins what had been read, where they meet. */
static void
round_over(const WtcRound *r)
{
	/* first what is parked, then what is not to be replayed any more */
	wtc_parked_settle();
	pg_write_barrier();
	if (r->from != PG_UINT64_MAX)
	{
		if (first == InvalidXLogRecPtr || r->from < first || r->from > next)
			first = r->from;
		next = r->upto;
		wtc_set_replaying(PG_UINT64_MAX);
	}
}

/*
 * A backlog that backends outrun for too long is not read over and over, nor is
 * more than half of the WAL that may be kept.
 */
static bool
is_late(XLogRecPtr from)
{
	from = Min(from, wtc_watermark());
	return tries >= MOST_TRIES || (wtc_max_wal_retained >= 0 &&
								   GetXLogInsertRecPtr() > from +
								   (uint64) wtc_max_wal_retained * 1024 * 1024 / 2);
}

/*
 * The next round reads from the watermark on: there is no invalidation before it
 * that what was left out could have missed.
 */
static void
come_again(const WtcRound *r)
{
	XLogRecPtr	mark = wtc_watermark();

	first = next = skimmed = InvalidXLogRecPtr;
	if (mark != InvalidXLogRecPtr && wtc_wal_exists(mark))
		wtc_set_replaying(Min(Min(r->from, wtc_replaying()), mark));
	wtc_parked_publish();
}

static WtcReplayResult
run_round(WtcStatus *status)
{
	WtcRound	r = {.from = PG_UINT64_MAX,.upto = PG_UINT64_MAX};
	bool		any;
	WtcReplayResult result = WTC_REPLAY_DONE;

	wtc_fate_horizon();
	any = wtc_parked_examine(&gap);
	r.from = wtc_replaying();
	if (r.from != PG_UINT64_MAX)
	{
		/* what backends have left has been written by now; read all of it */
		r.upto = GetXLogInsertRecPtr();
		wtc_wal_flush(r.upto);
		if (r.from >= first && r.from <= next && first != InvalidXLogRecPtr)
			r.from = next;
		if (!wtc_wal_exists(r.from))
		{
			gap = true;
			return WTC_REPLAY_GAP;
		}
		any = true;
	}
	r.again = tries > 0;
	r.last_try = is_late(r.from);
	if (any)
		result = wtc_round_push(&r, status);
	tries = result == WTC_REPLAY_UNSURE ? tries + 1 : 0;
	if (result == WTC_REPLAY_DONE)
		round_over(&r);
	else if (result == WTC_REPLAY_UNSURE)
		come_again(&r);
	else
	{
		if (result == WTC_REPLAY_FAILED && r.settled > r.from)
		{
			wtc_set_replaying(r.settled);
			first = next = InvalidXLogRecPtr;
		}
		wtc_parked_publish();
	}
	return result;
}

WtcReplayResult
wtc_replay_round(WtcStatus *status)
{
	uint64		number = wtc_round_number();
	MemoryContext old;
	WtcReplayResult result;

	*status = WTC_OK;
	take_over();
	old = MemoryContextSwitchTo(round_cxt);
	result = run_round(status);
	MemoryContextSwitchTo(old);
	MemoryContextReset(round_cxt);
	if (result == WTC_REPLAY_DONE)
	{
		wtc_lag_note(wtc_replay_skimmed());
		wtc_round_over(number);
	}
	return result;
}

void
wtc_replay_skim(void)
{
	XLogRecPtr	upto = GetXLogInsertRecPtr();
	XLogRecPtr	from = wtc_replaying();
	WtcWalMessage message;
	bool		any;

	if (from == PG_UINT64_MAX || from == InvalidXLogRecPtr ||
		wtc_replay_from() != PG_UINT64_MAX ||
		skimmed == PG_UINT64_MAX || !wtc_wal_exists(Max(from, skimmed)))
		return;
	wtc_wal_flush(upto);
	wtc_wal_open(Max(from, skimmed), upto);
	any = wtc_wal_next(&message);
	wtc_wal_close();
	skimmed = any ? PG_UINT64_MAX : upto;
	if (!any)
		wtc_set_replaying(upto);
}

bool
wtc_replay_skimmed(void)
{
	return skimmed != InvalidXLogRecPtr && skimmed != PG_UINT64_MAX &&
		skimmed == wtc_replaying();
}

void
wtc_replay_begin(XLogRecPtr start)
{
	if (round_cxt == NULL)
		round_cxt = AllocSetContextCreate(TopMemoryContext,
										  "wtcache replay round",
										  ALLOCSET_DEFAULT_SIZES);
	wtc_set_replaying(start);
	wtc_parked_publish();
	provisional = true;
}

void
wtc_replay_restart(XLogRecPtr start)
{
	first = next = skimmed = InvalidXLogRecPtr;
	wtc_set_replaying(provisional ? start : Min(wtc_replaying(), start));
	provisional = false;
	/* they will be found again, and be as new as all that is read then */
	wtc_parked_restart(start);
}

void
wtc_replay_forget(XLogRecPtr lsn, bool stranded)
{
	wtc_parked_forget(lsn, rescued);
	stranded_before = stranded ? lsn : InvalidXLogRecPtr;
	gap = provisional = false;
	damage = WTC_COLD_NONE;
	first = next = skimmed = InvalidXLogRecPtr;
	wtc_set_replaying(lsn);
}

/* Invalidations come first in a batch. */
static bool
invalidates(const WtcWalMessage *message)
{
	WtcCursor	cursor;
	WtcOperation op;

	return wtc_batch_open(&cursor, message->batch, message->len) &&
		wtc_get_operation(&cursor, &op) && op.kind == WTC_OP_INVALIDATE;
}

/*
 * Parks what is open in WAL up to lsn.  Returns whether tags may have been
 * invalidated there by a transaction that is over.
 */
static bool
park_open(XLogRecPtr from, XLogRecPtr lsn)
{
	WtcWalMessage message;
	bool		invalidated = false;

	wtc_wal_flush(lsn);
	wtc_wal_open(from, lsn);
	while (wtc_wal_next(&message))
	{
		if (wtc_is_parked(&message))
			continue;
		if (wtc_fate_of(message.xid) == WTC_FATE_OPEN)
			wtc_park(&message);
		else
			invalidated |= invalidates(&message);
	}
	wtc_wal_close();
	return invalidated;
}

/*
 * A dead invalidation may have been committed later than a store that is still
 * to be pushed.  The replay will not read it, so the version table takes its
 * place.
 */
void
wtc_replay_rescue(XLogRecPtr lsn)
{
	uint64		from = Min(wtc_replay_from(), wtc_replaying());
	bool		missed = false;
	bool		invalidated;

	/* what is over by now is dead, and must not come back */
	wtc_fate_horizon();
	invalidated = wtc_parked_examine(&missed);
	from = Max(from, wtc_slot_position());
	rescued = damage == WTC_COLD_NONE && (from >= lsn || wtc_wal_exists(from));
	if (!rescued)
		invalidated = true;
	else if (from < lsn)
		invalidated |= park_open(from, lsn);
	if (invalidated)
		wtc_versions_invalidate_all(GetXLogInsertRecPtr());
	if (damage == WTC_COLD_NONE)
		wtc_parked_carry(lsn);
}

WtcColdReason
wtc_replay_gap(void)
{
	return damage != WTC_COLD_NONE ? damage :
		gap ? WTC_COLD_GAP : WTC_COLD_NONE;
}

void
wtc_replay_reset(WtcColdReason unreadable)
{
	if (unreadable != WTC_COLD_NONE)
		damage = unreadable;
	wtc_wal_close();
	wtc_order_end();
	if (round_cxt == NULL)
		return;					/* not begun */
	MemoryContextReset(round_cxt);
	wtc_parked_publish();
}
