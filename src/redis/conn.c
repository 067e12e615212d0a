/*-------------------------------------------------------------------------
 *
 * conn.c
 *	  Opening a connection to Redis and talking over it by a deadline.
 *
 * The loop in wtc_conn_talk() is the only place that waits.  It uses poll(2)
 * and CLOCK_MONOTONIC alone: latches and wait-event sets need a resource
 * owner, and at the end of a transaction there is none that may be used.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/resp.h"
#include "redis/script.h"
#include "redis/words.h"

/* how long one poll may last before stop() is asked again, milliseconds */
#define SLICE_MS		50
/* requests whose replies have not arrived yet, at most */
#define MAX_UNDERWAY	64
/* elements of an array that we believe in */
#define MAX_ELEMENTS	8192
/* once told to stop, this long a reply is still waited for, microseconds */
#define GRACE_US		50000

int64_t
wtc_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void
wtc_conn_close(WtcConn *conn)
{
	if (conn->ctx != NULL)
		redisFree(conn->ctx);
	conn->ctx = NULL;
}

void
wtc_conn_reset(WtcConn *conn)
{
	struct linger hard = {1, 0};

	if (conn->ctx != NULL && conn->ctx->fd >= 0)
		(void) setsockopt(conn->ctx->fd, SOL_SOCKET, SO_LINGER,
						  &hard, sizeof(hard));
	wtc_conn_close(conn);
}

bool
wtc_conn_alive(const WtcConn *conn)
{
	char		c;

	return conn->ctx != NULL &&
		recv(conn->ctx->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
		(errno == EAGAIN || errno == EWOULDBLOCK);
}

/*
 * Waits for events, a slice at most.  WTC_OK: look at *revents (0 when the
 * slice ran out), otherwise the wait is over.
 */
static WtcStatus
wait_fd(int fd, short events, int64_t deadline_us, bool (*stop) (void),
		short *revents)
{
	struct pollfd p = {.fd = fd,.events = events};
	int64_t		left = deadline_us - wtc_clock_us();
	int			ms;

	*revents = 0;
	if (stop != NULL && stop())
		return wtc_fail(WTC_FAIL_CANCELLED, "the session was told to stop");
	if (left <= 0)
		return wtc_fail(WTC_FAIL_TIMEOUT, "");
	ms = left / 1000 >= SLICE_MS ? SLICE_MS : (int) (left / 1000) + 1;
	if (poll(&p, 1, ms) < 0 && errno != EINTR)
		return wtc_fail_errno(WTC_FAIL_CLOSED, errno);
	/* the descriptor is not open, so waiting ends at once, again and again */
	if (p.revents & POLLNVAL)
		return wtc_fail_errno(WTC_FAIL_CLOSED, EBADF);
	*revents = p.revents;
	return WTC_OK;
}

/* set when an array was refused, which hiredis takes for lack of memory */
static bool array_refused;

static WtcStatus
classify_context_error(const redisContext *ctx)
{
	WtcStatus	status = WTC_FAIL_OTHER;

	switch (ctx->err)
	{
		case REDIS_ERR_EOF:
		case REDIS_ERR_IO:
			status = WTC_FAIL_CLOSED;
			break;
		case REDIS_ERR_PROTOCOL:
			status = WTC_FAIL_PROTOCOL;
			break;
		case REDIS_ERR_OOM:
			status = array_refused ? WTC_FAIL_PROTOCOL : WTC_FAIL_OOM;
			break;
		default:
			break;
	}
	return wtc_fail(status, array_refused ? "an array is too large" :
					ctx->errstr);
}

/* Reads what has arrived and shows the replies to the talk. */
static WtcStatus
read_replies(WtcConn *conn, WtcTalk *talk, int *underway, size_t *nread,
			 WtcStatus *outcome)
{
	redisContext *ctx = conn->ctx;
	size_t		before = ctx->reader->len - ctx->reader->pos;
	void	   *reply;

	if (redisBufferRead(ctx) != REDIS_OK)
		return classify_context_error(ctx);
	*nread += ctx->reader->len - ctx->reader->pos - before;

	while (*underway > 0)
	{
		if (redisGetReplyFromReader(ctx, &reply) != REDIS_OK)
			return classify_context_error(ctx);
		if (reply == NULL)
			break;
		(*underway)--;
		if (*outcome == WTC_OK)
			*outcome = talk->reply(talk->arg, reply);
		if (*outcome != WTC_OK)
			wtc_words_hold();
		freeReplyObject(reply);
	}
	return *nread <= talk->max_read ? WTC_OK :
		wtc_fail(WTC_FAIL_PROTOCOL, "the answer is too large");
}

/* Bytes have moved: what is large may go on. */
static void
be_patient(WtcTalk *talk)
{
	int64_t		until;

	if (talk->patience_us == 0)
		return;
	until = wtc_clock_us() + talk->patience_us;
	if (until > talk->last_us)
		until = talk->last_us;
	if (until > talk->deadline_us)
		talk->deadline_us = until;
}

static WtcStatus
converse(WtcConn *conn, WtcTalk *talk, WtcStatus *outcome)
{
	int			fd = conn->ctx->fd;
	const char *out = NULL;
	size_t		left = 0;
	size_t		nread = 0;
	int			underway = 0;
	bool		more = true;
	bool		stopping = false;

	for (;;)
	{
		WtcStatus	status;
		short		revents;

		if (*outcome != WTC_OK)
			more = false;
		/* what has been sent is in doubt unless its reply arrives */
		if (!stopping && talk->sent > 0 && talk->stop != NULL && talk->stop())
		{
			int64_t		soon = wtc_clock_us() + GRACE_US;

			stopping = true;
			talk->patience_us = 0;
			if (talk->deadline_us > soon)
				talk->deadline_us = soon;
		}
		if (left == 0 && more && underway < MAX_UNDERWAY)
		{
			int			replies = talk->next(talk->arg, &out, &left);

			more = replies > 0;
			underway += replies;
		}
		if (left > 0)
		{
			ssize_t		n = send(fd, out, left, MSG_NOSIGNAL | MSG_DONTWAIT);

			if (n > 0)
			{
				out += n;
				left -= n;
				talk->sent += n;
				be_patient(talk);
				if (left == 0 && more)
					continue;
			}
			else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			{
				status = wtc_fail_errno(WTC_FAIL_CLOSED, errno);
				/* it may have said why */
				if (underway > 0)
					(void) read_replies(conn, talk, &underway, &nread, outcome);
				return status;
			}
		}
		if (left == 0 && underway == 0 && !more)
			break;

		/*
		 * As long as the deadline is far, receiving waits by itself: one
		 * system call less.
		 */
		if (left == 0 && conn->blocking && !stopping &&
			(talk->stop == NULL || !talk->stop()) &&
			talk->deadline_us - wtc_clock_us() > SLICE_MS * 1000)
		{
			status = WTC_OK;
			revents = POLLIN;
		}
		else
			status = wait_fd(fd, left > 0 ? POLLIN | POLLOUT : POLLIN,
							 talk->deadline_us, stopping ? NULL : talk->stop,
							 &revents);
		if (status == WTC_FAIL_CANCELLED && talk->sent > 0)
			continue;
		if (status == WTC_FAIL_TIMEOUT && stopping)
			status = wtc_fail(WTC_FAIL_CANCELLED,
							  "the session was told to stop");
		if (status == WTC_OK && (revents & (POLLIN | POLLHUP | POLLERR)))
		{
			status = read_replies(conn, talk, &underway, &nread, outcome);
			be_patient(talk);
		}
		/* what comes behind cannot be told apart any more */
		if (*outcome == WTC_FAIL_PROTOCOL)
			return *outcome;
		if (status != WTC_OK)
			return status;
	}

	/* a peer that says more than it was asked is not to be trusted */
	if (conn->ctx->reader->len > conn->ctx->reader->pos)
		return wtc_fail(WTC_FAIL_PROTOCOL, "more answers than questions");
	return WTC_OK;
}

WtcStatus
wtc_conn_talk(WtcConn *conn, WtcTalk *talk)
{
	WtcStatus	outcome = WTC_OK;
	WtcStatus	status;

	talk->sent = 0;
	if (conn->ctx == NULL)
		return wtc_fail(WTC_FAIL_CLOSED, "the connection is closed");
	status = converse(conn, talk, &outcome);
	wtc_words_release();
	if (status != WTC_OK || outcome == WTC_FAIL_PROTOCOL)
		wtc_conn_reset(conn);
	return outcome != WTC_OK ? outcome : status;
}

/*
 * hiredis would allocate whatever an array's header promises, and free nested
 * ones by recursion, until the stack ends.  Refuse more than we can have asked
 * for; the reader then reports an error.
 */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

static void *(*create_array) (const redisReadTask *, element_count);

static void *
create_small_array(const redisReadTask *task, element_count elements)
{
	/* nothing that we ask for has arrays in arrays in arrays */
	array_refused = (size_t) elements > MAX_ELEMENTS ||
		(task->parent != NULL && task->parent->parent != NULL);
	return array_refused ? NULL : create_array(task, elements);
}

static void
guard_reader(redisReader *reader)
{
	static redisReplyObjectFunctions guarded;

	array_refused = false;
	create_array = reader->fn->createArray;
	guarded = *reader->fn;
	guarded.createArray = create_small_array;
	reader->fn = &guarded;
}

/* Why there is no socket. */
static WtcStatus
classify_connect_error(const WtcEndpoint *ep, int error, const char *text)
{
	WtcStatus	status = WTC_FAIL_CONNECT;

	if (ep->is_unix && error == ENOENT)
		status = WTC_FAIL_SOCKET;
	else if (ep->is_unix && (error == EACCES || error == EPERM))
		status = WTC_FAIL_SOCKET_PERMISSION;
	return text != NULL ? wtc_fail(status, text) :
		wtc_fail_errno(status, error);
}

/*
 * The socket, connected.
 */
static WtcStatus
connect_socket(WtcConn *conn, const WtcEndpoint *ep, int64_t deadline_us,
			   bool (*stop) (void))
{
	redisContext *ctx;
	short		revents = 0;
	int			error = 0;
	socklen_t	len = sizeof(error);

	errno = 0;
	ctx = ep->is_unix ? redisConnectUnixNonBlock(ep->host) :
		redisConnectNonBlock(ep->host, ep->port);
	if (ctx == NULL)
		return wtc_fail(WTC_FAIL_OOM, "out of memory");
	conn->ctx = ctx;
	/* what getaddrinfo() says comes without an errno of connect() */
	if (ctx->err == REDIS_ERR_OTHER && !ep->is_unix &&
		strncmp(ctx->errstr, "Can't ", 6) != 0)
		return wtc_fail(WTC_FAIL_HOST, ctx->errstr);
	if (ctx->err != 0)
		return classify_connect_error(ep, errno, ctx->errstr);
	(void) fcntl(ctx->fd, F_SETFD, FD_CLOEXEC);
	guard_reader(ctx->reader);

	while (revents == 0)
	{
		WtcStatus	status = wait_fd(ctx->fd, POLLOUT, deadline_us, stop,
									 &revents);

		if (status != WTC_OK)
			return status;
	}
	if (getsockopt(ctx->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		return classify_connect_error(ep, error, NULL);

	/* hiredis wants to be told; it has nothing to write */
	ctx->flags |= REDIS_CONNECTED;
	return WTC_OK;
}

/* From now on receiving waits, but no longer than a slice. */
static void
let_receive_block(WtcConn *conn)
{
	struct timeval slice = {.tv_usec = SLICE_MS * 1000};
	int			fd = conn->ctx->fd;
	int			flags = fcntl(fd, F_GETFL);

	conn->blocking = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice,
								sizeof(slice)) == 0 &&
		flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

/*
 * A request of several commands, all sent at once: the handshake.
 */
typedef struct Handshake
{
	WtcConn    *conn;
	const char *password;		/* or NULL */
	char	   *data;
	size_t		len;
	int			commands;
	int			seen;
	int			tolerated;		/* which reply may be an error, or -1 */
	int			executes;		/* which one is that of EXEC, or -1 */
} Handshake;

static int
handshake_next(void *arg, const char **data, size_t *len)
{
	Handshake  *h = arg;

	if (h->seen > 0 || h->data == NULL)
		return 0;
	*data = h->data;
	*len = h->len;
	h->seen = 1;
	return h->commands;
}

/* Not all that calls itself Redis keeps what it is told to itself. */
static WtcStatus
handshake_error(const Handshake *h, const char *text)
{
	if (h->password != NULL && h->password[0] != '\0' &&
		strstr(text, h->password) != NULL)
		return wtc_fail(wtc_status_of_error(text),
						"the error text contains the password and is not shown");
	return wtc_fail_reply(text);
}

static WtcStatus
handshake_reply(void *arg, const redisReply *reply)
{
	Handshake  *h = arg;
	int			i = h->seen++ - 1;

	/* the first answer may be to the connection itself */
	if (i == h->tolerated &&
		(reply->type != REDIS_REPLY_ERROR ||
		 !wtc_status_is_outage(wtc_status_of_error(reply->str))))
		return WTC_OK;
	if (i == h->commands - 1 && reply->type == REDIS_REPLY_ERROR &&
		wtc_status_of_error(reply->str) == WTC_FAIL_WRONGTYPE)
		 /* no token; the worker will set it right */ ;
	else if (reply->type == REDIS_REPLY_ERROR)
		return handshake_error(h, reply->str);
	else if (i == h->executes && reply->type != REDIS_REPLY_ARRAY)
		return wtc_fail(WTC_FAIL_PROTOCOL, "EXEC was not answered by an array");
	if (i < h->commands - 1)
		return WTC_OK;

	/* the last one is the token */
	wtc_conn_note_watched(h->conn, reply);
	return WTC_OK;
}

/* Appends a command to the handshake. */
static void
say(Handshake *h, int argc, const char *const *argv)
{
	char	   *p = h->data + h->len;

	p = wtc_resp_begin(p, argc);
	for (int i = 0; i < argc; i++)
		p = wtc_resp_arg(p, argv[i], strlen(argv[i]));
	h->len = p - h->data;
	h->commands++;
}

#define SAY(h, ...) \
	do { \
		const char *const argv_[] = {__VA_ARGS__}; \
		say(h, sizeof(argv_) / sizeof(argv_[0]), argv_); \
	} while (0)

/*
 * The commands that load the scripts, made once per process and kept: they
 * may be needed again where nothing can be allocated.
 */
static char *load_request;
static size_t load_request_len;

#define LOAD_COMMANDS	4

static bool
make_load_request(void)
{
	Handshake	h = {0};

	if (load_request != NULL)
		return true;
	h.data = malloc(strlen(wtc_drain_text) + strlen(wtc_forget_text) +
					strlen(wtc_prune_text) + strlen(wtc_store_text) + 256);
	if (h.data == NULL)
		return false;
	SAY(&h, "SCRIPT", "LOAD", wtc_drain_text);
	SAY(&h, "SCRIPT", "LOAD", wtc_forget_text);
	SAY(&h, "SCRIPT", "LOAD", wtc_prune_text);
	SAY(&h, "SCRIPT", "LOAD", wtc_store_text);
	load_request = h.data;
	load_request_len = h.len;
	return true;
}

static WtcStatus
load_reply(void *arg, const redisReply *reply)
{
	(void) arg;
	return reply->type != REDIS_REPLY_ERROR ? WTC_OK :
		wtc_fail_reply(reply->str);
}

WtcStatus
wtc_conn_load_scripts(WtcConn *conn, int64_t deadline_us, bool (*stop) (void))
{
	Handshake	h = {.data = load_request,.len = load_request_len,.commands = LOAD_COMMANDS};
	WtcTalk		talk = {
		.next = handshake_next,.reply = load_reply,.arg = &h,
		.deadline_us = deadline_us,.stop = stop,.max_read = 65536
	};

	return wtc_conn_talk(conn, &talk);
}

void
wtc_conn_note_watched(WtcConn *conn, const redisReply *reply)
{
	conn->watched[0] = '\0';
	if (reply->type == REDIS_REPLY_STRING &&
		(size_t) reply->len < sizeof(conn->watched))
		memcpy(conn->watched, reply->str, reply->len + 1);
}

WtcStatus
wtc_conn_watch(WtcConn *conn, int64_t deadline_us, bool (*stop) (void))
{
	char		data[256];
	Handshake	h = {.conn = conn,.data = data,.tolerated = -1,.executes = -1};
	WtcTalk		talk = {
		.next = handshake_next,.reply = handshake_reply,.arg = &h,
		.deadline_us = deadline_us,.stop = stop,.max_read = 65536
	};

	/* what it says counts only if all of this succeeds */
	conn->watched[0] = '\0';
	/* a WATCH whose key has been touched is not made good by another one */
	SAY(&h, "UNWATCH");
	SAY(&h, "WATCH", WTC_KEY_TOKEN);
	SAY(&h, "GET", WTC_KEY_TOKEN);
	return wtc_conn_talk(conn, &talk);
}

static WtcStatus
shake_hands(WtcConn *conn, const WtcEndpoint *ep, const char *password,
			const char *name, int64_t deadline_us, bool (*stop) (void))
{
	Handshake	h = {.conn = conn,.tolerated = -1,.executes = -1};
	WtcTalk		talk = {
		.next = handshake_next,.reply = handshake_reply,.arg = &h,
		.deadline_us = deadline_us,.stop = stop,.max_read = 65536
	};
	char		database[24];
	WtcStatus	status;

	if (password == NULL)
		password = ep->password;
	h.password = password;
	if (make_load_request())
		h.data = malloc(load_request_len + strlen(password) +
						sizeof(ep->user) + 1024);
	if (h.data == NULL)
		return wtc_fail(WTC_FAIL_OOM, "out of memory");

	if (ep->user[0] != '\0')
		SAY(&h, "AUTH", ep->user, password);
	else if (password[0] != '\0')
		SAY(&h, "AUTH", password);
	if (ep->database != 0)
	{
		*wtc_resp_digits(database, ep->database) = '\0';
		SAY(&h, "SELECT", database);
	}
	/* a name for CLIENT LIST; an ACL may forbid it */
	h.tolerated = h.commands;
	SAY(&h, "CLIENT", "SETNAME", name);
	memcpy(h.data + h.len, load_request, load_request_len);
	h.len += load_request_len;
	h.commands += LOAD_COMMANDS;
	/* where MULTI is forbidden, writes must not be sent behind one */
	SAY(&h, "MULTI");
	h.executes = h.commands;
	SAY(&h, "EXEC");
	SAY(&h, "WATCH", WTC_KEY_TOKEN);
	SAY(&h, "GET", WTC_KEY_TOKEN);

	status = wtc_conn_talk(conn, &talk);
	free(h.data);
	return status == WTC_NOSCRIPT ?
		wtc_fail(WTC_FAIL_PROTOCOL, "NOSCRIPT to a command that is no script") :
		status;
}

WtcStatus
wtc_conn_open(WtcConn *conn, const WtcEndpoint *ep, const char *password,
			  const char *name, int64_t deadline_us, bool (*stop) (void))
{
	WtcStatus	status;

	memset(conn, 0, sizeof(*conn));
	status = connect_socket(conn, ep, deadline_us, stop);
	if (status == WTC_OK)
		let_receive_block(conn);
	if (status == WTC_OK)
		status = shake_hands(conn, ep, password, name, deadline_us, stop);
	if (status != WTC_OK)
		wtc_conn_reset(conn);
	return status;
}
