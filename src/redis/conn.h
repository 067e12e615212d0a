/*-------------------------------------------------------------------------
 *
 * conn.h
 *	  One connection to Redis: opening it, talking over it by a deadline.
 *
 * hiredis makes the socket and parses replies; writing and waiting are ours,
 * because hiredis' own time-outs start anew with every byte that arrives.
 *
 * Nothing here raises an error, uses palloc, latches or resource owners, or
 * waits past its deadline.  wtc_conn_open() resolves names, which no deadline
 * bounds, and belongs before the commit record; the rest may be called on
 * either side of it.  Memory is malloc's and belongs to the connection.
 *
 * Times are microseconds.  Deadlines are absolute, on wtc_clock_us().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_CONN_H
#define WTC_REDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/status.h"
#include "redis/url.h"

struct redisContext;
struct redisReply;

/* what fits into the text of a token, with its final zero */
#define WTC_WATCHED_LEN		128

typedef struct WtcConn
{
	struct redisContext *ctx;	/* NULL: not connected */
	bool		blocking;		/* receiving waits for a moment */

	/*
	 * What the token's key held when it was last looked at, behind the WATCH
	 * for it that is in force; "" if nothing, or no token.
	 */
	char		watched[WTC_WATCHED_LEN];
} WtcConn;

/*
 * A conversation.  next() hands out one request after the other, in memory
 * of its own that stays as it is until the next call, and returns how many
 * replies it will have, 0 when there is no more.  reply() sees the replies
 * in order; once it returns anything but WTC_OK no further request is sent,
 * the replies under way are read, and that status is the outcome.
 */
typedef struct WtcTalk
{
	int			(*next) (void *arg, const char **data, size_t *len);
	WtcStatus	(*reply) (void *arg, const struct redisReply *reply);
	void	   *arg;
	int64_t		deadline_us;

	/*
	 * For what is large: whenever bytes move, the deadline is put off to so
	 * long from then, but not past last_us.  0: it stays.
	 */
	int64_t		patience_us;
	int64_t		last_us;
	bool		(*stop) (void); /* asked now and then: give up?  If something
								 * has been sent, the replies have a short
								 * time left to arrive. */
	size_t		max_read;		/* more than this many bytes: not for us */
	uint64_t	sent;			/* out: bytes written */
} WtcTalk;

/* Microseconds of the monotonic clock. */
extern int64_t wtc_clock_us(void);

/*
 * Connects, authenticates, selects the database, loads the scripts, makes sure
 * that transactions are allowed, and WATCHes and reads the token's key.
 * password overrides the endpoint's when it is not NULL; name is what CLIENT LIST
 * shows.  On failure *conn is closed.
 */
extern WtcStatus wtc_conn_open(WtcConn *conn, const WtcEndpoint *ep,
							   const char *password, const char *name,
							   int64_t deadline_us, bool (*stop) (void));

/*
 * Is the connection there, open, and silent?  One system call.  A peer that
 * has closed it, or has sent what nobody asked for, makes this false.
 */
extern bool wtc_conn_alive(const WtcConn *conn);

/*
 * Has the conversation.  Where the outcome leaves doubt about what the peer
 * will send next, the connection is reset, never used again.
 */
extern WtcStatus wtc_conn_talk(WtcConn *conn, WtcTalk *talk);

/* Sends the scripts again, to a server that has lost them. */
extern WtcStatus wtc_conn_load_scripts(WtcConn *conn, int64_t deadline_us,
									   bool (*stop) (void));

/* Forgets an earlier WATCH, WATCHes the token's key anew and reads it. */
extern WtcStatus wtc_conn_watch(WtcConn *conn, int64_t deadline_us,
								bool (*stop) (void));

/* Notes the reply to a GET of the token's key that stood behind a WATCH. */
extern void wtc_conn_note_watched(WtcConn *conn,
								  const struct redisReply *reply);

/* Closes in order; unsent data may still be delivered. */
extern void wtc_conn_close(WtcConn *conn);

/* Closes with a reset, so that nothing unsent is delivered later. */
extern void wtc_conn_reset(WtcConn *conn);

#endif							/* WTC_REDIS_CONN_H */
