/*-------------------------------------------------------------------------
 *
 * url.h
 *	  Where Redis is: wtcache.url taken apart.
 *
 *	  redis://[[user]:password@]host[:port][/database]
 *	  unix://[[user]:password@]/path/to/socket[?db=database]
 *
 * User, password and host may be percent-encoded.  Allocates nothing, raises
 * nothing; callable anywhere.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_URL_H
#define WTC_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct WtcEndpoint
{
	bool		is_unix;
	char		host[256];		/* name or address, or the socket's path */
	int			port;			/* 0 for a socket */
	int			database;
	char		user[128];		/* "" when none was given */
	char		password[512];	/* "" when none was given */
} WtcEndpoint;

/*
 * Returns NULL and fills *ep, or returns a sentence that says what is wrong
 * (static storage, never quoting the URL, which may hold a password).
 */
extern const char *wtc_url_parse(const char *url, WtcEndpoint *ep);

/* The endpoint without user and password, for people to read. */
extern void wtc_endpoint_describe(const WtcEndpoint *ep, char *buf,
								  size_t size);

#endif							/* WTC_REDIS_URL_H */
