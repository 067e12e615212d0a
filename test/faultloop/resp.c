/*-------------------------------------------------------------------------
 *
 * resp.c
 *	  A connection to Redis over its unix socket, small and strict.
 *
 * Every wait has a limit; after any failure the connection is to be closed.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "faultloop.h"
#include "resp.h"

void
resp_close(Resp *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

bool
resp_open(Resp *r)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 5};

	r->len = r->at = 0;
	/* before: what was opened earlier may be to another server */
	r->loss = LOOK(LOSS);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", redis_socket);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(r->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(r->fd, (struct sockaddr *) &addr, sizeof(addr)) == 0)
		return true;
	resp_close(r);
	return false;
}

bool
resp_send(Resp *r, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = send(r->fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		len -= n;
	}
	return true;
}

/* See to it that n more bytes are in the buffer; moves what is there. */
static bool
fill(Resp *r, size_t n)
{
	while (r->len - r->at < n)
	{
		ssize_t		got;

		if (r->at > 0)
		{
			memmove(r->buf, r->buf + r->at, r->len - r->at);
			r->len -= r->at;
			r->at = 0;
		}
		if (r->len == sizeof(r->buf))
			return false;
		got = recv(r->fd, r->buf + r->len, sizeof(r->buf) - r->len, 0);
		if (got <= 0)
			return false;
		r->len += got;
	}
	return true;
}

/* A line without its end, terminated; NULL: no more to come. */
char *
resp_line(Resp *r)
{
	for (size_t n = 2;; n++)
	{
		char	   *line;

		if (!fill(r, n))
			return NULL;
		line = r->buf + r->at;
		if (line[n - 2] == '\r' && line[n - 1] == '\n')
		{
			line[n - 2] = '\0';
			r->at += n;
			return line;
		}
	}
}

/* A bulk string, terminated; *value NULL: nil.  False: nothing of the kind. */
bool
resp_value(Resp *r, char **value, size_t *len)
{
	char	   *line = resp_line(r);

	*value = NULL;
	*len = 0;
	if (line == NULL || line[0] != '$')
		return false;
	if (line[1] == '-')
		return true;
	*len = strtoul(line + 1, NULL, 10);
	if (!fill(r, *len + 2))
		return false;
	*value = r->buf + r->at;
	(*value)[*len] = '\0';
	r->at += *len + 2;
	return true;
}
