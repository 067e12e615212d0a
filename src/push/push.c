/*-------------------------------------------------------------------------
 *
 * push.c
 *	  Taking a batch to Redis.
 *
 * wtc_push_run() is called when the transaction is committed and the client
 * is waiting.  An error there would be a PANIC, so nothing on that path may
 * reach ereport, palloc, a syscache, a latch or a lock: it uses redis/,
 * shared/ and the memory that wtc_push_prepare() has set aside.
 *
 * The caller has set CurrentResourceOwner to NULL by then, so that a mistake
 * shows at once on every version and not only where resource owners refuse
 * to grow while they are released.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "access/xlog.h"
#include "guc.h"
#include "push/link.h"
#include "push/push.h"
#include "push/reply.h"
#include "push/request.h"
#include "redis/resp.h"
#include "redis/script.h"
#include "shared/debug.h"
#include "shared/shmem.h"
#include "utils/memutils.h"

/* a reply of apply.lua is some 150 bytes; there are MAX_UNDERWAY of them */
#define PUSH_MAX_READ	(64 * 1024 * 1024)

StaticAssertDecl(WTC_STATUS_COUNT <= WTC_FAIL_CLASSES,
				 "there must be a counter for every class of failure");

struct WtcPush
{
	WtcRequest	request;
	WtcCursor	start;			/* to begin again after NOSCRIPT */
	TimeLineID	timeline;
	char		version[WTC_VERSION_LEN + 1];
	char		commit[WTC_VERSION_LEN + 1];
	bool		skipped;		/* the breaker was open */
	WtcStatus	unready;		/* why there was no connection, or WTC_OK */

	/* operations by kind */
	uint64		sets;
	uint64		deletes;
	uint64		invalidations;

	/* what the replies said */
	uint32		acked;			/* chunks whose reply was good */
	uint32		skip;			/* chunks not to send again */
	WtcSaid		said;
	int64		drain_left;
};

int64
wtc_push_deadline(void)
{
	return wtc_clock_us() + (int64) wtc_push_timeout * 1000;
}

int64
wtc_push_created(void)
{
	return wtc_link_status == WTC_OK ? wtc_conn_server_clock(&wtc_link) : 0;
}

static void
count_operations(WtcPush *push)
{
	WtcCursor	cursor = push->request.cursor;
	WtcOperation op;

	while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
	{
		if (op.kind == WTC_OP_INVALIDATE)
			push->invalidations++;
		else if (op.kind == WTC_OP_DELETE)
			push->deletes++;
		else
			push->sets++;
	}
}

WtcPush *
wtc_push_prepare(const char *batch, size_t len, XLogRecPtr lsn,
				 int64 created_us)
{
	WtcPush    *push = palloc0(sizeof(WtcPush));
	WtcRequest *request = &push->request;
	TimeLineID	timeline = GetWALInsertionTimeLine();

	push->skipped = wtc_link_skipped;
	push->unready = wtc_link_status;
	if (timeline > WTC_MAX_TIMELINE)
		elog(ERROR, "timeline %u does not fit into a version", timeline);
	push->timeline = timeline;
	snprintf(push->version, sizeof(push->version), WTC_VERSION_FORMAT,
			 timeline, (uint64) lsn);

	if (!wtc_batch_open(&request->cursor, batch, len))
		elog(ERROR, "unexpected format of a batch");
	push->start = request->cursor;
	request->version = push->version;
	request->commit = push->commit;
	count_operations(push);
	if (push->unready != WTC_OK)
		return push;

	request->created_us = created_us;
	request->fence_us = wtc_debug_no_fence ? 0 :
		(int64) wtc_fence_ttl * 1000000;
	request->size = wtc_request_room(batch, len);
	request->buf = MemoryContextAllocHuge(CurrentMemoryContext,
										  request->size);
	return push;
}

/* --- from here on: after the commit record --- */

static int
next_chunk(void *arg, const char **data, size_t *len)
{
	WtcPush    *push = arg;

	while (push->skip > 0)
	{
		push->skip--;
		(void) wtc_request_next(&push->request);
	}
	*len = wtc_request_next(&push->request);
	*data = push->request.buf;
	return *len > 0 ? 1 : 0;
}

static WtcStatus
chunk_reply(void *arg, const redisReply *reply)
{
	WtcPush    *push = arg;
	WtcStatus	status = wtc_take_reply(reply, push->version, &push->said);

	if (status == WTC_OK)
		push->acked++;
	return status;
}

static int
next_drain(void *arg, const char **data, size_t *len)
{
	WtcPush    *push = arg;

	if (push->drain_left <= 0)
		return 0;
	push->drain_left = 0;		/* until the reply says otherwise */
	*len = wtc_request_drain(&push->request);
	*data = push->request.buf;
	return 1;
}

static WtcStatus
drain_reply(void *arg, const redisReply *reply)
{
	WtcPush    *push = arg;

	if (reply->type == REDIS_REPLY_ERROR)
		return wtc_status_of_error(reply->str);
	if (reply->type != REDIS_REPLY_INTEGER)
		return WTC_FAIL_PROTOCOL;
	push->drain_left = reply->integer;
	return WTC_OK;
}

/* Talks; sends the scripts and talks again where Redis has lost them. */
static WtcStatus
talk_with_scripts(WtcPush *push, WtcTalk *talk)
{
	WtcStatus	status = WTC_OK;

	/* another client may flush the scripts again: bounded by the deadline */
	for (int attempt = 0; attempt < 3; attempt++)
	{
		push->request.cursor = push->start;
		push->skip = push->acked;
		push->drain_left = 1;
		status = wtc_conn_talk(&wtc_link, talk);
		wtc_count(WTC_BYTES_SENT, talk->sent);
		if (status != WTC_NOSCRIPT)
			return status;
		status = wtc_conn_load_scripts(&wtc_link, talk->deadline_us, wtc_link_told_to_stop);
		if (status != WTC_OK)
			return status;
	}
	return WTC_FAIL_OTHER;
}

static WtcStatus
push_to_redis(WtcPush *push, int64 deadline_us)
{
	WtcTalk		talk = {
		.next = next_chunk,.reply = chunk_reply,.arg = push,
		.deadline_us = deadline_us,.stop = wtc_link_told_to_stop,
		.max_read = PUSH_MAX_READ
	};
	WtcStatus	status = talk_with_scripts(push, &talk);

	/* large tag sets are emptied in steps */
	if (status == WTC_OK && push->said.count[WTC_REPLY_DRAINING] > 0)
	{
		talk.next = next_drain;
		talk.reply = drain_reply;
		do
		{
			status = talk_with_scripts(push, &talk);
		} while (status == WTC_OK && push->drain_left > 0);
	}

	return status;
}

WtcPushOutcome
wtc_push_run(WtcPush *push, int64 deadline_us)
{
	WtcStatus	status;
	WtcStatus	cold;

	if (push->unready != WTC_OK)
		return push->skipped ? WTC_PUSH_SKIPPED : WTC_PUSH_FAILED;
	if (wtc_debug_hold_push)
	{
		wtc_debug_hold();
		deadline_us = wtc_push_deadline();
	}

	/* the transaction that has just ended is this one */
	Assert(XactLastCommitEnd != InvalidXLogRecPtr);
	snprintf(push->commit, sizeof(push->commit), WTC_VERSION_FORMAT,
			 push->timeline, (uint64) XactLastCommitEnd);
	status = push_to_redis(push, deadline_us);
	cold = status == WTC_OK ? wtc_said_cold(&push->said) : WTC_OK;
	wtc_link_note(cold != WTC_OK ? cold : status);
	wtc_count_said(&push->said);
	if (status != WTC_OK)
		return WTC_PUSH_FAILED;
	if (push->said.stranger)
		return WTC_PUSH_UNCONFIRMED;
	if (cold != WTC_OK)
		return WTC_PUSH_COLD;
	wtc_count(WTC_SETS, push->sets);
	wtc_count(WTC_DELETES, push->deletes);
	wtc_count(WTC_INVALIDATIONS, push->invalidations);
	return WTC_PUSH_DONE;
}
