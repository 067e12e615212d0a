/*-------------------------------------------------------------------------
 *
 * patterns.h
 *	  Which patterns of keys Redis has been told on this connection.
 *
 * A request that stores something notes the pattern of its key in Redis, in the
 * same EXEC, unless that was done before on the same connection, under the same
 * token.  As long as every EXEC since has found the token untouched, Redis has
 * lost nothing.
 *
 * Raises nothing, allocates nothing: callable on either side of the commit
 * record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_PATTERNS_H
#define WTC_PUSH_PATTERNS_H

#include "change/batch.h"

/* A request is about to be written, under the token of this text. */
extern void wtc_patterns_begin(const char *token);

/*
 * Is the pattern, which begins like a string, one that Redis has yet to be told?
 * The request does so then.
 */
extern bool wtc_pattern_is_new(const WtcPattern *pattern, WtcSpan string);

/* The request has been executed. */
extern void wtc_patterns_keep(void);

/* It has not, or that is in doubt; or the connection is another one. */
extern void wtc_patterns_forget(void);

#endif							/* WTC_PUSH_PATTERNS_H */
