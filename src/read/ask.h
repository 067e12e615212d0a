/*-------------------------------------------------------------------------
 *
 * ask.h
 *	  Reading keys, and commands that are needed seldom.
 *
 * All of it belongs before the commit record, or into the worker.  Serves
 * interrupts and may raise errors because of them, or for lack of memory.
 * Waits no longer than push_timeout.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_READ_ASK_H
#define WTC_READ_ASK_H

#include "redis/status.h"

struct redisReply;

/* What Redis holds under a key. */
typedef enum WtcValueKind
{
	WTC_VALUE_NONE,
	WTC_VALUE_NUMBER,			/* len */
	WTC_VALUE_STRING,
	WTC_VALUE_HASH				/* data: (uint32 length, bytes)*, f v f v */
} WtcValueKind;

typedef struct WtcValue
{
	WtcValueKind kind;
	char	   *data;			/* palloc'd */
	size_t		len;
} WtcValue;

/* Reads a key.  WTC_FAIL_CONNECT also when the breaker is open. */
extern WtcStatus wtc_read_get(const char *key, size_t len, WtcValue *value);

/* From a reply that is a value; allocates, but raises nothing. */
extern WtcStatus wtc_value_take(WtcValue *value,
								const struct redisReply *reply);

/* Is the key a member of the set?  Otherwise like wtc_read_get(). */
extern WtcStatus wtc_read_is_member(const char *set, size_t setlen,
									const char *key, size_t len,
									bool *member);

/*
 * Goes on with a search for keys that match a glob pattern: cursor is a string
 * of WTC_SCAN_CURSOR bytes, "0" to begin with, and "0" again when it is over.
 * keys are those found by this step, written as a hash's fields are.
 * Otherwise like wtc_read_get().
 */
#define WTC_SCAN_CURSOR		24
#define WTC_SCAN_COUNT		1000
extern WtcStatus wtc_read_scan(char *cursor, const char *pattern,
							   WtcValue *keys);

/*
 * What a command answered: strings and numbers, all as text, palloc'd.  An
 * answer that is no array is one of one element.
 */
typedef struct WtcAnswer
{
	int			n;
	char	  **text;
} WtcAnswer;

/*
 * Deletes n keys, each if it has not been stored since it was found to expire
 * then: args are the keys, then those times (see look.h) as text.  The answer
 * has "1" for those that were deleted.  Otherwise like wtc_read_get().
 */
extern WtcStatus wtc_read_expel(int n, const char *const *args,
								WtcAnswer *answer);

/* --- on the connection as it stands; for the worker --- */

/*
 * Runs a command, or a script; arguments are ended by zero bytes.  Success
 * closes the breaker.
 */
extern WtcStatus wtc_command(int nargs, const char *const *args,
							 WtcAnswer *answer);
extern WtcStatus wtc_eval(const char *script, int nkeys, int nargs,
						  const char *const *args, WtcAnswer *answer);

/*
 * The same in an EXEC under the connection's WATCH of the token, which is
 * renewed behind it.  refused: the token's key has been touched since it was
 * last watched, and nothing has been done.
 */
typedef struct WtcFencedAnswer
{
	bool		refused;
	WtcAnswer	answer;
} WtcFencedAnswer;

extern WtcStatus wtc_command_fenced(int nargs, const char *const *args,
									WtcFencedAnswer *answer);
extern WtcStatus wtc_eval_fenced(const char *script, int nkeys, int nargs,
								 const char *const *args,
								 WtcFencedAnswer *answer);

#endif							/* WTC_READ_ASK_H */
