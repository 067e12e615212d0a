/*-------------------------------------------------------------------------
 *
 * xact.c
 *	  The way of a transaction's changes through its commit.
 *
 * PRE_COMMIT	connect, build documents, encode the batch, publish the in-flight mark, write
 *				the batch to WAL, set aside what the push needs.  Errors are
 *				legal: the transaction aborts.
 * COMMIT		the commit record is written and the transaction visible.
 *				Only notes that; PREPARE never comes here, and so what runs
 *				below runs for commits only.
 * AFTER_LOCKS	the push.  Locks are gone, so a session that waited for one of
 *				these rows does not wait for Redis; the client has no answer
 *				yet.
 *
 * Three kinds of transactions leave the push to the worker, which reads the
 * messages in WAL: one in async mode, one that has been prepared, and one that
 * was too large for wtcache.batch_memory and has written messages on its way.
 * After the last kind, and after COMMIT PREPARED, the backend waits for the
 * worker in AFTER_LOCKS, so that it reads its own write there as well.
 *
 * From COMMIT on nothing may raise an error (it would be a PANIC), allocate
 * with palloc, or look at a catalog; interrupts are held off.  There is no
 * PG_TRY: it would not help, and errfinish() ends the holding off of interrupts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "change/key.h"
#include "change/message.h"
#include "push/link.h"
#include "push/push.h"
#include "redis/conn.h"
#include "shared/breaker.h"
#include "shared/outbox.h"
#include "shared/rounds.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "shared/stats.h"
#include "shared/waits.h"
#include "shared/wake.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "txn/pending.h"
#include "txn/touched.h"
#include "txn/twophase.h"
#include "txn/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* how often to look whether the worker is done, in microseconds */
#define POLL_US		1000

/* Which process takes the changes to Redis. */
typedef enum Carrier
{
	CARRIER_SELF,				/* this backend, before COMMIT returns */
	CARRIER_WORKER,				/* the worker, at some time */
	CARRIER_WORKER_AWAITED		/* the worker, and COMMIT waits for it */
} Carrier;

/* The transaction, as far as its end is concerned. */
typedef struct Xact
{
	Carrier		carrier;
	bool		marked;			/* the in-flight mark is published */
	bool		spilled;		/* messages were written on the way */
	bool		resolved;		/* COMMIT PREPARED has been run */
	bool		leaves;			/* a database is without wtcache from here on */
	bool		committed;		/* there is something to do after the commit */
	uint64		messages;		/* how many have been written */
	MemoryContext batch_cxt;	/* of what follows, or NULL */
	WtcPush    *push;			/* NULL: nothing to push by this backend */
} Xact;

static Xact xact;

/* in document/; what is pending is not complete without them */
static void (*build_documents) (bool preparing) = NULL;
static void (*documents_written) (void) = NULL;

/* of the last transaction that had a push; outlives it */
static WtcPushOutcome last_outcome = WTC_PUSH_DONE;

static void
forget(void)
{
	memset(&xact, 0, sizeof(xact));
}

static bool
leave(void)
{
	return xact.carrier != CARRIER_SELF;
}

/*
 * To be called before a message is written.  There is one mark, at or before
 * the first message, for all those of a transaction.
 */
static void
mark_in_flight(void)
{
	if (!xact.marked)
		wtc_inflight_publish(GetXLogInsertRecPtr());
	if (!wtc_slot_wanted())
	{
		wtc_slot_set_wanted(true);
		wtc_worker_wake();
	}
	xact.marked = true;
	xact.messages++;
}

/* Writes a message to WAL; returns the end of its record. */
static XLogRecPtr
write_message(const WtcMessage *message)
{
	StringInfoData buf;
	XLogRecPtr	end;

	initStringInfo(&buf);
	wtc_put_message(&buf, message);
	wtc_sign_message(buf.data, buf.len, GetCurrentFullTransactionId());
	if (TransactionIdIsValid(message->xid))
		end = wtc_log_named_message(WTC_MESSAGE_PREFIX, buf.data, buf.len);
	else
		end = wtc_log_message(WTC_MESSAGE_PREFIX, buf.data, buf.len);
	pfree(buf.data);
	return end;
}

/*
 * Writes a batch of a transaction that is too large.  No push is prepared
 * and nothing is kept.  The message names its version, because it can be read
 * and copied while the transaction goes on; a copy that took the end of its own
 * record for that would be the newest.
 */
static void
spill(TransactionId xid, char *data, size_t len)
{
	WtcMessage	message = {
		.xid = xid,
		.batch = {data, (uint32) len}
	};

	CHECK_FOR_INTERRUPTS();
	mark_in_flight();
	xact.spilled = true;
	wtc_count(WTC_SPILL_BATCHES, 1);
	message.lsn = GetXLogInsertRecPtr();
	(void) write_message(&message);
	pfree(data);
}

/*
 * Writes a batch to WAL and prepares its push.  The version of everything in
 * it is the end of its message: a transaction that changes the same rows later
 * can do so only once this one has ended, and so takes a later one.  A giant
 * transaction has several, and a key is in one of them only.
 */
static void
emit(TransactionId xid, char *data, size_t len)
{
	WtcMessage	message = {.batch = {data, (uint32) len}};
	XLogRecPtr	lsn;

	mark_in_flight();
	lsn = write_message(&message);
	if (leave())
	{
		pfree(data);
		return;
	}
	if (xact.push == NULL)
		xact.push = wtc_push_create();
	wtc_push_add(xact.push, data, len, lsn);
}

/*
 * What has to be done before the first batch at the end of a transaction.
 */
static void
prepare_batches(void)
{
	if (xact.batch_cxt != NULL)
		return;
	if (!leave())
		wtc_link_connect();
	xact.batch_cxt = AllocSetContextCreate(TopTransactionContext,
										   "wtcache batch",
										   ALLOCSET_SMALL_SIZES);
}

/*
 * What others can see but a crash takes back must not get into the cache,
 * neither by a push nor through a reader's fill.  In async mode the
 * worker pushes what has been flushed, whenever that is.
 */
static void
flush_commit(void)
{
	if (wtc_mode != WTC_MODE_ASYNC)
		ForceSyncCommit();
}

/* The slot can go only once what is left has been pushed. */
static void
warn_of_slot(void)
{
	TimestampTz since;

	if (wtc_worker_is_there() && wtc_worker_link(&since) == WTC_OK)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("replication slot \"wtcache\" stays until Redis has been reached"),
			 errdetail("It keeps WAL, without limit once wtcache is not in \"shared_preload_libraries\" any more."),
			 errhint("Before you take it out see to it that the slot is gone; or drop it afterwards, by SELECT pg_drop_replication_slot('wtcache').")));
}

static void
write_batches(void)
{
	MemoryContext old;

	prepare_batches();
	old = MemoryContextSwitchTo(xact.batch_cxt);
	wtc_pending_encode(emit);
	MemoryContextSwitchTo(old);
}

/*
 * Another extension's callback has changed a row after ours has been called.
 * Its batch follows, with a later version.  A subtransaction may yet
 * be rolled back: the worker sees that, but a push that has been prepared
 * cannot be recalled, so there its rows are deleted and not stored.
 */
static void
late_change(const char *op, size_t len)
{
	MemoryContext old;
	StringInfoData buf;

	flush_commit();
	prepare_batches();

	/* more than may be kept: then the worker pushes all of it */
	if (!leave() && MemoryContextMemAllocated(xact.batch_cxt, true) >
		2 * (uint64) wtc_batch_memory * 1024)
	{
		xact.carrier = CARRIER_WORKER_AWAITED;
		xact.push = NULL;
		MemoryContextReset(xact.batch_cxt);
	}

	old = MemoryContextSwitchTo(xact.batch_cxt);
	initStringInfo(&buf);
	appendStringInfoCharMacro(&buf, WTC_BATCH_FORMAT);
	if (!leave() && GetCurrentTransactionNestLevel() > 1)
		wtc_put_deletion(&buf, op, len);
	else
		appendBinaryStringInfo(&buf, op, len);
	emit(InvalidTransactionId, buf.data, buf.len);
	MemoryContextSwitchTo(old);
}

/*
 * Others wait for locks of documents until the batch is written, and so is not Redis
 * waited for in between.
 */
static void
write_all(bool preparing)
{
	bool		documents = wtc_touched_count() > 0 || wtc_pending_any();

	if (documents)
	{
		prepare_batches();
		build_documents(preparing);
	}
	if (xact.spilled && xact.carrier == CARRIER_SELF)
		xact.carrier = CARRIER_WORKER_AWAITED;
	if (!preparing && (xact.spilled || wtc_pending_any()))
		flush_commit();
	if (wtc_pending_any())
		write_batches();
	wtc_pending_seal(late_change);
	if (documents)
		documents_written();
	wtc_touched_reset();
}

static void
pre_commit(void)
{
	if (wtc_mode == WTC_MODE_ASYNC)
		xact.carrier = CARRIER_WORKER;
	else if (xact.resolved)
		xact.carrier = CARRIER_WORKER_AWAITED;
	write_all(false);
	if (xact.leaves)
		warn_of_slot();
}

/*
 * PREPARE makes its record durable by itself, and so does COMMIT PREPARED.
 */
static void
pre_prepare(void)
{
	xact.carrier = CARRIER_WORKER;
	write_all(true);
}

static void
abort_transaction(void)
{
	uint64		discarded = wtc_pending_reset();

	wtc_touched_reset();
	if (discarded > 0 || xact.messages > 0)
		wtc_count(WTC_ROLLBACKS, 1);
	wtc_count(WTC_DISCARDED, discarded);
	if (xact.marked)
		wtc_inflight_drop();
	forget();
}

/*
 * The transaction is prepared.  The worker keeps its messages until it is
 * committed or rolled back; a commit, by whatever session, wakes it.
 */
static void
hand_over_prepared(void)
{
	WtcTally   *tally = wtc_pending_tally();
	uint64		operations;

	if (xact.marked)
	{
		wtc_inflight_settle(false, InvalidXLogRecPtr);
		wtc_count(WTC_PUSHES_DEFERRED, 1);
		wtc_worker_wake();
	}
	operations = wtc_pending_reset();
	if (operations > 0)
		wtc_twophase_prepared(tally, operations);
	forget();
}

/* The commit record is written. */
static void
note_commit(void)
{
	if (xact.leaves)
	{
		wtc_slot_set_wanted(false);
		wtc_worker_wake();
	}
	/* late changes may have come to nothing, in a subtransaction */
	xact.committed = xact.resolved || xact.push != NULL ||
		(leave() && xact.marked);
	if (xact.committed)
		return;
	wtc_pending_reset();
	if (xact.marked)
		wtc_inflight_drop();
	forget();
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			pre_commit();
			break;
		case XACT_EVENT_COMMIT:
			note_commit();
			break;
		case XACT_EVENT_ABORT:
			abort_transaction();
			break;
		case XACT_EVENT_PRE_PREPARE:
			pre_prepare();
			break;
		case XACT_EVENT_PREPARE:
			hand_over_prepared();
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* parallel workers write no rows */
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mySubid,
				 SubTransactionId parentSubid, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			wtc_pending_subcommit(GetCurrentTransactionNestLevel());
			wtc_touched_subcommit(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			wtc_pending_subabort(GetCurrentTransactionNestLevel());
			wtc_touched_subabort(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

/* Is there no point in waiting for the worker? */
static bool
hopeless(void)
{
	TimestampTz since;
	int			failures;
	WtcWorkerState state = wtc_worker_state();

	return wtc_url[0] == '\0' || !wtc_worker_is_there() ||
		state == WTC_WORKER_NO_REDIS || state == WTC_WORKER_SUPERSEDED ||
		wtc_breaker_state(wtc_clock_us(), &since, &failures) == WTC_BREAKER_OPEN;
}

/*
 * Waits until the worker has pushed what has been left to it: as long as it
 * gets on, but no longer than max_us, and not once we are told to stop.  (The
 * flags stay, as with a push.)  Without a latch: a wait-event set needs a
 * resource owner.
 */
static void
await_worker(int64 max_us)
{
	uint64		round = wtc_round_ask();
	int64		patience_us = (int64) wtc_push_timeout * 1000;
	int64		begun = wtc_clock_us();
	int64		progressed = begun;
	uint64		progress = wtc_rounds_progress();

	while (!wtc_round_done(round) && !hopeless() &&
		   !QueryCancelPending && !ProcDiePending && PostmasterIsAlive())
	{
		int64		now = wtc_clock_us();
		uint64		seen = wtc_rounds_progress();

		if (seen != progress)
			progressed = now;
		progress = seen;
		if (now - progressed > patience_us || now - begun > max_us)
			break;
		pg_usleep(POLL_US);
	}
}

static void
leave_to_worker(void)
{
	last_outcome = WTC_PUSH_DEFERRED;
	if (xact.marked)
	{
		wtc_inflight_settle(false, InvalidXLogRecPtr);
		wtc_count(WTC_PUSHES_DEFERRED, 1);
	}
	else if (!wtc_worker_busy())
		return;

	if (xact.carrier == CARRIER_WORKER_AWAITED && !hopeless())
		await_worker((int64) wtc_push_timeout * 1000 * Max(xact.messages, 1));
	else
		wtc_worker_wake();
}

static void
settle(WtcPushOutcome outcome)
{
	XLogRecPtr	invalidated = wtc_push_invalidates(xact.push) ?
	XactLastCommitEnd : InvalidXLogRecPtr;

	last_outcome = outcome;
	switch (outcome)
	{
		case WTC_PUSH_DONE:
			wtc_inflight_settle(true, invalidated);
			wtc_count(WTC_PUSHES_OK, 1);
			break;
		case WTC_PUSH_REJECTED:
			/* Redis has had its say: a replay would change nothing */
			wtc_inflight_settle(true, invalidated);
			wtc_count(WTC_PUSHES_FAILED, 1);
			break;
		case WTC_PUSH_UNSURE:
			wtc_inflight_settle(false, InvalidXLogRecPtr);
			wtc_count(WTC_PUSHES_OK, 1);
			wtc_worker_wake();
			break;
		case WTC_PUSH_SKIPPED:
			wtc_inflight_settle(false, InvalidXLogRecPtr);
			wtc_count(WTC_PUSHES_SKIPPED, 1);
			wtc_worker_wake();
			break;
		case WTC_PUSH_FAILED:
			wtc_inflight_settle(false, InvalidXLogRecPtr);
			wtc_count(WTC_PUSHES_FAILED, 1);
			wtc_worker_wake();
			break;
		case WTC_PUSH_DEFERRED:
			break;
	}
}

static void
push_and_settle(void)
{
	int64		begun = wtc_clock_us();
	WtcPushOutcome outcome;

	/* the transaction that has just ended is this one */
	Assert(XactLastCommitEnd != InvalidXLogRecPtr);
	outcome = wtc_push_run(xact.push, XactLastCommitEnd, wtc_push_deadline());
	settle(outcome);
	if (outcome != WTC_PUSH_SKIPPED)
		wtc_latency_note(outcome == WTC_PUSH_DONE ||
						 outcome == WTC_PUSH_UNSURE ? WTC_LATENCY_OK :
						 WTC_LATENCY_FAILED, wtc_clock_us() - begun);
}

/*
 * Was the transaction to be pushed before its end is told, and is not?  Without
 * the postmaster there is no worker that will, nor does this process go on: then
 * its client is told nothing, as where a commit waits for a standby.
 */
static void
keep_quiet_without_server(void)
{
	bool		missed = last_outcome == WTC_PUSH_SKIPPED ||
		last_outcome == WTC_PUSH_FAILED ||
		(last_outcome == WTC_PUSH_DEFERRED &&
		 xact.carrier == CARRIER_WORKER_AWAITED);

	if (!missed || PostmasterIsAlive())
		return;
	ProcDiePending = true;
	whereToSendOutput = DestNone;
}

/*
 * Called for every resource owner in every phase, children first and with
 * the same flags, so it asks for the one call it is meant for.
 */
static void
release_callback(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				 void *arg)
{
	ResourceOwner owner = CurrentResourceOwner;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !xact.committed || !isCommit ||
		!isTopLevel || owner != TopTransactionResourceOwner)
		return;

	/* not earlier: the numbers of a new table are found with the table */
	wtc_tally_publish(wtc_pending_tally(),
					  GetCurrentTransactionStopTimestamp());

	/* an owner that is being released takes nothing: better to have none */
	CurrentResourceOwner = NULL;
	pgstat_report_wait_start(leave() ? wtc_wait_await_worker : wtc_wait_push);
	if (leave())
		leave_to_worker();
	else
		push_and_settle();
	pgstat_report_wait_end();
	CurrentResourceOwner = owner;

	keep_quiet_without_server();
	wtc_pending_reset();
	forget();
}

WtcPushOutcome
wtc_xact_outcome(void)
{
	return last_outcome;
}

void
wtc_xact_resolved(void)
{
	xact.resolved = true;
}

void
wtc_xact_leaves(void)
{
	xact.leaves = true;
}

void
wtc_xact_set_documents(void (*build) (bool preparing), void (*written) (void))
{
	build_documents = build;
	documents_written = written;
}

void
wtc_xact_init(void)
{
	wtc_pending_init(spill);
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	RegisterResourceReleaseCallback(release_callback, NULL);
}
