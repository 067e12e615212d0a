/*-------------------------------------------------------------------------
 *
 * xact.c
 *	  The way of a transaction's changes through its commit.
 *
 * PRE_COMMIT	connect, encode the batch, publish the in-flight mark, write
 *				the batch to WAL, set aside what the push needs.  Errors are
 *				legal: the transaction aborts.
 * COMMIT		the commit record is written and the transaction visible.
 *				Only notes that; PREPARE never comes here, and so what runs
 *				below runs for commits only (F10).
 * AFTER_LOCKS	the push.  Locks are gone, so nobody who waited for a row of
 *				ours waits for Redis (F12); the client has no answer yet.
 *
 * From COMMIT on nothing may raise an error (F5), allocate with palloc, or
 * look at a catalog; interrupts are held off.  There is no PG_TRY: it would
 * not help, and it would break the holding off of interrupts (F6).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "compat.h"
#include "pgstat.h"
#include "push/push.h"
#include "shared/shmem.h"
#include "txn/pending.h"
#include "txn/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* One message in WAL, and its push. */
typedef struct Batch
{
	WtcPush    *push;
	struct Batch *next;
} Batch;

/* All of it lives in TopTransactionContext. */
static MemoryContext batch_cxt = NULL;
static Batch *first_batch = NULL;
static Batch **last_link = &first_batch;
static bool committed = false;

static void
forget(void)
{
	batch_cxt = NULL;
	first_batch = NULL;
	last_link = &first_batch;
	committed = false;
}

/*
 * Writes a batch to WAL and prepares its push.  The version of everything in
 * it is the end of its message: whoever changes the same rows later can do
 * so only once this transaction has ended, and so takes a later one (F17).
 * A giant transaction has several, and a key is in one of them only.
 */
static void
emit(const char *data, size_t len)
{
	Batch	   *batch = palloc(sizeof(Batch));
	int64		created = wtc_push_created();
	XLogRecPtr	lsn;

	if (first_batch == NULL)
		wtc_inflight_publish(GetXLogInsertRecPtr());
	lsn = wtc_log_message("wtcache", data, len);

	batch->push = wtc_push_prepare(data, len, lsn, created);
	batch->next = NULL;
	*last_link = batch;
	last_link = &batch->next;
}

/* What has to be done before the first batch of a transaction. */
static void
prepare_batches(void)
{
	if (batch_cxt != NULL)
		return;
	wtc_push_connect();

	/*
	 * What others can see but a crash takes back must not get into the cache,
	 * neither through us nor through a reader's fill (R14).
	 */
	ForceSyncCommit();

	batch_cxt = AllocSetContextCreate(TopTransactionContext,
									  "wtcache batch",
									  ALLOCSET_SMALL_SIZES);
}

/*
 * Another extension's PRE_COMMIT callback has changed a row after ours (R3).
 * Its batch follows, with a later version.  A subtransaction may yet be
 * rolled back and cannot recall it, so its rows are deleted and not stored.
 */
static void
late_change(const char *op, size_t len)
{
	MemoryContext old;
	StringInfoData buf;

	prepare_batches();
	old = MemoryContextSwitchTo(batch_cxt);
	initStringInfo(&buf);
	appendStringInfoCharMacro(&buf, WTC_BATCH_FORMAT);
	if (GetCurrentTransactionNestLevel() > 1)
		wtc_put_deletion(&buf, op, len);
	else
		appendBinaryStringInfo(&buf, op, len);
	emit(buf.data, buf.len);
	MemoryContextSwitchTo(old);
}

static void
pre_commit(void)
{
	MemoryContext old;

	if (wtc_pending_any())
	{
		prepare_batches();
		old = MemoryContextSwitchTo(batch_cxt);
		wtc_pending_encode(emit);
		MemoryContextSwitchTo(old);
	}
	wtc_pending_seal(late_change);
}

static void
abort_transaction(void)
{
	uint64		discarded = wtc_pending_reset();

	if (discarded > 0 || first_batch != NULL)
		wtc_count(WTC_ROLLBACKS, 1);
	wtc_count(WTC_DISCARDED, discarded);
	if (first_batch != NULL || batch_cxt != NULL)
		wtc_inflight_drop();
	forget();
}

static void refuse_late_prepare(const char *op, size_t len);

static void
refuse_prepare(void)
{
	if (!wtc_pending_any())
		wtc_pending_seal(refuse_late_prepare);
	else
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has pending cache operations"),
				 errdetail("The transaction has changed a table that is attached to wtcache, or called one of its functions.")));
}

/* The same for what another extension's callback does after ours. */
static void
refuse_late_prepare(const char *op, size_t len)
{
	refuse_prepare();
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
			committed = first_batch != NULL;
			/* late changes may have come to nothing, in a subtransaction */
			if (!committed)
			{
				wtc_pending_reset();
				if (batch_cxt != NULL)
					wtc_inflight_drop();
				forget();
			}
			break;
		case XACT_EVENT_ABORT:
			abort_transaction();
			break;
		case XACT_EVENT_PRE_PREPARE:
			refuse_prepare();
			break;
		case XACT_EVENT_PREPARE:
			wtc_pending_reset();
			forget();
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			/* parallel workers write no rows (F36) */
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
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			wtc_pending_subabort(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

static void
count_outcome(WtcPushOutcome outcome)
{
	switch (outcome)
	{
		case WTC_PUSH_DONE:
			wtc_count(WTC_PUSHES_OK, 1);
			break;
		case WTC_PUSH_SKIPPED:
			wtc_count(WTC_PUSHES_SKIPPED, 1);
			break;
		case WTC_PUSH_FAILED:
			wtc_count(WTC_PUSHES_FAILED, 1);
			break;
	}
}

/*
 * Called for every resource owner in every phase, children first and with
 * the same flags, so it asks for the one call it is meant for (F9).
 */
static void
release_callback(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
				 void *arg)
{
	ResourceOwner owner = CurrentResourceOwner;
	int64		deadline;
	WtcPushOutcome outcome = WTC_PUSH_DONE;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !committed || !isCommit ||
		!isTopLevel || owner != TopTransactionResourceOwner)
		return;

	/* an owner being released takes nothing: better to have none (F11) */
	CurrentResourceOwner = NULL;
	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	deadline = wtc_push_deadline();
	for (Batch *batch = first_batch;
		 batch != NULL && outcome == WTC_PUSH_DONE; batch = batch->next)
		outcome = wtc_push_run(batch->push, deadline);
	pgstat_report_wait_end();
	wtc_inflight_settle(outcome == WTC_PUSH_DONE);
	count_outcome(outcome);
	CurrentResourceOwner = owner;

	wtc_pending_reset();
	forget();
}

void
wtc_xact_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	RegisterResourceReleaseCallback(release_callback, NULL);
}
