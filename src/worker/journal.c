/*-------------------------------------------------------------------------
 *
 * journal.c
 *	  The journal in Redis of what was stored lately.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "compat.h"
#include "guc.h"
#include "port/atomics.h"
#include "read/ask.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/script.h"
#include "redis/words.h"
#include "replication/slot.h"
#include "replication/walsender_private.h"
#include "shared/state.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "storage/spin.h"
#include "worker/check.h"
#include "worker/journal.h"
#include "worker/slot.h"
#include "worker/watermark.h"
#include "worker/worker.h"

/* entries beyond this go, whatever has been flushed where */
#define MAX_ENTRIES		1000000
/* what trim.lua takes out at a time */
#define TRIM_STEP		1000

/* an earlier start's journal goes on until then, on wtc_clock_us() */
static int64 inherited_until = 0;

/* a standby has been seen since the start */
static bool seen = false;

/* --- standbys --- */

/*
 * Is there a standby, or a slot of one?  *flushed becomes the oldest position
 * that all that are connected have flushed, or UINT64_MAX if none is.
 */
static bool
find_standbys(XLogRecPtr *flushed)
{
	bool		any = false;

	*flushed = PG_UINT64_MAX;
	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *sender = &WalSndCtl->walsnds[i];
		XLogRecPtr	flush;
		pid_t		pid;
		WalSndState state;
		PGPROC	   *proc;

		SpinLockAcquire(&sender->mutex);
		pid = sender->pid;
		state = sender->state;
		flush = sender->flush;
		SpinLockRelease(&sender->mutex);
		if (pid == 0 || (state != WALSNDSTATE_CATCHUP &&
						 state != WALSNDSTATE_STREAMING))
			continue;
		/* logical replication is connected to a database */
		proc = BackendPidGetProc(pid);
		if (proc == NULL || OidIsValid(proc->databaseId))
			continue;
		any = true;
		*flushed = Min(*flushed, flush);
	}
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		XLogRecPtr	restart;

		if (!slot->in_use || slot == MyReplicationSlot ||
			OidIsValid(slot->data.database))
			continue;
		SpinLockAcquire(&slot->mutex);
		restart = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
		any = true;
		if (!XLogRecPtrIsInvalid(restart))
			*flushed = Min(*flushed, restart);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return any;
}

static bool
wanted(XLogRecPtr *flushed)
{
	seen |= find_standbys(flushed);
	switch ((WtcJournal) wtc_journal)
	{
		case WTC_JOURNAL_ON:
			return true;
		case WTC_JOURNAL_OFF:
			return false;
		case WTC_JOURNAL_AUTO:
			break;
	}
	return seen || wtc_clock_us() < inherited_until;
}

/* --- the journal --- */

/*
 * Empties it; from now on what is stored is noted, or not.  A transaction that
 * is committed after this sees that.
 */
static WtcStatus
restart(bool keep)
{
	const char *del[] = {"UNLINK", WTC_KEY_JOURNAL};
	const char *from[] = {"HSET", WTC_KEY_POSITION, "journal", NULL};
	const char *none[] = {"HDEL", WTC_KEY_POSITION, "journal"};
	WtcFencedAnswer answer;
	WtcStatus	status;

	/* while Redis says that there is one, it must be complete */
	status = wtc_command_fenced(lengthof(none), none, &answer);
	if (!keep && status == WTC_OK && !answer.refused)
		wtc_set_journaling(false);
	if (status == WTC_OK && !answer.refused)
		status = wtc_command_fenced(lengthof(del), del, &answer);
	if (keep && status == WTC_OK && !answer.refused)
	{
		/* readers note what they fill as soon as there is the field */
		from[3] = psprintf(UINT64_FORMAT, PG_UINT64_MAX);
		status = wtc_command_fenced(lengthof(from), from, &answer);
	}
	if (keep && status == WTC_OK && !answer.refused)
	{
		wtc_set_journaling(true);
		pg_memory_barrier();
		from[3] = psprintf(UINT64_FORMAT, GetXLogInsertRecPtr());
		status = wtc_command_fenced(lengthof(from), from, &answer);
	}
	/* Redis has to be met again, over a new connection */
	return status != WTC_OK || !answer.refused ? status :
		wtc_fail(WTC_FAIL_OTHER, WTC_TOKEN_LOST);
}

WtcStatus
wtc_journal_begin(bool found)
{
	XLogRecPtr	flushed;
	bool		keep;

	if (found && !wtc_journaling() && inherited_until == 0)
		inherited_until = wtc_clock_us() +
			(int64) wtc_heal_window * 1000000;
	keep = wanted(&flushed);
	if (keep && found)
	{
		wtc_set_journaling(true);
		return WTC_OK;
	}
	if (!keep && !found)
	{
		wtc_set_journaling(false);
		return WTC_OK;
	}
	return restart(keep);
}

/*
 * Up to where nothing is needed: a position that all standbys are known to have,
 * and at any rate what the watermark had passed heal_window ago.
 */
static XLogRecPtr
needed_from(XLogRecPtr flushed)
{
	XLogRecPtr	healing = wtc_watermark_healing();

	return flushed == PG_UINT64_MAX ? healing : Max(healing, flushed);
}

WtcStatus
wtc_journal_beat(const char *token)
{
	XLogRecPtr	flushed;
	bool		keep = wanted(&flushed);
	const char *args[] = {
		WTC_KEY_JOURNAL, WTC_KEY_POSITION, token, NULL, NULL
	};
	WtcAnswer	answer;
	WtcStatus	status;

	if (keep != wtc_journaling())
		return restart(keep);
	if (!keep)
		return WTC_OK;
	args[3] = psprintf(UINT64_FORMAT, needed_from(flushed));
	args[4] = psprintf("%d", MAX_ENTRIES);
	do
	{
		wtc_worker_check();
		status = wtc_eval(wtc_trim_text, 2, lengthof(args), args, &answer);
	} while (status == WTC_OK && answer.n == 1 &&
			 atoi(answer.text[0]) == TRIM_STEP);
	return status;
}
