/*-------------------------------------------------------------------------
 *
 * request.h
 *	  A batch as requests to Redis: calls of apply.lua, a chunk at a time.
 *
 * A request is written into a buffer that the caller has set aside before the
 * commit record; writing it allocates nothing and raises nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_REQUEST_H
#define WTC_PUSH_REQUEST_H

#include "change/batch.h"

typedef struct WtcRequest
{
	WtcCursor	cursor;			/* what comes next */
	const char *version;		/* WTC_VERSION_LEN digits */
	int64		created_us;		/* in Redis' clock, a lower bound */
	int64		fence_us;		/* 0: no fence */
	const char *commit;			/* where it was committed, like version */
	bool		replay;			/* from WAL */
	char	   *buf;
	size_t		size;
} WtcRequest;

/*
 * How large a buffer the requests for this batch need.  Before the commit
 * record, as it looks at every operation.
 */
extern size_t wtc_request_room(const char *batch, size_t len);

/*
 * Writes the request for the next chunk into request->buf; returns its
 * length, 0 at the end of the batch.
 */
extern size_t wtc_request_next(WtcRequest *request);

/* Writes the request to go on emptying the tags that were set aside. */
extern size_t wtc_request_drain(WtcRequest *request);

#endif							/* WTC_PUSH_REQUEST_H */
