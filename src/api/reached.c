/*-------------------------------------------------------------------------
 *
 * reached.c
 *	  wtcache.token() and wtcache.reached(): reading one's writes elsewhere.
 *
 * A reader's token is a position in WAL, with its timeline and system.  It is the
 * end of WAL when it is made, and not the end of the session's last commit: so it
 * is also behind what the caller has only seen, and a pool may run the call in
 * another session than the transaction.  WAL is flushed up to there, so that no
 * crash gives the position to other records, and standbys get it at once.
 *
 * It is reached on a standby that has replayed WAL so far, and in Redis when the
 * position there is so far (redis/reached.lua).  The words are numbers as they
 * are in Redis.
 *
 * May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "fmgr.h"
#include "read/wait.h"
#include "redis/conn.h"
#include "shared/rounds.h"
#include "shared/waits.h"
#include "sql.h"
#include "txn/pending.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "walpos.h"

PG_FUNCTION_INFO_V1(wtcache_token);
PG_FUNCTION_INFO_V1(wtcache_reached);

typedef struct ReaderToken
{
	uint64		system;
	TimeLineID	timeline;
	XLogRecPtr	lsn;
} ReaderToken;

typedef enum Progress
{
	PROGRESS_REACHED,
	PROGRESS_NOT_YET,
	PROGRESS_NEVER
} Progress;

Datum
wtcache_token(PG_FUNCTION_ARGS)
{
	XLogRecPtr	lsn;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("wtcache.token() cannot be executed during recovery: call it on the primary server.")));
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || wtc_pending_any())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("the transaction has not been committed"),
				 errdetail("A token made before the commit would not cover it."),
				 errhint("Call wtcache.token() after COMMIT.")));

	/* as a position behind a record is, which may end where a page does */
	lsn = wtc_flushable(GetXLogInsertRecPtr());
	XLogFlush(lsn);
	wtc_position_ask(lsn);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(UINT64_FORMAT "-%u-" UINT64_FORMAT,
											  GetSystemIdentifier(),
											  GetWALInsertionTimeLine(),
											  lsn)));
}

/*
 * Takes a number from 1 to max off the beginning of a text, as it is printed; 0:
 * there is none.
 */
static uint64
take_number(const char **text, uint64 max)
{
	uint64		n = 0;

	if (**text == '0')
		return 0;
	for (; **text >= '0' && **text <= '9'; (*text)++)
	{
		unsigned	digit = **text - '0';

		if (n > (max - digit) / 10)
			return 0;
		n = n * 10 + digit;
	}
	return n;
}

/* It comes from a cookie, say: what it is instead is not for the log. */
static ReaderToken
parse_token(const char *text)
{
	ReaderToken token = {0};

	token.system = take_number(&text, PG_UINT64_MAX);
	if (*text == '-')
	{
		text++;
		token.timeline = (TimeLineID) take_number(&text, PG_UINT32_MAX);
	}
	if (*text == '-')
	{
		text++;
		token.lsn = take_number(&text, PG_UINT64_MAX);
	}
	if (token.system == 0 || token.timeline == 0 || token.lsn == 0 ||
		*text != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("malformed token"),
				 errdetail("A token is what wtcache.token() has returned: three numbers joined by \"-\".")));
	return token;
}

/*
 * Is the token's timeline one that this one has come from, and was it left behind
 * the token only?  A standby that lacks the history of its timeline, which it never
 * deletes, says no.
 */
static bool
in_history(const ReaderToken *token, TimeLineID timeline)
{
	List	   *history = readTimeLineHistory(timeline);

	return tliInHistory(token->timeline, history) &&
		token->lsn <= tliSwitchPoint(token->timeline, history, NULL);
}

static Progress
progress_of(const ReaderToken *token)
{
	bool		recovering = RecoveryInProgress();
	TimeLineID	timeline;
	XLogRecPtr	lsn;

	if (token->system != GetSystemIdentifier())
		return PROGRESS_NEVER;
	if (recovering)
		lsn = GetXLogReplayRecPtr(&timeline);
	else
	{
		timeline = GetWALInsertionTimeLine();
		lsn = GetXLogInsertRecPtr();
	}
	if (token->timeline < timeline)
		return in_history(token, timeline) ? PROGRESS_REACHED : PROGRESS_NEVER;
	if (token->timeline == timeline && token->lsn <= lsn)
		return PROGRESS_REACHED;
	return recovering ? PROGRESS_NOT_YET : PROGRESS_NEVER;
}

Datum
wtcache_reached(PG_FUNCTION_ARGS)
{
	ReaderToken token = parse_token(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	int64		deadline = wtc_clock_us() +
	wtc_timeout_us(PG_GETARG_INTERVAL_P(1));
	Progress	progress;

	if (IsolationUsesXactSnapshot() && IsTransactionBlock())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("the transaction has its snapshot already"),
				 errdetail("In REPEATABLE READ and SERIALIZABLE it does not see what the server gets from now on."),
				 errhint("Call wtcache.reached() before the transaction begins.")));

	while ((progress = progress_of(&token)) == PROGRESS_NOT_YET &&
		   wtc_wait_a_moment(deadline, wtc_wait_await_replay))
		;
	PG_RETURN_BOOL(progress == PROGRESS_REACHED);
}
