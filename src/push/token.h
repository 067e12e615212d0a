/*-------------------------------------------------------------------------
 *
 * token.h
 *	  The fencing token: which server lifetime may write to Redis.
 *
 * The key wtcache:token holds "system timeline started number": the system
 * identifier and the timeline of the PostgreSQL server, the time at which it
 * began to write (milliseconds), and a random number.  A connection
 * that writes has WATCHed the key and seen the token there that shared memory
 * has; so when another value is set, by this server or by any other, no
 * request that is still on its way can take effect.
 *
 * Only the worker sets a token.  While shared memory has none, Redis is closed
 * to the backends.
 *
 * Raises nothing, allocates nothing, takes no lock: callable on either side of
 * the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_TOKEN_H
#define WTC_PUSH_TOKEN_H

/* room for a token's text, with its final zero */
#define WTC_TOKEN_LEN		96

/* Adds the token to shared memory; from _PG_init only. */
extern void wtc_token_init(void);

/* The number of the token that holds, or 0: closed. */
extern uint64 wtc_token(void);

/*
 * The same; if it is closed and the worker is about to set a token, waits for
 * that until the deadline (on wtc_clock_us()) or until stop() says true.  In
 * the worker it does not wait.
 */
extern uint64 wtc_token_await(int64 deadline_us, bool (*stop) (void));

/*
 * A request that was sent under this token may or may not have been executed,
 * or may yet be: nothing more is sent under it.  The caller still has the marks
 * of the request's keys (see versions.h).
 */
extern void wtc_token_doubt(uint64 number);

/* Writes the text of a token of this server lifetime. */
extern void wtc_token_text(char buf[WTC_TOKEN_LEN], uint64 number);

/* The number, if the text is a token of this server lifetime; else 0. */
extern uint64 wtc_token_number(const char *text);

/* When this server lifetime has begun to write, as in its tokens. */
extern uint64 wtc_token_started(void);

/* --- for the worker --- */

/* Everything may be pushed under this token; a random number, never 0. */
extern void wtc_token_open(uint64 number);
extern void wtc_token_close(void);

/*
 * This server begins to write now: for the first time since its start, or because
 * it has been told to take Redis over.  While there is no token.
 */
extern void wtc_token_start(void);

/* This server lifetime has set a token before. */
extern bool wtc_token_was_set(void);

#endif							/* WTC_PUSH_TOKEN_H */
