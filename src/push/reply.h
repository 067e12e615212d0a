/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  What apply.lua answers.
 *
 * Allocates nothing, raises nothing; callable anywhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_REPLY_H
#define WTC_PUSH_REPLY_H

#include "redis/script.h"
#include "redis/status.h"

struct redisReply;

/* The answers of several calls, added up. */
typedef struct WtcSaid
{
	uint64		count[WTC_REPLY_VERSION];	/* indexed by WTC_REPLY_* */
	bool		stranger;		/* a server that the worker does not know
								 * (R23) */
} WtcSaid;

/*
 * Takes the answer to a call that brought this version.  The clock of the
 * connection is set by it.  Anything but WTC_OK: the call has not been applied.
 */
extern WtcStatus wtc_take_reply(const struct redisReply *reply,
								const char *version, WtcSaid *said);

/* Counts what became of the operations. */
extern void wtc_count_said(const WtcSaid *said);

/*
 * Does it say that something was deleted where it should have been stored?
 * Then why, else WTC_OK.  There is nothing left to push in either case.
 */
extern WtcStatus wtc_said_cold(const WtcSaid *said);

#endif							/* WTC_PUSH_REPLY_H */
