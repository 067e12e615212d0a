/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  What apply.lua answers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>

#include "guc.h"
#include "push/link.h"
#include "push/reply.h"
#include "shared/shmem.h"

WtcStatus
wtc_take_reply(const redisReply *reply, const char *version, WtcSaid *said)
{
	const redisReply *string;

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
	string = reply->element[WTC_REPLY_VERSION];
	if (string->type != REDIS_REPLY_STRING ||
		strcmp(string->str, version) != 0)
		return WTC_FAIL_PROTOCOL;
	string = reply->element[WTC_REPLY_GENERATION];
	if (string->type != REDIS_REPLY_STRING)
		return WTC_FAIL_PROTOCOL;

	/*
	 * The worker puts its number into shared memory before it looks how far
	 * the server has come; so who still finds the old one there is covered by
	 * that look, and who does not is not counted (R23).
	 */
	pg_read_barrier();
	if (!wtc_debug_no_fence &&
		(string->str[0] == '\0' || strtoull(string->str, NULL, 10) !=
		 pg_atomic_read_u64(&wtc_shared->generation)))
		said->stranger = true;

	for (int i = WTC_REPLY_STORED; i < WTC_REPLY_VERSION; i++)
		said->count[i] += reply->element[i]->integer;
	wtc_conn_note_clock(&wtc_link, reply->element[WTC_REPLY_NOW]->integer);
	return WTC_OK;
}

void
wtc_count_said(const WtcSaid *said)
{
	wtc_count(WTC_STORED, said->count[WTC_REPLY_STORED]);
	wtc_count(WTC_REFUSED_OLDER, said->count[WTC_REPLY_OLDER]);
	wtc_count(WTC_DEGRADED, said->count[WTC_REPLY_DEGRADED]);
}

WtcStatus
wtc_said_cold(const WtcSaid *said)
{
	if (said->count[WTC_REPLY_OOM] > 0)
		return WTC_FAIL_OOM;
	if (said->count[WTC_REPLY_WRONGTYPE] > 0)
		return WTC_FAIL_WRONGTYPE;
	return said->count[WTC_REPLY_FAILED] > 0 ? WTC_FAIL_OTHER : WTC_OK;
}
