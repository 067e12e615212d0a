/*-------------------------------------------------------------------------
 *
 * position.c
 *	  Meeting Redis: taking it with a token, and finding out how far it is.
 *
 * First the token is set, then the position is read, in one step: what an old
 * primary or a stalled connection pushes between the two would be lost
 * otherwise.  Redis stays closed to the backends until everything has been
 * deleted that must not be seen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/twophase.h"
#include "access/xlog.h"
#include "guc.h"
#include "change/key.h"
#include "port/atomics.h"
#include "push/link.h"
#include "push/push.h"
#include "push/token.h"
#include "read/ask.h"
#include "redis/keys.h"
#include "redis/script.h"
#include "redis/words.h"
#include "shared/outbox.h"
#include "shared/rounds.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "utils/timestamp.h"
#include "worker/empty.h"
#include "worker/journal.h"
#include "worker/position.h"
#include "worker/replay.h"
#include "worker/slot.h"
#include "worker/wal.h"
#include "worker/worker.h"

/* How many keys take.lua is given. */
#define TAKE_KEYS	5

/* What take.lua answers. */
enum
{
	SAYS_VERDICT,
	SAYS_FOUND,
	SAYS_FIRST_FORMAT,
	SAYS_STORED,
	SAYS_SYSTEM,
	SAYS_TIMELINE,
	SAYS_LSN,
	SAYS_JOURNAL,
	SAYS_KEY,
	SAYS_POLICY,
	SAYS_COUNT
};

/* the token that the worker has set last */
static uint64 number = 0;
static char token[WTC_TOKEN_LEN];

/* another server has Redis, namely the one that wtcache.url told then */
static bool superseded = false;
static uint64 superseded_there;

/* For how long readers are to get leases, by the settings. */
static int
wanted_lease_ms(void)
{
	return wtc_leases ? wtc_lease_ttl : 0;
}

bool
wtc_position_known(void)
{
	return number != 0 && wtc_token() == number &&
		wtc_lease_ms() == wanted_lease_ms();
}

bool
wtc_position_superseded(void)
{
	return superseded && superseded_there == wtc_endpoint_generation;
}

/* A number as text, palloc'd. */
static char *
text_of(uint64 n)
{
	return psprintf(UINT64_FORMAT, n);
}

/* --- the position --- */

typedef struct Position
{
	bool		any;
	bool		first_format;	/* of an earlier release */
	uint64		system;
	TimeLineID	timeline;
	XLogRecPtr	lsn;
	bool		journaled;
	XLogRecPtr	journal;		/* complete from here on */
	bool		same_key;		/* messages in WAL are signed with ours */
} Position;

static void
parse_position(const WtcAnswer *answer, Position *p)
{
	memset(p, 0, sizeof(*p));
	p->any = answer->text[SAYS_SYSTEM][0] != '\0' &&
		answer->text[SAYS_LSN][0] != '\0';
	p->system = strtoull(answer->text[SAYS_SYSTEM], NULL, 10);
	p->timeline = (TimeLineID) strtoul(answer->text[SAYS_TIMELINE], NULL, 10);
	p->lsn = strtoull(answer->text[SAYS_LSN], NULL, 10);
	p->journal = strtoull(answer->text[SAYS_JOURNAL], NULL, 10);
	/* the highest of all while it was being begun */
	p->journaled = answer->text[SAYS_JOURNAL][0] != '\0' &&
		p->journal != PG_UINT64_MAX;
	p->same_key = strcmp(answer->text[SAYS_KEY], wtc_key_id()) == 0;
	p->first_format = strcmp(answer->text[SAYS_FIRST_FORMAT], "0") != 0 ||
		(p->any && answer->text[SAYS_KEY][0] == '\0');
}

void
wtc_position_begin(void)
{
	if (wtc_wal_at_start() == 0)
		wtc_set_wal_at_start(GetXLogInsertRecPtr());
}

/*
 * Stores the position, under the WATCH of the token.  *refused: Redis holds it no
 * more.
 */
static WtcStatus
store(XLogRecPtr lsn, bool *refused)
{
	const char *args[] = {
		"HSET", WTC_KEY_POSITION,
		"system", text_of(GetSystemIdentifier()),
		"timeline", text_of(wtc_wal_timeline(lsn)),
		"lsn", text_of(lsn),
		"key", wtc_key_id()
	};
	WtcFencedAnswer answer;
	WtcStatus	status;

	/* also if the answer is lost */
	wtc_set_wal_at_start(PG_UINT64_MAX);
	status = wtc_command_fenced(lengthof(args), args, &answer);
	*refused = answer.refused || strcmp(wtc_link.watched, token) != 0;
	return status;
}

/* Where the timeline of a position left this server's history. */
static XLogRecPtr
end_of(TimeLineID timeline)
{
	if (timeline == GetWALInsertionTimeLine())
		return PG_UINT64_MAX;
	return tliSwitchPoint(timeline, wtc_wal_history(), NULL);
}

/*
 * Where the replay has to begin for a Redis with this position; or why that is
 * impossible.
 */
static WtcColdReason
find_start(const Position *p, XLogRecPtr *start)
{
	TimeLineID	current = GetWALInsertionTimeLine();

	if (p->first_format)
		return WTC_COLD_FORMAT;
	if (!p->any)
		return WTC_COLD_POSITION;
	if (p->system != GetSystemIdentifier())
		return WTC_COLD_SYSTEM;
	if (!p->same_key)
	{
		/* so was what is in WAL, as far as it is not of this key */
		wtc_key_set_since(GetXLogInsertRecPtr());
		return WTC_COLD_KEY;
	}
	if (p->timeline > current ||
		!tliInHistory(p->timeline, wtc_wal_history()))
		return WTC_COLD_TIMELINE;

	/* by what it has written since, a copy may have come past it */
	if (p->timeline == current &&
		p->lsn > Min(wtc_wal_at_start(), GetXLogInsertRecPtr()))
		return WTC_COLD_AHEAD;
	if (p->timeline < current &&
		(!p->journaled || end_of(p->timeline) < p->journal))
		return WTC_COLD_JOURNAL;
	*start = Min(p->lsn, end_of(p->timeline));
	return wtc_wal_exists(*start) ? WTC_COLD_NONE : WTC_COLD_GAP;
}

/*
 * Deletes what was stored by transactions that this server's history does not
 * have: those of a former timeline beyond the point at which it was left.
 */
static WtcStatus
sweep_journal(void)
{
	int			n = list_length(wtc_wal_history());
	const char **args = palloc(sizeof(char *) * (3 + 2 * n));
	int			nargs = 3;
	uint64		deleted = 0;
	ListCell   *cell;
	WtcStatus	status;

	args[0] = WTC_KEY_JOURNAL;
	args[2] = token;
	foreach(cell, wtc_wal_history())
	{
		TimeLineHistoryEntry *entry = lfirst(cell);

		if (entry->tli == GetWALInsertionTimeLine())
			continue;
		args[nargs++] = text_of(entry->tli);
		args[nargs++] = text_of(entry->end);
	}
	status = wtc_delete_by_steps(wtc_sweep_text, 1, nargs, args, &deleted);
	if (status == WTC_OK)
		ereport(LOG,
				(errmsg("wtcache: this server was promoted, " UINT64_FORMAT " keys deleted from Redis that were stored by a part of WAL that it does not have",
						deleted)));
	return status;
}

/* --- cold --- */

static const char *const reasons[WTC_COLD_REASONS] = {
	[WTC_COLD_NONE] = "never",
	[WTC_COLD_GAP] = "WAL that had to be replayed is gone",
	[WTC_COLD_SYSTEM] = "Redis was written by another PostgreSQL server",
	[WTC_COLD_TIMELINE] = "Redis was written on a timeline that this server does not descend from",
	[WTC_COLD_AHEAD] = "Redis is ahead of this server, which seems to be an older copy",
	[WTC_COLD_JOURNAL] = "Redis has no journal of what was stored before this server was promoted",
	[WTC_COLD_POSITION] = "Redis has lost the position that was stored there",
	[WTC_COLD_FORMAT] = "Redis was written by an earlier release of wtcache",
	[WTC_COLD_KEY] = "Redis or WAL was written with another key than that of this server",
};

const char *
wtc_cold_reason_text(WtcColdReason reason)
{
	return (unsigned) reason < WTC_COLD_REASONS ? reasons[reason] : "unknown";
}

/*
 * Redis is closed to the backends meanwhile, so what they commit is replayed,
 * and opened again under another token: a push that is in doubt by then could
 * be executed later under the former one.  The position is that of before until
 * all is done.
 */
static WtcStatus
go_cold(WtcColdReason reason)
{
	XLogRecPtr	lsn = GetXLogInsertRecPtr();
	uint64		mark;
	bool		stranded = false;
	uint64		deleted = 0;
	bool		refused = false;
	WtcStatus	status;

	wtc_worker_set_state(WTC_WORKER_COLD);
	pg_memory_barrier();
	mark = wtc_inflight_min();
	/* a batch under way will be pushed, or replayed */
	if (mark < lsn && wtc_wal_exists(mark))
		lsn = mark;
	else
		stranded = mark < lsn;
	wtc_wal_flush(lsn);
	status = wtc_delete_stored(token, &deleted);
	if (status == WTC_OK)
		status = wtc_journal_begin(false);
	if (status != WTC_OK)
		return status;

	/* a batch whose transaction is not over is not dead */
	wtc_replay_rescue(lsn);
	status = store(lsn, &refused);
	if (status != WTC_OK || refused)
		return status != WTC_OK ? status :
			wtc_fail(WTC_FAIL_OTHER, WTC_TOKEN_LOST);

	wtc_count(WTC_COLD_STARTS, 1);
	wtc_cold_note(reason);
	wtc_set_watermark(lsn);
	wtc_replay_forget(lsn, stranded);
	ereport(LOG,
			(errmsg("wtcache: the cache was emptied, " UINT64_FORMAT " keys deleted: %s",
					deleted, wtc_cold_reason_text(reason)),
			 errdetail("It fills again as rows are written.")));
	return WTC_OK;
}

/* --- meeting Redis --- */

/* Policies that evict tag sets before their members, or the token. */
static void
warn_of_policy(const char *policy)
{
	static char last[64] = "";

	if (strcmp(policy, last) == 0)
		return;
	strlcpy(last, policy, sizeof(last));
	if (strncmp(policy, "allkeys-", 8) == 0 ||
		strcmp(policy, "volatile-ttl") == 0 ||
		strcmp(policy, "volatile-random") == 0)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("wtcache: maxmemory-policy of Redis is %s", policy),
				 errdetail("It may evict tag sets before their members, so that an invalidation does not find them."),
				 errhint("Use noeviction, volatile-lru or volatile-lfu.")));
}

static void
stand_back(const char *verdict, const char *found)
{
	bool		later = strcmp(verdict, "superseded") == 0;

	superseded = true;
	superseded_there = wtc_endpoint_generation;
	number = 0;
	/* else its end, which is not looked at, would keep the worker awake */
	wtc_link_hang_up();
	wtc_worker_set_state(WTC_WORKER_SUPERSEDED);
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 later ? errmsg("wtcache: a server that was promoted has taken Redis over") :
			 errmsg("wtcache: another PostgreSQL server has taken Redis over"),
			 errdetail("This server writes to Redis no more.  The token found there is \"%s\".",
					   found),
			 errhint("Shut down the server that should not write, or give it a Redis database of its own; then call wtcache.take_over() on the other one.")));
}

/*
 * Sets the token.  *kept: Redis has lost nothing since this connection watched
 * the token last, because the EXEC that set the new one was not refused.
 */
static WtcStatus
set_token(bool fresh, WtcAnswer *answer, bool *kept)
{
	bool		told = wtc_take_over_asked();
	bool		watched = !fresh && number != 0 &&
	strcmp(wtc_link.watched, token) == 0;
	const char *args[] = {
		WTC_KEY_TOKEN, WTC_KEY_POSITION, WTC_KEY_JOURNAL, WTC_KEY_PATTERNS,
		WTC_KEY_VALUES,
		text_of(GetSystemIdentifier()), text_of(GetWALInsertionTimeLine()),
		NULL, token, told ? "2" : wtc_token_was_set() ? "0" : "1",
		text_of(wanted_lease_ms())
	};
	WtcStatus	status;

	/* the server that has Redis so far must find that this one has come later */
	if (told || !wtc_token_was_set())
		wtc_token_start();
	args[TAKE_KEYS + 2] = text_of(wtc_token_started());
	do
	{
		if (!pg_strong_random(&number, sizeof(number)))
			number = (uint64) GetCurrentTimestamp();
	} while (number == 0);
	wtc_token_text(token, number);

	*kept = false;
	if (watched)
	{
		WtcFencedAnswer fenced;

		status = wtc_eval_fenced(wtc_take_text, TAKE_KEYS, lengthof(args), args,
								 &fenced);
		if (status != WTC_OK && status != WTC_FAIL_OOM)
			return status;
		*kept = status == WTC_OK && !fenced.refused;
		*answer = fenced.answer;
	}
	if (!*kept)
		status = wtc_eval(wtc_take_text, TAKE_KEYS, lengthof(args), args, answer);
	if (status == WTC_OK && answer->n != SAYS_COUNT && answer->n != 2)
		return WTC_FAIL_PROTOCOL;
	return status;
}

/* The replay begins here, or (kept) goes on where it was. */
static WtcStatus
adopt(const Position *p, XLogRecPtr start)
{
	bool		refused = false;
	WtcStatus	status = WTC_OK;

	if (p->any && p->timeline < GetWALInsertionTimeLine())
	{
		XLogRecPtr	slot = wtc_slot_position();

		/*
		 * What the old primary had committed of transactions that are still
		 * prepared here may lie before the position.
		 */
		if (slot != InvalidXLogRecPtr && wtc_wal_exists(slot))
			start = Min(start, slot);
		status = sweep_journal();
	}
	wtc_wal_flush(start);
	if (status == WTC_OK)
		status = wtc_journal_begin(p->journaled);
	if (status == WTC_OK && !p->any)
		status = wtc_patterns_complete();
	if (status == WTC_OK)
		status = store(start, &refused);
	if (status == WTC_OK && refused)
		return wtc_fail(WTC_FAIL_OTHER, WTC_TOKEN_LOST);	/* meet what is there */
	/* a server that is full keeps an older position, if it has one */
	if (status != WTC_OK && !(status == WTC_FAIL_OOM && p->any))
		return status;
	if (wtc_watermark() > start || wtc_watermark() == 0)
		wtc_set_watermark(start);
	wtc_replay_restart(start);
	ereport(LOG,
			(errmsg("wtcache: replay begins at %X/%X", LSN_FORMAT_ARGS(start)),
			 p->any ? 0 : errdetail("Redis knows no position.")));
	return WTC_OK;
}

/*
 * Redis knows nothing of this server: it is new, or was emptied.  What had been
 * pushed before is gone by choice; only the rest is pushed.  If this is the first
 * Redis since the server's start, that is what backends have under way, or have
 * left, and what was prepared earlier.
 */
static XLogRecPtr
start_anew(void)
{
	XLogRecPtr	start = wtc_watermark();
	uint64		marked;
	uint64		left;

	if (start != InvalidXLogRecPtr)
		return start;
	start = GetXLogInsertRecPtr();
	/* in the order in which a batch moves on, so that it cannot slip by */
	pg_memory_barrier();
	marked = wtc_inflight_min();
	pg_memory_barrier();
	left = wtc_replay_from();
	start = Min(start, Min(marked, left));
	wtc_replay_rescue(start);
	return start;
}

/*
 * Readers may fill from now on.  Not earlier: they might fill what a transaction
 * replaces that commits before it has been decided what is to be replayed, and is
 * left out because the cache is empty.
 */
static WtcStatus
begin_leases(void)
{
	const char *args[] = {"HDEL", WTC_KEY_LEASES, "closed"};
	WtcFencedAnswer answer;
	WtcStatus	status = wtc_command_fenced(lengthof(args), args, &answer);

	return status != WTC_OK || !answer.refused ? status :
		wtc_fail(WTC_FAIL_OTHER, WTC_TOKEN_LOST);
}

WtcStatus
wtc_position_meet(bool fresh)
{
	WtcAnswer	answer;
	Position	p;
	XLogRecPtr	start = InvalidXLogRecPtr;
	WtcColdReason reason = WTC_COLD_NONE;
	bool		kept;
	bool		adopting = false;
	WtcStatus	status;

	/*
	 * Where Redis refuses the new token the old one stays, and every commit
	 * may find that Redis accepts writes again.
	 */
	status = set_token(fresh, &answer, &kept);
	if (status != WTC_OK)
		return status;

	/* from here on until it is opened again, nothing is pushed */
	wtc_token_close();
	wtc_set_lease_ms(wanted_lease_ms());
	superseded = false;
	if (strcmp(answer.text[SAYS_VERDICT], "taken") != 0)
	{
		stand_back(answer.text[SAYS_VERDICT], answer.text[SAYS_FOUND]);
		return WTC_OK;
	}
	/* not before it is done: Redis may be away at first */
	wtc_take_over_done();
	if (answer.n != SAYS_COUNT)
		return WTC_FAIL_PROTOCOL;
	warn_of_policy(answer.text[SAYS_POLICY]);
	status = wtc_conn_watch(&wtc_link, wtc_push_deadline(),
							wtc_link_told_to_stop);
	if (status != WTC_OK)
		return status;
	if (strcmp(wtc_link.watched, token) != 0)
		return wtc_fail(WTC_FAIL_OTHER, WTC_TOKEN_LOST);

	parse_position(&answer, &p);
	if (!kept || !p.any)
	{

		/*
		 * Without a position, a token may be of a state that was put back,
		 * and what has been stored is of an unknown time.
		 */
		if (p.any || p.first_format || answer.text[SAYS_FOUND][0] != '\0' ||
			strcmp(answer.text[SAYS_STORED], "0") != 0)
			reason = find_start(&p, &start);
		else
			start = start_anew();
		adopting = true;
	}
	/* a token without a position may be ours, and this what has kept us */
	if (wtc_replay_gap() != WTC_COLD_NONE &&
		(reason == WTC_COLD_NONE || reason == WTC_COLD_POSITION))
		reason = wtc_replay_gap();
	if (reason != WTC_COLD_NONE)
		status = go_cold(reason);
	else if (adopting)
		status = adopt(&p, start);
	if (status == WTC_OK && wtc_lease_ms() > 0)
		status = begin_leases();
	if (status == WTC_OK)
		wtc_token_open(number);
	return status;
}

WtcStatus
wtc_position_store(XLogRecPtr watermark, bool trim)
{
	bool		refused = false;
	WtcStatus	status = store(watermark, &refused);

	if (refused)
		wtc_token_close();
	/* a server that is full keeps the old one */
	if (status == WTC_FAIL_OOM)
		return WTC_OK;
	if (status != WTC_OK || refused || !trim)
		return status;
	return wtc_journal_beat(token);
}
