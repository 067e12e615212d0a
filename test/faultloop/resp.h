/*-------------------------------------------------------------------------
 *
 * resp.h
 *	  A connection to Redis over its unix socket, small and strict.
 *
 *-------------------------------------------------------------------------
 */
#ifndef RESP_H
#define RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Resp
{
	int			fd;				/* -1: closed */
	uint64_t	loss;			/* LOSS when it was opened */
	char		buf[16384];
	size_t		len;			/* in buf */
	size_t		at;				/* taken out of it */
} Resp;

extern bool resp_open(Resp *r);
extern void resp_close(Resp *r);
extern bool resp_send(Resp *r, const char *data, size_t len);

/* What is returned is valid until the next call. */

/* A line without its end, terminated; NULL: no more to come. */
extern char *resp_line(Resp *r);

/* A bulk string, terminated; *value NULL: nil.  False: nothing of the kind. */
extern bool resp_value(Resp *r, char **value, size_t *len);

#endif							/* RESP_H */
