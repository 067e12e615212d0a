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

typedef struct WtcConn
{
	struct redisContext *ctx;	/* NULL: not connected */

	/* what Redis' clock said, and ours when we heard it */
	int64_t		server_us;
	int64_t		local_us;
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
	bool		(*stop) (void); /* asked now and then: give up? */
	size_t		max_read;		/* more than this many bytes: not for us */
	uint64_t	sent;			/* out: bytes written */
} WtcTalk;

/* Microseconds of the monotonic clock. */
extern int64_t wtc_clock_us(void);

/*
 * Connects, authenticates, selects the database, loads the scripts, sees to
 * it that the fence exists, and learns Redis' clock.  password overrides the
 * endpoint's when it is not NULL.  On failure *conn is closed.
 */
extern WtcStatus wtc_conn_open(WtcConn *conn, const WtcEndpoint *ep,
							   const char *password, int64_t fence_us,
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

/* Notes Redis' clock as found in a reply that has just arrived. */
extern void wtc_conn_note_clock(WtcConn *conn, int64_t server_us);

/* A lower bound of Redis' clock at this moment. */
extern int64_t wtc_conn_server_clock(const WtcConn *conn);

/* Closes in order; unsent data may still be delivered. */
extern void wtc_conn_close(WtcConn *conn);

/* Closes with a reset, so that nothing unsent is delivered later. */
extern void wtc_conn_reset(WtcConn *conn);

#endif							/* WTC_REDIS_CONN_H */
