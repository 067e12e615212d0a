/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  Sending a chunk that is marked, and understanding the replies.
 *
 * Raises nothing, allocates nothing but what hiredis mallocs for replies, and
 * waits no longer than until the deadline (on wtc_clock_us()): callable on either
 * side of the commit record.  For push.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_EXCHANGE_H
#define WTC_PUSH_EXCHANGE_H

#include "push/chunk.h"
#include "redis/status.h"

/* How an attempt to push has ended. */
typedef enum WtcTurn
{
	WTC_TURN_DONE,
	WTC_TURN_AGAIN,				/* nothing was done, and may be soon */
	WTC_TURN_FAILED,			/* nothing was done */
	WTC_TURN_REFUSED,			/* Redis objects to something in the chunk;
								 * not all was done */
	WTC_TURN_DOUBT				/* something may have been done, or may yet */
} WtcTurn;

/* What became of a chunk, besides. */
typedef struct WtcSaid
{
	WtcStatus	status;			/* why it is not done */
	WtcStatus	rejected;		/* why something could not be stored, if so */
	int64		draining;		/* large sets of invalidated tags that are
								 * left */
} WtcSaid;

/*
 * Sends a chunk whose items are marked and decided on, under the token with this
 * text, which held when the marks were set.  Items that turn out not to be
 * storable get another verdict, and their keys are deleted.  What Redis says
 * when it refuses something is left in the chunk.
 */
extern WtcTurn wtc_exchange_chunk(WtcChunk *chunk, const char *token,
								  int64 deadline_us, WtcSaid *said);

/* Empties the large sets that are left, in steps. */
extern WtcStatus wtc_exchange_drain(WtcChunk *chunk, int64 deadline_us);

#endif							/* WTC_PUSH_EXCHANGE_H */
