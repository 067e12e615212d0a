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
#include "miscadmin.h"
#include "push/push.h"
#include "push/request.h"
#include "redis/conn.h"
#include "redis/resp.h"
#include "redis/script.h"
#include "shared/breaker.h"
#include "shared/debug.h"
#include "shared/shmem.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

/* a reply of apply.lua is some 150 bytes; there are MAX_UNDERWAY of them */
#define PUSH_MAX_READ	(64 * 1024 * 1024)

StaticAssertDecl(WTC_STATUS_COUNT <= WTC_FAIL_CLASSES,
				 "there must be a counter for every class of failure");

struct WtcPush
{
	WtcRequest	request;
	WtcCursor	start;			/* to begin again after NOSCRIPT */
	char		version[WTC_VERSION_LEN + 1];
	bool		skipped;		/* the breaker was open */
	WtcStatus	unready;		/* why there was no connection, or WTC_OK */

	/* operations by kind */
	uint64		sets;
	uint64		deletes;
	uint64		invalidations;

	/* what the replies said */
	uint32		acked;			/* chunks whose reply was good */
	uint32		skip;			/* chunks not to send again */
	uint64		said[WTC_REPLY_COUNT];
	int64		drain_left;
};

static WtcConn conn;
static uint64 conn_generation;
static bool exit_registered = false;

/* how the last wtc_push_connect() of this backend ended */
static WtcStatus connect_status = WTC_FAIL_CLOSED;
static bool connect_skipped = false;

/*
 * A cancelled or terminated session gives up waiting for Redis; its commit
 * goes on.  The flags stay: a procedure that has committed is cancelled at
 * its next step, and a session that is idle again ignores a cancel.
 */
static bool
told_to_stop(void)
{
	return QueryCancelPending || ProcDiePending;
}

static int64
cooldown_us(void)
{
	return (int64) wtc_breaker_cooldown * 1000;
}

static void
note_outcome(WtcStatus status)
{
	Assert(status != WTC_NOSCRIPT);
	if (status != WTC_OK)
		wtc_count_failure(status);
	if (wtc_status_is_outage(status))
		wtc_breaker_failure(wtc_clock_us(), wtc_breaker_failures,
							cooldown_us());
	else if (status != WTC_FAIL_CANCELLED)
		wtc_breaker_success();
}

static void
close_at_exit(int code, Datum arg)
{
	wtc_conn_close(&conn);
}

/* The first line of password_file, or NULL: none set.  False: unreadable. */
static bool
read_password(char *buf, size_t size, const char **password)
{
	FILE	   *f;
	bool		ok;

	*password = NULL;
	if (wtc_password_file == NULL || wtc_password_file[0] == '\0')
		return true;
	f = fopen(wtc_password_file, "r");
	if (f == NULL)
		return false;
	ok = fgets(buf, size, f) != NULL;
	fclose(f);
	if (!ok)
		return false;
	buf[strcspn(buf, "\r\n")] = '\0';
	*password = buf;
	return true;
}

static WtcStatus
open_connection(void)
{
	WtcEndpoint ep;
	char		buf[512];
	const char *password;
	WtcStatus	status;

	if (wtc_url_parse(wtc_url, &ep) != NULL ||
		!read_password(buf, sizeof(buf), &password))
		return WTC_FAIL_CONFIG;

	/* the connection stays: count its descriptor among the reserved ones */
	if (!exit_registered)
	{
		(void) AcquireExternalFD();
		on_proc_exit(close_at_exit, (Datum) 0);
		exit_registered = true;
	}
	status = wtc_conn_open(&conn, &ep, password,
						   (int64) wtc_fence_ttl * 1000000,
						   wtc_clock_us() + (int64) wtc_connect_timeout * 1000,
						   told_to_stop);
	if (status == WTC_OK)
		conn_generation = wtc_endpoint_generation;
	return status;
}

void
wtc_push_connect(void)
{
	connect_skipped = wtc_url[0] == '\0' ||
		!wtc_breaker_allows(wtc_clock_us(), cooldown_us());
	if (connect_skipped)
	{
		connect_status = WTC_FAIL_CONNECT;
		return;
	}
	connect_status = WTC_OK;
	if (conn_generation == wtc_endpoint_generation && wtc_conn_alive(&conn))
		return;

	wtc_conn_reset(&conn);
	connect_status = open_connection();
	if (connect_status != WTC_OK)
		note_outcome(connect_status);
	CHECK_FOR_INTERRUPTS();
}

int64
wtc_push_deadline(void)
{
	return wtc_clock_us() + (int64) wtc_push_timeout * 1000;
}

int64
wtc_push_created(void)
{
	return connect_status == WTC_OK ? wtc_conn_server_clock(&conn) : 0;
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

	push->skipped = connect_skipped;
	push->unready = connect_status;
	if (timeline > WTC_MAX_TIMELINE)
		elog(ERROR, "timeline %u does not fit into a version", timeline);
	snprintf(push->version, sizeof(push->version), WTC_VERSION_FORMAT,
			 timeline, (uint64) lsn);

	if (!wtc_batch_open(&request->cursor, batch, len))
		elog(ERROR, "unexpected format of a batch");
	push->start = request->cursor;
	request->version = push->version;
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
	const redisReply *version;

	if (reply->type == REDIS_REPLY_ERROR)
		return wtc_status_of_error(reply->str);
	if (reply->type != REDIS_REPLY_ARRAY ||
		reply->elements != WTC_REPLY_COUNT)
		return WTC_FAIL_PROTOCOL;
	for (int i = 0; i < WTC_REPLY_VERSION; i++)
	{
		if (reply->element[i]->type != REDIS_REPLY_INTEGER ||
			reply->element[i]->integer < 0)
			return WTC_FAIL_PROTOCOL;
	}
	/* is it the answer to this question, and not to an earlier one? */
	version = reply->element[WTC_REPLY_VERSION];
	if (version->type != REDIS_REPLY_STRING ||
		strcmp(version->str, push->version) != 0)
		return WTC_FAIL_PROTOCOL;

	for (int i = WTC_REPLY_STORED; i < WTC_REPLY_VERSION; i++)
		push->said[i] += reply->element[i]->integer;
	wtc_conn_note_clock(&conn, reply->element[WTC_REPLY_NOW]->integer);
	push->acked++;
	return WTC_OK;
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
		status = wtc_conn_talk(&conn, talk);
		wtc_count(WTC_BYTES_SENT, talk->sent);
		if (status != WTC_NOSCRIPT)
			return status;
		status = wtc_conn_load_scripts(&conn, talk->deadline_us, told_to_stop);
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
		.deadline_us = deadline_us,.stop = told_to_stop,
		.max_read = PUSH_MAX_READ
	};
	WtcStatus	status = talk_with_scripts(push, &talk);

	/* large tag sets are emptied in steps */
	if (status == WTC_OK && push->said[WTC_REPLY_DRAINING] > 0)
	{
		talk.next = next_drain;
		talk.reply = drain_reply;
		do
		{
			status = talk_with_scripts(push, &talk);
		} while (status == WTC_OK && push->drain_left > 0);
	}

	if (status != WTC_OK)
		return status;
	if (push->said[WTC_REPLY_OOM] > 0)
		return WTC_FAIL_OOM;
	if (push->said[WTC_REPLY_WRONGTYPE] > 0)
		return WTC_FAIL_WRONGTYPE;
	return push->said[WTC_REPLY_FAILED] > 0 ? WTC_FAIL_OTHER : WTC_OK;
}

WtcPushOutcome
wtc_push_run(WtcPush *push, int64 deadline_us)
{
	WtcStatus	status;

	if (push->unready != WTC_OK)
		return push->skipped ? WTC_PUSH_SKIPPED : WTC_PUSH_FAILED;
	if (wtc_debug_hold_push)
	{
		wtc_debug_hold();
		deadline_us = wtc_push_deadline();
	}

	status = push_to_redis(push, deadline_us);
	note_outcome(status);
	wtc_count(WTC_STORED, push->said[WTC_REPLY_STORED]);
	wtc_count(WTC_REFUSED_OLDER, push->said[WTC_REPLY_OLDER]);
	wtc_count(WTC_DEGRADED, push->said[WTC_REPLY_DEGRADED]);
	if (status != WTC_OK)
		return WTC_PUSH_FAILED;
	wtc_count(WTC_SETS, push->sets);
	wtc_count(WTC_DELETES, push->deletes);
	wtc_count(WTC_INVALIDATIONS, push->invalidations);
	return WTC_PUSH_DONE;
}

/* --- reading, before the commit record --- */

typedef struct Get
{
	const char *request;
	size_t		len;
	bool		asked;
	WtcValue   *value;
} Get;

static int
next_get(void *arg, const char **data, size_t *len)
{
	Get		   *get = arg;

	if (get->asked)
		return 0;
	get->asked = true;
	*data = get->request;
	*len = get->len;
	return 1;
}

static void *
try_alloc(size_t size)
{
	return palloc_extended(size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
}

/* An error must not leave the reply behind: nothing here may raise one. */
static WtcStatus
take_hash(WtcValue *value, const redisReply *reply)
{
	char	   *p;
	size_t		room = 0;

	for (size_t i = 0; i < reply->elements; i++)
	{
		if (reply->element[i]->type != REDIS_REPLY_STRING)
			return WTC_FAIL_PROTOCOL;
		room += sizeof(uint32) + reply->element[i]->len;
	}
	value->data = p = try_alloc(room + 1);
	if (p == NULL)
		return WTC_FAIL_OOM;
	for (size_t i = 0; i < reply->elements; i++)
	{
		uint32		len = reply->element[i]->len;

		memcpy(p, &len, sizeof(len));
		memcpy(p + sizeof(len), reply->element[i]->str, len);
		p += sizeof(len) + len;
	}
	value->kind = WTC_VALUE_HASH;
	value->len = room;
	return WTC_OK;
}

static WtcStatus
get_reply(void *arg, const redisReply *reply)
{
	WtcValue   *value = ((Get *) arg)->value;

	switch (reply->type)
	{
		case REDIS_REPLY_ERROR:
			return wtc_status_of_error(reply->str);
		case REDIS_REPLY_NIL:
			value->kind = WTC_VALUE_NONE;
			return WTC_OK;
		case REDIS_REPLY_INTEGER:
			value->kind = WTC_VALUE_NUMBER;
			value->len = reply->integer;
			return WTC_OK;
		case REDIS_REPLY_STRING:
			value->data = try_alloc(reply->len + 1);
			if (value->data == NULL)
				return WTC_FAIL_OOM;
			memcpy(value->data, reply->str, reply->len);
			value->data[reply->len] = '\0';
			value->len = reply->len;
			value->kind = WTC_VALUE_STRING;
			return WTC_OK;
		case REDIS_REPLY_ARRAY:
			return take_hash(value, reply);
		default:
			return WTC_FAIL_PROTOCOL;
	}
}

static WtcStatus
ask(const char *command, const char *key, size_t len,
	const char *member, size_t memberlen, WtcValue *value)
{
	char	   *buf = palloc(len + memberlen + 128);
	char	   *p = wtc_resp_begin(buf, member != NULL ? 3 : 2);
	Get			get = {.request = buf,.value = value};
	WtcTalk		talk = {
		.next = next_get,.reply = get_reply,.arg = &get,
		.deadline_us = wtc_push_deadline(),.stop = told_to_stop,
		.max_read = MaxAllocHugeSize
	};
	WtcStatus	status;

	p = wtc_resp_arg(p, command, strlen(command));
	p = wtc_resp_arg(p, key, len);
	if (member != NULL)
		p = wtc_resp_arg(p, member, memberlen);
	get.len = p - buf;
	memset(value, 0, sizeof(*value));
	status = wtc_conn_talk(&conn, &talk);
	pfree(buf);
	return status;
}

/*
 * Reading tells less about Redis than pushing does: a value that we cannot
 * take is somebody else's, and no outage.
 */
static void
note_read(WtcStatus status)
{
	if (status == WTC_FAIL_PROTOCOL || status == WTC_FAIL_OOM)
		wtc_count_failure(status);
	else if (status == WTC_FAIL_WRONGTYPE)
		wtc_breaker_success();
	else
		note_outcome(status);
	CHECK_FOR_INTERRUPTS();
}

WtcStatus
wtc_push_get(const char *key, size_t len, WtcValue *value)
{
	WtcStatus	status;

	wtc_push_connect();
	if (connect_status != WTC_OK)
		return connect_status;
	status = ask("GET", key, len, NULL, 0, value);
	if (status == WTC_FAIL_WRONGTYPE)
		status = ask("HGETALL", key, len, NULL, 0, value);
	note_read(status);
	return status;
}

WtcStatus
wtc_push_is_member(const char *set, size_t setlen, const char *key, size_t len,
				   bool *member)
{
	WtcValue	value;
	WtcStatus	status;

	wtc_push_connect();
	if (connect_status != WTC_OK)
		return connect_status;
	status = ask("SISMEMBER", set, setlen, key, len, &value);
	*member = value.kind == WTC_VALUE_NUMBER && value.len > 0;
	note_read(status);
	return status == WTC_FAIL_WRONGTYPE ? WTC_OK : status;
}
