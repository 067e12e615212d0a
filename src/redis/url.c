/*-------------------------------------------------------------------------
 *
 * url.c
 *	  Parsing of wtcache.url.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/url.h"

#define TOO_LONG "The URL has a part that is too long."

static int
hexdigit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower((unsigned char) c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies len bytes, percent-decoded; false if they do not fit or decode. */
static bool
decode(char *dst, size_t size, const char *src, size_t len)
{
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		char		c = src[i];

		if (c == '%')
		{
			if (i + 2 >= len || hexdigit(src[i + 1]) < 0 ||
				hexdigit(src[i + 2]) < 0)
				return false;
			c = (char) (hexdigit(src[i + 1]) * 16 + hexdigit(src[i + 2]));
			i += 2;
		}
		if (c == '\0' || n + 1 >= size)
			return false;
		dst[n++] = c;
	}
	dst[n] = '\0';
	return true;
}

/* A whole decimal number from 0 to max, or -1. */
static int
number(const char *s, size_t len, int max)
{
	long		v = 0;

	if (len == 0 || len > 9)
		return -1;
	for (size_t i = 0; i < len; i++)
	{
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v <= max ? (int) v : -1;
}

static const char *
parse_userinfo(const char **rest, WtcEndpoint *ep)
{
	size_t		len = strcspn(*rest, "/?");
	const char *at = NULL;
	const char *colon;

	/* the last @: a password may hold one by mistake, a host never */
	for (size_t i = 0; i < len; i++)
	{
		if ((*rest)[i] == '@')
			at = *rest + i;
	}
	if (at == NULL)
		return NULL;

	colon = memchr(*rest, ':', at - *rest);
	if (colon == NULL)
		return "The URL has a user but no password.";
	if (!decode(ep->user, sizeof(ep->user), *rest, colon - *rest) ||
		!decode(ep->password, sizeof(ep->password), colon + 1,
				at - colon - 1))
		return "The user or password is too long or wrongly percent-encoded.";
	*rest = at + 1;
	return NULL;
}

static const char *
parse_unix(const char *rest, WtcEndpoint *ep)
{
	size_t		len = strcspn(rest, "?");

	ep->is_unix = true;
	if (rest[0] != '/')
		return "The path of a unix:// URL must be absolute.";
	if (!decode(ep->host, sizeof(ep->host), rest, len))
		return TOO_LONG;
	if (strlen(ep->host) > 107)
		return "The path of a Unix socket must not exceed 107 bytes.";
	rest += len;
	if (*rest == '\0')
		return NULL;
	if (strncmp(rest, "?db=", 4) != 0)
		return "The only parameter of a unix:// URL is db.";
	ep->database = number(rest + 4, strlen(rest + 4), 1000000);
	return ep->database < 0 ? "The database must be a number." : NULL;
}

static const char *
parse_tcp(const char *rest, WtcEndpoint *ep)
{
	const char *host = rest;
	size_t		hostlen;

	if (*rest == '[')
	{
		const char *end = strchr(rest, ']');

		if (end == NULL)
			return "The URL has a [ without a ].";
		host = rest + 1;
		hostlen = end - host;
		rest = end + 1;
	}
	else
	{
		hostlen = strcspn(rest, ":/?");
		rest += hostlen;
	}
	if (hostlen == 0)
		return "The URL names no host.";
	if (!decode(ep->host, sizeof(ep->host), host, hostlen))
		return TOO_LONG;

	ep->port = 6379;
	if (*rest == ':')
	{
		size_t		len = strcspn(rest + 1, "/?");

		ep->port = number(rest + 1, len, 65535);
		if (ep->port <= 0)
			return "The port must be a number from 1 to 65535.";
		rest += 1 + len;
	}
	if (*rest == '/' && rest[1] != '\0')
	{
		ep->database = number(rest + 1, strlen(rest + 1), 1000000);
		if (ep->database < 0)
			return "The database must be a number.";
	}
	else if (*rest != '\0' && *rest != '/')
		return "A redis:// URL ends after the database.";
	return NULL;
}

const char *
wtc_url_parse(const char *url, WtcEndpoint *ep)
{
	const char *rest;
	const char *problem;
	bool		is_unix = false;

	memset(ep, 0, sizeof(*ep));
	if (strncmp(url, "redis://", 8) == 0)
		rest = url + 8;
	else if (strncmp(url, "unix://", 7) == 0)
	{
		rest = url + 7;
		is_unix = true;
	}
	else if (strncmp(url, "rediss://", 9) == 0)
		return "Connections over TLS are not supported yet.";
	else
		return "The URL must begin with redis:// or unix://.";

	problem = parse_userinfo(&rest, ep);
	if (problem != NULL)
		return problem;
	return is_unix ? parse_unix(rest, ep) : parse_tcp(rest, ep);
}

void
wtc_endpoint_describe(const WtcEndpoint *ep, char *buf, size_t size)
{
	if (ep->is_unix)
		snprintf(buf, size, "unix://%s?db=%d", ep->host, ep->database);
	else
		snprintf(buf, size, strchr(ep->host, ':') ?
				 "redis://[%s]:%d/%d" : "redis://%s:%d/%d",
				 ep->host, ep->port, ep->database);
}
