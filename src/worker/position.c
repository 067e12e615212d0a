/*-------------------------------------------------------------------------
 *
 * position.c
 *	  How far Redis has come, and which Redis it is.
 *
 * The watermark in Redis is the text "system version identity": the system
 * identifier of the PostgreSQL server, the position as a version, and the
 * identity under which it was stored; or "cold" while the cache is emptied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <inttypes.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "guc.h"
#include "push/push.h"
#include "redis/script.h"
#include "utils/timestamp.h"
#include "worker/position.h"
#include "worker/replay.h"
#include "worker/slot.h"
#include "worker/wal.h"
#include "worker/worker.h"

#define COLD_MARK		"cold"
/* of a server that does not let us ask */
#define NO_IDENTITY		"/"
/* how many positions with their times are kept in Redis, at most */
#define MAX_POSITIONS	2000

/* What position.lua answers. */
enum
{
	SAYS_DONE,
	SAYS_NOW,
	SAYS_IDENTITY,
	SAYS_GENERATION,
	SAYS_WATERMARK,
	SAYS_POLICY,
	SAYS_BEAT,
	SAYS_COUNT
};

typedef char Version[WTC_VERSION_LEN + 1];

static char known_identity[WTC_IDENTITY_LEN + 1];
static uint64 known_generation;
static bool known = false;

static void
make_version(Version version, TimeLineID timeline, XLogRecPtr lsn)
{
	snprintf(version, sizeof(Version), WTC_VERSION_FORMAT, timeline,
			 (uint64) lsn);
}

bool
wtc_position_known(void)
{
	return known;
}

void
wtc_position_doubt(void)
{
	known = false;
	known_identity[0] = '\0';
}

/* Runs position.lua; the arguments that an act does not need are empty. */
static WtcStatus
say(const char *act, const char *identity, const char *mark, const char *more,
	WtcAnswer *answer)
{
	char		generation[24];
	char		limit[24];
	const char *args[] = {
		WTC_FENCE_0, WTC_FENCE_1, WTC_POSITION, WTC_POSITIONS,
		act, generation, identity, mark, more, limit
	};
	WtcStatus	status;

	snprintf(generation, sizeof(generation), UINT64_FORMAT, known_generation);
	snprintf(limit, sizeof(limit), "%d",
			 Min(MAX_POSITIONS, 2 * wtc_fence_ttl * 1000 / WTC_BEAT_MS + 2));
	status = wtc_push_eval(wtc_position_text, 4, lengthof(args), args, answer);
	if (status != WTC_OK)
		return status;
	if (answer->n != SAYS_COUNT)
		return WTC_FAIL_PROTOCOL;
	wtc_push_note_clock(strtoll(answer->text[SAYS_NOW], NULL, 10));
	return WTC_OK;
}

/* The text of a watermark, palloc'd. */
static char *
mark_text(XLogRecPtr lsn, const char *identity)
{
	Version		version;

	make_version(version, wtc_wal_timeline(lsn), lsn);
	return psprintf(UINT64_FORMAT " %s %s", GetSystemIdentifier(), version,
					identity);
}

/*
 * Makes the server ours, if it is still the one with this identity; how is as
 * in position.lua.
 */
static WtcStatus
take_possession(const char *identity, const char *mark, const char *how)
{
	WtcAnswer	answer;
	WtcStatus	status = say("adopt", identity, mark, how, &answer);

	if (status != WTC_OK)
		return status;
	if (strcmp(answer.text[SAYS_DONE], "1") != 0)
		return WTC_FAIL_OTHER;	/* another server, all of a sudden */
	/* what is replayed next has to have been created later than the fence */
	pg_usleep(100);
	return WTC_OK;
}

/*
 * Runs a script that deletes some keys at each call, until its cursor, the
 * first argument behind the keys, is 0 again.
 */
static WtcStatus
delete_by_steps(const char *script, int nkeys, int nargs, const char **args,
				uint64 *deleted)
{
	args[nkeys] = "0";
	do
	{
		WtcAnswer	answer;
		WtcStatus	status = wtc_push_eval(script, nkeys, nargs, args, &answer);

		wtc_worker_check();
		if (status != WTC_OK)
			return status;
		if (answer.n != 2)
			return WTC_FAIL_PROTOCOL;
		args[nkeys] = answer.text[0];
		*deleted += strtoull(answer.text[1], NULL, 10);
	} while (strcmp(args[nkeys], "0") != 0);
	return WTC_OK;
}

/* --- what the server's watermark means --- */

typedef struct Mark
{
	bool		any;
	bool		cold;			/* emptying the cache was not finished */
	bool		rolled_back;	/* the server may have lost writes since */
	uint64		system;
	TimeLineID	timeline;
	XLogRecPtr	lsn;
} Mark;

static void
parse_mark(const char *text, const char *identity, Mark *mark)
{
	char		stored[256] = "";

	memset(mark, 0, sizeof(*mark));
	mark->cold = strcmp(text, COLD_MARK) == 0;
	mark->any = mark->cold ||
		sscanf(text, "%" SCNu64 " %8u%19" SCNu64 " %255s",
			   &mark->system, &mark->timeline, &mark->lsn, stored) >= 3;
	mark->rolled_back = strcmp(stored, identity) != 0 ||
		strcmp(identity, NO_IDENTITY) == 0;
}

/* The first position that the server itself may still have to replay from. */
static XLogRecPtr
oldest_position(void)
{
	XLogRecPtr	watermark = pg_atomic_read_u64(&wtc_shared->watermark);
	XLogRecPtr	slot = wtc_slot_position();

	if (slot == InvalidXLogRecPtr && watermark == InvalidXLogRecPtr)
		return GetXLogInsertRecPtr();
	if (slot == InvalidXLogRecPtr || watermark == InvalidXLogRecPtr)
		return Max(slot, watermark);
	return Min(slot, watermark);
}

/*
 * Where the replay has to begin for a server with this mark; or why that is
 * impossible.
 */
static WtcColdReason
find_start(const Mark *mark, XLogRecPtr *start)
{
	TimeLineID	current = GetWALInsertionTimeLine();

	if (mark->cold)
		return WTC_COLD_GAP;
	if (!mark->any)
	{
		/* empty, or never ours: what we still have does no harm */
		*start = oldest_position();
		return wtc_wal_exists(*start) ? WTC_COLD_NONE : WTC_COLD_GAP;
	}
	if (mark->system != GetSystemIdentifier())
		return WTC_COLD_SYSTEM;
	if (mark->timeline > current ||
		!tliInHistory(mark->timeline, wtc_wal_history()))
		return WTC_COLD_TIMELINE;
	*start = mark->lsn;
	if (mark->timeline == current && mark->lsn > GetXLogInsertRecPtr())
		return WTC_COLD_AHEAD;
	if (mark->timeline < current)
		*start = Min(mark->lsn, tliSwitchPoint(mark->timeline,
											   wtc_wal_history(), NULL));
	return wtc_wal_exists(*start) ? WTC_COLD_NONE : WTC_COLD_GAP;
}

/* --- phantoms --- */

static WtcStatus
covers(const char *version, bool *yes)
{
	const char *args[] = {WTC_FENCE_0, WTC_FENCE_1, WTC_POSITIONS, version};
	WtcAnswer	answer;
	WtcStatus	status = wtc_push_eval(wtc_covers_text, 3, lengthof(args), args,
									   &answer);

	*yes = status == WTC_OK && strcmp(answer.text[0], "1") == 0;
	return status;
}

/* Deletes what has a record between two versions. */
static WtcStatus
sweep(const char *low, const char *high, uint64 *deleted)
{
	const char *args[] = {WTC_FENCE_0, WTC_FENCE_1, NULL, low, high};
	const char *other[] = {WTC_FENCE_1, WTC_FENCE_0, NULL, low, high};
	WtcStatus	status = delete_by_steps(wtc_sweep_text, 2, lengthof(args), args,
										 deleted);

	if (status == WTC_OK)
		status = delete_by_steps(wtc_sweep_text, 2, lengthof(other), other,
								 deleted);
	return status;
}

/*
 * What was pushed by transactions that this server's history does not have:
 * between the end of each former timeline and the beginning of the next one
 * (R25).  *all: the fence had a record of everything that may be a phantom.
 */
static WtcStatus
remove_phantoms(TimeLineID from, bool *all)
{
	ListCell   *cell;
	TimeLineID	later = 0;
	uint64		deleted = 0;
	WtcStatus	status;
	Version		low;
	Version		high;

	/* the history begins with the newest */
	foreach(cell, wtc_wal_history())
	{
		TimeLineHistoryEntry *entry = lfirst(cell);

		if (later != 0 && entry->tli >= from)
		{
			make_version(low, entry->tli, entry->end);
			make_version(high, later, 0);
			status = sweep(low, high, &deleted);
			if (status != WTC_OK)
				return status;
		}
		later = entry->tli;
	}
	make_version(low, from, tliSwitchPoint(from, wtc_wal_history(), NULL));
	status = covers(low, all);
	if (status == WTC_OK)
		ereport(LOG,
				(errmsg("wtcache: this server was promoted, " UINT64_FORMAT " keys written by a lost part of timeline %u deleted from Redis",
						deleted, from)));
	return status;
}

/* --- cold --- */

static const char *const reasons[WTC_COLD_REASONS] = {
	[WTC_COLD_NONE] = "never",
	[WTC_COLD_GAP] = "WAL that had to be replayed is gone",
	[WTC_COLD_SYSTEM] = "Redis was written by another PostgreSQL server",
	[WTC_COLD_TIMELINE] = "Redis was written on a timeline that this server does not descend from",
	[WTC_COLD_AHEAD] = "Redis is ahead of this server, which seems to be an older copy",
	[WTC_COLD_PHANTOMS] = "Redis has no record of what was written before this server was promoted",
};

const char *
wtc_cold_reason_text(WtcColdReason reason)
{
	return (unsigned) reason < WTC_COLD_REASONS ? reasons[reason] : "unknown";
}

static WtcStatus
delete_matching(const char *pattern, uint64 *deleted)
{
	const char *args[] = {NULL, pattern};

	return delete_by_steps(wtc_cold_text, 0, lengthof(args), args, deleted);
}

/*
 * First the fence is emptied, such that pushes only delete until it is emptied
 * again in the end: what is on its way cannot bring back what is deleted here
 * (R24), and no key can be stored whose tag's set is then deleted.  The replay
 * brings what has been pushed meanwhile.  The mark says "cold" until all is
 * done.
 */
static WtcStatus
empty_cache(const char *identity, XLogRecPtr lsn, uint64 *deleted)
{
	WtcStatus	status = take_possession(identity, COLD_MARK, "2");

	if (status == WTC_OK)
		status = delete_matching(wtc_cold_pattern, deleted);
	if (status == WTC_OK)
		status = delete_matching("wtcache:*", deleted);
	if (status != WTC_OK)
		return status;

	/* a batch whose transaction is not over is not dead */
	wtc_replay_rescue(lsn);
	return take_possession(identity, mark_text(lsn, identity), "3");
}

static WtcStatus
go_cold(WtcColdReason reason, const char *identity)
{
	XLogRecPtr	lsn = GetXLogInsertRecPtr();
	uint64		mark;
	bool		stranded = false;
	uint64		deleted = 0;
	WtcStatus	status;

	pg_atomic_write_u32(&wtc_shared->worker_state, WTC_WORKER_COLD);
	pg_memory_barrier();
	mark = wtc_inflight_min();
	/* a batch under way will be pushed, or replayed */
	if (mark < lsn && wtc_wal_exists(mark))
		lsn = mark;
	else
		stranded = mark < lsn;
	wtc_wal_flush(lsn);
	status = empty_cache(identity, lsn, &deleted);
	if (status != WTC_OK)
		return status;

	wtc_count(WTC_COLD_STARTS, 1);
	pg_atomic_write_u32(&wtc_shared->cold_reason, reason);
	pg_atomic_write_u64(&wtc_shared->cold_at, GetCurrentTimestamp());
	pg_atomic_write_u64(&wtc_shared->watermark, lsn);
	wtc_replay_forget(lsn, stranded);
	ereport(LOG,
			(errmsg("wtcache: the cache was emptied, " UINT64_FORMAT " keys deleted: %s",
					deleted, wtc_cold_reason_text(reason)),
			 errdetail("It fills again as rows are written.")));
	return WTC_OK;
}

WtcStatus
wtc_position_go_cold(WtcColdReason reason)
{
	WtcStatus	status;

	if (known_identity[0] == '\0')
		return WTC_FAIL_OTHER;
	known = false;
	status = go_cold(reason, known_identity);
	known = status == WTC_OK;
	return status;
}

/* --- meeting a server --- */

/* Policies that evict tag sets before their members, or fences (F42). */
static void
warn_of_policy(const char *policy)
{
	if (strncmp(policy, "allkeys-", 8) == 0 ||
		strcmp(policy, "volatile-ttl") == 0 ||
		strcmp(policy, "volatile-random") == 0)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("wtcache: maxmemory-policy of Redis is %s", policy),
				 errdetail("It may evict tag sets before their members, so that an invalidation does not find them."),
				 errhint("Use noeviction, volatile-lru or volatile-lfu.")));
}

/*
 * Two servers with one Redis would empty it by turns.  As long as the other one
 * stores its positions, and for two beats more, we stand back.
 */
static bool
others_alive(const char *now, const char *beat)
{
	static bool told = false;
	int64		age_us = strtoll(now, NULL, 10) - strtoll(beat, NULL, 10);

	if (beat[0] == '\0' || age_us < 0 || age_us > 2 * WTC_BEAT_MS * INT64CONST(1000))
	{
		told = false;
		return false;
	}
	if (!told)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("wtcache: another PostgreSQL server writes to this Redis"),
				 errhint("Give each server a Redis database of its own.")));
	told = true;
	return true;
}

/*
 * A new generation.  It is known to backends before the server's watermark is
 * read, so that no push counts that might not be covered by it (R23).
 */
static void
begin_generation(const char *identity)
{
	if (strcmp(known_identity, identity) != 0)
		strlcpy(known_identity, identity, sizeof(known_identity));
	known_generation = Max(known_generation + 1,
						   (uint64) GetCurrentTimestamp());
	wtc_identity_publish(identity);
	pg_atomic_write_u64(&wtc_shared->generation, known_generation);
	pg_memory_barrier();
}

static WtcStatus
adopt(const char *identity, const Mark *mark, const char *text,
	  XLogRecPtr start)
{
	bool		promoted = mark->any &&
	mark->timeline < GetWALInsertionTimeLine();
	WtcStatus	status;

	if (!mark->any || promoted)
		text = mark_text(start, identity);
	wtc_wal_flush(start);
	status = take_possession(identity, text,
							 mark->rolled_back || promoted ? "1" : "0");
	if (status != WTC_OK)
		return status;
	if (pg_atomic_read_u64(&wtc_shared->watermark) > start ||
		pg_atomic_read_u64(&wtc_shared->watermark) == 0)
		pg_atomic_write_u64(&wtc_shared->watermark, start);
	wtc_replay_restart(start);
	ereport(LOG,
			(errmsg("wtcache: replay begins at %X/%X", LSN_FORMAT_ARGS(start)),
			 errdetail("Redis %s.", !mark->any ? "knows no position" :
					   mark->rolled_back ? "has been restarted or failed over since" :
					   "has kept its data")));
	return WTC_OK;
}

WtcStatus
wtc_position_meet(void)
{
	WtcAnswer	answer;
	WtcStatus	status = say("look", "", "", "", &answer);
	const char *identity;
	const char *text;
	Mark		mark;
	XLogRecPtr	start;
	WtcColdReason reason;
	bool		covered = true;

	if (status != WTC_OK)
		return status;
	if (known && strcmp(known_identity, NO_IDENTITY) != 0 &&
		strcmp(answer.text[SAYS_IDENTITY], known_identity) == 0 &&
		strtoull(answer.text[SAYS_GENERATION], NULL, 10) == known_generation)
		return WTC_OK;

	known = false;
	if (strcmp(known_identity, answer.text[SAYS_IDENTITY]) != 0)
	{
		warn_of_policy(answer.text[SAYS_POLICY]);
		if (strcmp(answer.text[SAYS_IDENTITY], NO_IDENTITY) == 0)
			ereport(WARNING,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("wtcache: Redis does not allow INFO"),
					 errdetail("A promotion of Redis that keeps its connections will not be noticed.")));
	}
	begin_generation(answer.text[SAYS_IDENTITY]);
	status = say("look", "", "", "", &answer);
	if (status != WTC_OK)
		return status;
	identity = answer.text[SAYS_IDENTITY];
	text = answer.text[SAYS_WATERMARK];
	if (strcmp(identity, known_identity) != 0)
		return WTC_FAIL_OTHER;	/* another one already: meet that */

	parse_mark(text, identity, &mark);
	reason = find_start(&mark, &start);
	if (reason == WTC_COLD_NONE && mark.any &&
		mark.timeline < GetWALInsertionTimeLine())
	{
		status = remove_phantoms(mark.timeline, &covered);
		if (status != WTC_OK)
			return status;
		if (!covered)
			reason = WTC_COLD_PHANTOMS;
	}
	if ((reason == WTC_COLD_SYSTEM || reason == WTC_COLD_TIMELINE) &&
		others_alive(answer.text[SAYS_NOW], answer.text[SAYS_BEAT]))
		return WTC_FAIL_OTHER;
	status = reason == WTC_COLD_NONE ? adopt(identity, &mark, text, start) :
		go_cold(reason, identity);
	known = status == WTC_OK;
	return status;
}

WtcStatus
wtc_position_store(XLogRecPtr watermark)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();
	WtcAnswer	answer;
	WtcStatus	status;
	Version		version;

	make_version(version, wtc_wal_timeline(end), end);
	status = say("beat", known_identity, mark_text(watermark, known_identity),
				 version, &answer);
	if (status != WTC_OK)
		return status;
	known = strcmp(answer.text[SAYS_DONE], "1") == 0;
	return WTC_OK;
}
