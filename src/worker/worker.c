/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The background worker: sees to it that Redis gets all that is committed.
 *
 * There is one for the server, with no database connection.  While all is
 * well it wakes every few seconds, notes how far everything is in Redis, and
 * stores that there.  When a backend leaves a batch to it, it reads the batch
 * back from WAL and pushes it.
 *
 *	report.c	what backends may not say in the log
 *	slot.c		the replication slot that keeps WAL
 *	wal.c		our messages, read from WAL
 *	replay.c	what of it may be missing in Redis
 *	round.c		pushing that
 *	order.c		in the order of the commits
 *	parked.c	those whose transactions are not over
 *	position.c	taking Redis with a token, and how far it has come
 *	blame.c		what Redis does not take
 *	dead.c		what tags hold that has expired
 *	journal.c	what was stored lately, for a promotion
 *	watermark.c	how far everything is in Redis
 *	lag.c		and since when it is not
 *
 * An error ends a turn, never the worker: it is logged, the connection is
 * closed, and the next turn begins from what shared memory says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xloginsert.h"
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "change/key.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "push/link.h"
#include "redis/conn.h"
#include "shared/outbox.h"
#include "shared/rounds.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "shared/waits.h"
#include "shared/wake.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/check.h"
#include "worker/dead.h"
#include "worker/lag.h"
#include "worker/position.h"
#include "worker/replay.h"
#include "worker/report.h"
#include "worker/slot.h"
#include "worker/wal.h"
#include "worker/watermark.h"
#include "worker/worker.h"

/* how long after a failure Redis is tried again: doubled each time */
#define FIRST_PAUSE_MS	50
#define LAST_PAUSE_MS	500
/* how often parked transactions are looked at: doubled each time */
#define FIRST_LOOK_MS	10
#define LAST_LOOK_MS	1000
/*
 * how often the position is stored because a reader may wait for it: doubled as
 * long as something holds it back
 */
#define FIRST_STORE_MS	100
/* how long the worker rests between two rounds */
#define NAP_MS			1

static bool slot_opened = false;
static bool slot_spared = false;	/* let go of since */
static bool broken = false;		/* Redis has closed the connection */
static bool lost = false;		/* ... during a round: it may be away, or not
								 * take what it was sent */
static int64 beat_due = 0;
static bool news = false;		/* a server has been met since the last beat */
static int64 retry_due = 0;
static int64 look_due = 0;
static int64 store_due = 0;
static int64 pause_ms = 0;
static int64 look_ms = FIRST_LOOK_MS;
static int64 store_ms = FIRST_STORE_MS;
static XLogRecPtr stored = InvalidXLogRecPtr;	/* the position, last */

static const char *const states[WTC_WORKER_STATES] = {
	[WTC_WORKER_STARTING] = "starting",
	[WTC_WORKER_IDLE] = "idle: everything committed is in Redis",
	[WTC_WORKER_REPLAYING] = "replaying WAL",
	[WTC_WORKER_NO_REDIS] = "waiting for Redis",
	[WTC_WORKER_COLD] = "emptying the cache",
	[WTC_WORKER_SUPERSEDED] = "standing back: another server writes to Redis",
};

const char *
wtc_worker_state_text(WtcWorkerState state)
{
	return (unsigned) state < WTC_WORKER_STATES ? states[state] : "unknown";
}

static void
sign_off(int code, Datum arg)
{
	wtc_wake_end();
	wtc_worker_set_pid(0);
	wtc_worker_set_state(WTC_WORKER_STARTING);
}

/*
 * Everything is to be replayed that may not have been, as far as this server
 * knows; wtc_position_meet() then finds out what Redis knows.
 */
static void
begin(void)
{
	XLogRecPtr	start = wtc_watermark();

	wtc_position_begin();
	wtc_slot_open();
	/* the key is new; or this is an older copy of the server */
	if (wtc_key_since() == InvalidXLogRecPtr ||
		wtc_key_since() > GetXLogInsertRecPtr())
		wtc_key_set_since(GetXLogInsertRecPtr());
	if (start == InvalidXLogRecPtr)
		start = wtc_slot_position();
	if (start == InvalidXLogRecPtr)
		start = GetXLogInsertRecPtr();
	wtc_replay_begin(start);
	slot_opened = true;
}

static bool
look_wanted(int64 now)
{
	return wtc_worker_parked() > 0 && now >= look_due;
}

static void
plan_look(uint32 parked_before)
{
	uint32		parked = wtc_worker_parked();

	look_ms = parked != parked_before ? FIRST_LOOK_MS :
		Min(look_ms * 2, LAST_LOOK_MS);
	look_due = wtc_clock_us() + look_ms * 1000;
}

/* One round, and what its result asks for. */
static WtcStatus
run_round(void)
{
	uint32		parked = wtc_worker_parked();
	WtcStatus	status;

	if (wtc_replay_wanted())
		wtc_worker_set_state(WTC_WORKER_REPLAYING);
	switch (wtc_replay_round(&status))
	{
		case WTC_REPLAY_DONE:
			plan_look(parked);
			/* what took long once need not be done again */
			if (news)
			{
				wtc_wal_flush(GetXLogInsertRecPtr());
				beat_due = 0;
			}
			news = false;
			break;
		case WTC_REPLAY_FAILED:
			lost = status == WTC_FAIL_CLOSED;
			break;
		case WTC_REPLAY_UNSURE:
		case WTC_REPLAY_CLOSED:
		case WTC_REPLAY_GAP:
			status = WTC_OK;	/* the next turn sees to it */
			break;
	}
	return status;
}

/* May a reader wait for a position that has not been stored? */
static bool
store_wanted(void)
{
	return wtc_position_asked() > stored;
}

static WtcStatus
store_position(bool beat)
{
	XLogRecPtr	watermark = wtc_watermark_move();
	WtcStatus	status = wtc_position_store(watermark, beat);

	store_ms = watermark != stored ? FIRST_STORE_MS :
		Min(store_ms * 2, WTC_BEAT_MS);
	store_due = wtc_clock_us() + store_ms * 1000;
	if (status == WTC_OK)
		stored = watermark;
	return status;
}

/* What there is to do with Redis. */
static WtcStatus
talk(int64 now)
{
	bool		fresh = false;
	WtcStatus	status = wtc_link_open(&fresh);

	broken = lost = false;
	if (status == WTC_OK &&
		(fresh || !wtc_position_known() || wtc_replay_gap()))
	{
		status = wtc_position_meet(fresh);
		news = true;
		if (status == WTC_OK)
			pause_ms = 0;
	}
	if (status != WTC_OK || !wtc_position_known())
		return status;
	if (wtc_replay_wanted() || wtc_round_wanted() || look_wanted(now))
		status = run_round();
	if (status != WTC_OK || !wtc_position_known())
		return status;
	if (now >= beat_due)
	{
		status = store_position(true);
		if (status == WTC_OK)
			status = wtc_dead_sweep();
	}
	else if (store_wanted() && now >= store_due)
		status = store_position(false);
	return status;
}

static void
note_status(WtcStatus status, int64 now)
{
	wtc_report_link(status);
	wtc_worker_set_link(status);
	if (status == WTC_OK)
	{
		pause_ms = 0;
		retry_due = 0;
		if (!wtc_replay_wanted() && wtc_position_known())
			wtc_worker_set_state(WTC_WORKER_IDLE);
		return;
	}
	wtc_link_hang_up();
	/* where Redis is there, commits can wait for the next token */
	if (!lost)
		wtc_worker_set_state(WTC_WORKER_NO_REDIS);
	pause_ms = pause_ms == 0 ? FIRST_PAUSE_MS : Min(pause_ms * 2, LAST_PAUSE_MS);
	retry_due = wtc_clock_us() + pause_ms * 1000;
}

/* Another server has Redis. */
static bool
standing_back(void)
{
	return wtc_position_superseded() && !wtc_take_over_asked();
}

static bool
reason_to_talk(int64 now)
{
	return broken || !wtc_position_known() || wtc_replay_gap() ||
		wtc_replay_wanted() || wtc_round_wanted() || look_wanted(now) ||
		(store_wanted() && now >= store_due);
}

/*
 * Lets go of the slot when it is not wanted any more, and all is done; takes it
 * again when there is something to push.  A backend says so when it has published
 * its in-flight mark.
 */
static void
mind_slot(void)
{
	if (slot_spared && wtc_slot_wanted())
	{
		slot_spared = false;
		wtc_slot_open();
	}
	else if (!slot_spared && !wtc_slot_wanted() && !wtc_replay_wanted() &&
			 wtc_worker_parked() == 0 && wtc_inflight_min() == PG_UINT64_MAX)
	{
		wtc_slot_drop();
		slot_spared = true;
	}
}

/* One turn; returns for how many milliseconds there is nothing to do, or -1. */
static long
turn(void)
{
	int64		now = wtc_clock_us();
	int64		due;

	if (!slot_opened)
	{
		if (wtc_url[0] == '\0' && !wtc_slot_exists())
			return -1;
		if (now < retry_due)
			return (long) ((retry_due - now) / 1000) + 1;
		begin();
	}
	mind_slot();
	if (now >= retry_due && !standing_back() &&
		(retry_due > 0 || now >= beat_due || reason_to_talk(now)))
		note_status(talk(now), now);
	if (now >= beat_due)
	{
		if (retry_due > 0 && !wtc_replay_gap())
			wtc_replay_skim();
		wtc_watermark_retain();
		beat_due = now + WTC_BEAT_MS * INT64CONST(1000);
	}
	else
		(void) wtc_watermark_move();

	due = beat_due;
	if (standing_back())
		 /* nothing but the beat */ ;
	else if (retry_due > 0)
		due = Min(due, retry_due);
	else if (reason_to_talk(now))
		due = 0;
	else
	{
		if (wtc_worker_parked() > 0)
			due = Min(due, look_due);
		if (store_wanted())
			due = Min(due, store_due);
	}
	now = wtc_clock_us();
	return due <= now ? 0 : (long) ((due - now) / 1000) + 1;
}

/* Is an error about WAL that cannot be read, and never will? */
static WtcColdReason
reason_of(const ErrorData *error)
{
	if (!wtc_wal_is_open())
		return WTC_COLD_NONE;
	switch (error->sqlerrcode)
	{
		case ERRCODE_UNDEFINED_FILE:
		case ERRCODE_DATA_CORRUPTED:
			return WTC_COLD_GAP;
		case ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION:
			return WTC_COLD_KEY;
		default:
			return WTC_COLD_NONE;
	}
}

static long
guarded_turn(MemoryContext turn_cxt)
{
	volatile long wait = 0;

	PG_TRY();
	{
		wait = turn();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(turn_cxt);
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		LWLockReleaseAll();
		XLogResetInsertion();
		ConditionVariableCancelSleep();
		pgstat_report_wait_end();
		wtc_link_hang_up();
		wtc_replay_reset(reason_of(error));
		wtc_worker_set_state(wtc_position_superseded() ? WTC_WORKER_SUPERSEDED :
							 WTC_WORKER_NO_REDIS);
		retry_due = wtc_clock_us() + 2 * LAST_PAUSE_MS * INT64CONST(1000);
		wait = 2 * LAST_PAUSE_MS;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(turn_cxt);
	MemoryContextReset(turn_cxt);
	wtc_lag_note(wtc_replay_skimmed());
	return wait;
}

/*
 * There was something to replay, so there will be more.  Commits that come
 * during a nap need not wake the worker, which is dear to them.
 */
static void
nap(void)
{
	wtc_wake_spare();
	if (wtc_round_wanted())
		return;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 NAP_MS, wtc_wait_worker_main);
	ResetLatch(MyLatch);
}

void
wtc_worker_main(Datum arg)
{
	MemoryContext turn_cxt;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	turn_cxt = AllocSetContextCreate(TopMemoryContext, "wtcache worker turn",
									 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(turn_cxt);

	/*
	 * This is not done for a worker without a database; without it
	 * TransactionIdIsInProgress() takes another backend's entry for ours, and
	 * its transaction for not running.
	 */
	InitProcessPhase2();
	wtc_slots_be_worker();
	wtc_report_start();
	before_shmem_exit(sign_off, (Datum) 0);
	wtc_worker_set_pid(MyProcPid);
	wtc_wake_begin();
	wtc_worker_set_mode(wtc_mode);
	wtc_worker_set_link(WTC_OK);

	for (;;)
	{
		uint64		progress;
		long		report;
		long		wait;
		int			events;

		wtc_worker_check();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			wtc_worker_set_mode(wtc_mode);
			retry_due = beat_due = 0;	/* it may be about Redis */
		}

		/* what is left to the worker from here on wakes it */
		wtc_wake_want();
		progress = wtc_rounds_progress();
		report = wtc_report();
		wait = guarded_turn(turn_cxt);
		if (progress != wtc_rounds_progress())
		{
			nap();
			continue;
		}
		if (report >= 0 && (wait < 0 || report < wait))
			wait = report;
		/* before it tries again, commits have nothing to wake it for */
		if (retry_due > 0)
			wtc_wake_spare();
		events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
		if (wait >= 0)
			events |= WL_TIMEOUT;
		/* a server that has gone may be back without its data */
		if (wtc_link_socket() >= 0)
			events |= WL_SOCKET_READABLE;
		events = WaitLatchOrSocket(MyLatch, events, wtc_link_socket(), wait,
								   wtc_wait_worker_main);
		broken |= (events & WL_SOCKET_READABLE) != 0;
		ResetLatch(MyLatch);
	}
}

void
wtc_worker_register(void)
{
	BackgroundWorker worker = {
		.bgw_name = "wtcache worker",
		.bgw_type = "wtcache worker",
		.bgw_flags = BGWORKER_SHMEM_ACCESS,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 1,
		.bgw_library_name = "wtcache",
		.bgw_function_name = "wtc_worker_main"
	};

	/* pg_upgrade starts the server to move tables, not to serve anyone */
	if (IsBinaryUpgrade)
		return;
	RegisterBackgroundWorker(&worker);

	/* if there is no room it only logs, and nothing would be replayed */
	if (!wtc_has_background_worker(worker.bgw_function_name))
		ereport(FATAL,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("wtcache has no background worker"),
				 errdetail("All that \"max_worker_processes\" (%d) allows are taken by other libraries.",
						   max_worker_processes),
				 errhint("Raise \"max_worker_processes\".")));
}
