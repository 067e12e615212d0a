/*-------------------------------------------------------------------------
 *
 * resp.h
 *	  Writing commands in the Redis protocol into a caller's buffer.
 *
 * hiredis formats commands too, but allocates for each; after the commit
 * record nothing may be allocated, so requests are written in place.  The
 * caller sees to the room: WTC_RESP_BOUND(len) per argument and
 * WTC_RESP_HEAD per command are always enough.  Callable anywhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_RESP_H
#define WTC_REDIS_RESP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* "$" + ten digits + two line ends */
#define WTC_RESP_BOUND(len)		((size_t) (len) + 15)
/* "*" + ten digits + line end */
#define WTC_RESP_HEAD			13

/* Writes v in decimal at p; returns the end. */
static inline char *
wtc_resp_digits(char *p, uint64_t v)
{
	char		tmp[20];
	int			n = 0;

	do
	{
		tmp[n++] = (char) ('0' + v % 10);
		v /= 10;
	} while (v > 0);
	while (n > 0)
		*p++ = tmp[--n];
	return p;
}

static inline char *
wtc_resp_prefix(char *p, char type, uint64_t v)
{
	*p++ = type;
	p = wtc_resp_digits(p, v);
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

/* Begins a command of argc arguments. */
static inline char *
wtc_resp_begin(char *p, uint64_t argc)
{
	return wtc_resp_prefix(p, '*', argc);
}

static inline char *
wtc_resp_arg(char *p, const char *data, size_t len)
{
	p = wtc_resp_prefix(p, '$', len);
	memcpy(p, data, len);
	p += len;
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

static inline char *
wtc_resp_number(char *p, uint64_t v)
{
	char		tmp[20];
	char	   *end = wtc_resp_digits(tmp, v);

	return wtc_resp_arg(p, tmp, end - tmp);
}

#endif							/* WTC_REDIS_RESP_H */
