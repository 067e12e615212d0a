/*-------------------------------------------------------------------------
 *
 * words.h
 *	  What was said when talking to Redis failed.
 *
 * The last failure's words are kept, of Redis if it has said something, else of
 * the system.  They may be shown to every user who may watch wtcache: what an error
 * text quotes is left out unless it is the name of a command, because it may be
 * the name of a key or part of a row.  They are valid UTF-8 without control
 * characters, whatever the peer has sent.
 *
 * Allocates nothing, raises nothing; callable anywhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_WORDS_H
#define WTC_REDIS_WORDS_H

#include <stddef.h>

#include "redis/status.h"

/* of the words, with a final zero; what is longer is cut */
#define WTC_SAID_LEN		160

/* The class of an error reply, whose text is kept as that of a failure. */
extern WtcStatus wtc_fail_reply(const char *text);

/* Keeps a text for a failure of this class, which is returned. */
extern WtcStatus wtc_fail(WtcStatus status, const char *text);

/* The same with what errno says. */
extern WtcStatus wtc_fail_errno(WtcStatus status, int error);

/*
 * From here on until it is released, nothing else is kept: what follows the reason,
 * the end of a connection for one, tells less.
 */
extern void wtc_words_hold(void);
extern void wtc_words_release(void);

/*
 * What has been kept, if it was for this class, else ""; it is not returned
 * again, and stays until the next failure.
 */
extern const char *wtc_words_take(WtcStatus status);

/* Copies a text as the words above are kept; size is WTC_SAID_LEN or more. */
extern void wtc_words_copy(char *to, size_t size, const char *text);

#endif							/* WTC_REDIS_WORDS_H */
