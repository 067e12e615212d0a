/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  Pushing batches that were read from WAL, for the worker.
 *
 * One conversation for all of them: requests are sent ahead of the replies,
 * and a reply is known to belong to its request by the version in it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "guc.h"
#include "push/link.h"
#include "push/push.h"
#include "push/reply.h"
#include "push/request.h"
#include "shared/shmem.h"
#include "utils/memutils.h"

/* more than wtc_conn_talk() ever has under way */
#define RING			256
/* the talk has no end; what it reads is checked reply by reply */
#define STREAM_MAX_READ	((size_t) -1)

/* A request whose reply has not come. */
typedef struct Sent
{
	char		version[WTC_VERSION_LEN + 1];
	XLogRecPtr	start;
	uint32		operations;
	bool		last;			/* of its batch */
} Sent;

typedef struct Streaming
{
	WtcStream  *stream;
	WtcTalk    *talk;
	WtcRequest	request;
	char		commit[WTC_VERSION_LEN + 1];
	Sent		now;			/* the batch being sent */
	Sent		ring[RING];
	uint32		sent;
	uint32		acked;
	WtcSaid		said;
} Streaming;

/* Takes the next batch up; false: there is none. */
static bool
begin_batch(Streaming *s)
{
	WtcRequest *request = &s->request;
	WtcStreamBatch batch;
	size_t		room;

	if (!s->stream->next(s->stream->arg, &batch))
		return false;
	if (!wtc_batch_open(&request->cursor, batch.data, batch.len))
		elog(ERROR, "unexpected format of a batch");
	room = wtc_request_room(batch.data, batch.len);
	if (room > request->size)
	{
		if (request->buf != NULL)
			pfree(request->buf);
		request->buf = MemoryContextAllocHuge(CurrentMemoryContext, room);
		request->size = room;
	}
	snprintf(s->now.version, sizeof(s->now.version), WTC_VERSION_FORMAT,
			 batch.timeline, (uint64) batch.lsn);
	snprintf(s->commit, sizeof(s->commit), WTC_VERSION_FORMAT,
			 batch.commit_timeline, (uint64) batch.commit);
	s->now.start = batch.start;
	request->version = s->now.version;
	request->created_us = batch.created_us;
	return true;
}

static int
next_request(void *arg, const char **data, size_t *len)
{
	Streaming  *s = arg;
	Sent	   *sent = &s->ring[s->sent % RING];

	Assert(s->sent - s->acked < RING);
	while (wtc_cursor_done(&s->request.cursor))
	{
		bool		any = begin_batch(s);

		/* the time it took to read is not Redis' fault */
		s->talk->deadline_us = wtc_push_deadline();
		if (!any)
			return 0;
	}
	*len = wtc_request_next(&s->request);
	*data = s->request.buf;
	*sent = s->now;
	sent->last = wtc_cursor_done(&s->request.cursor);
	s->sent++;
	return 1;
}

static WtcStatus
request_reply(void *arg, const redisReply *reply)
{
	Streaming  *s = arg;
	Sent	   *sent = &s->ring[s->acked++ % RING];
	WtcStatus	status = wtc_take_reply(reply, sent->version, &s->said);

	if (status != WTC_OK)
		return status;
	s->talk->deadline_us = wtc_push_deadline();
	if (s->said.stranger)
		return WTC_FAIL_OTHER;
	if (sent->last)
	{
		if (sent->start != InvalidXLogRecPtr)
			s->stream->settled = sent->start;
		pg_atomic_fetch_add_u64(&wtc_shared->progress, 1);
		wtc_count(WTC_REPLAY_BATCHES, 1);
	}
	return WTC_OK;
}

static WtcStatus
drain(void)
{
	WtcAnswer	answer;
	WtcStatus	status;

	do
	{
		status = wtc_push_eval(wtc_drain_text, 0, 0, NULL, &answer);
	} while (status == WTC_OK && strcmp(answer.text[0], "0") != 0);
	return status;
}

WtcStatus
wtc_push_stream(WtcStream *stream)
{
	Streaming  *s = palloc0(sizeof(Streaming));
	WtcTalk		talk = {
		.next = next_request,.reply = request_reply,.arg = s,
		.deadline_us = wtc_push_deadline(),.stop = wtc_link_told_to_stop,
		.max_read = STREAM_MAX_READ
	};
	WtcStatus	status;

	s->stream = stream;
	s->talk = &talk;
	s->request.fence_us = (int64) wtc_fence_ttl * 1000000;
	s->request.commit = s->commit;
	s->request.replay = true;
	stream->settled = InvalidXLogRecPtr;
	status = wtc_conn_talk(&wtc_link, &talk);
	wtc_count(WTC_BYTES_SENT, talk.sent);
	if (status == WTC_NOSCRIPT)
	{
		/* the caller begins again */
		status = wtc_conn_load_scripts(&wtc_link, wtc_push_deadline(),
									   wtc_link_told_to_stop);
		if (status == WTC_OK)
			status = WTC_NOSCRIPT;
	}
	if (status == WTC_OK && s->said.count[WTC_REPLY_DRAINING] > 0)
		status = drain();

	stream->stranger = s->said.stranger;
	wtc_count_said(&s->said);
	wtc_count(WTC_REPLAYED, s->said.count[WTC_REPLY_STORED] +
			  s->said.count[WTC_REPLY_OLDER] +
			  s->said.count[WTC_REPLY_DEGRADED]);
	if (wtc_said_cold(&s->said) != WTC_OK)
		wtc_count_failure(wtc_said_cold(&s->said));
	return status;
}
