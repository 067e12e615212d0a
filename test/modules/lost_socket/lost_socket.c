/*-------------------------------------------------------------------------
 *
 * lost_socket.c
 *	  src/redis/conn.c, while something else in the process closes its socket.
 *
 *	lost_socket SOCKET
 *
 * A library may close a descriptor that is not its own.  poll(2) then says so at
 * once, however often it is asked.  Prints the class of the failure, what was
 * said, and how often the conversation has asked whether to stop, which it does
 * for every wait.
 *
 *-------------------------------------------------------------------------
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "redis/conn.h"
#include "redis/script.h"
#include "redis/words.h"

/* a request that Redis leaves without an answer */
static const char request[] = "*3\r\n$5\r\nBLPOP\r\n$7\r\nnothing\r\n$1\r\n0\r\n";

/* no connection is opened by wtc_conn_open(), which loads them */
const char	wtc_drain_text[] = "";
const char	wtc_forget_text[] = "";
const char	wtc_prune_text[] = "";
const char	wtc_store_text[] = "";

static WtcConn conn;
static int	asked = 0;

static int
next(void *arg, const char **data, size_t *len)
{
	static int	requests = 0;

	*data = request;
	*len = strlen(request);
	return requests++ == 0 ? 1 : 0;
}

static WtcStatus
reply(void *arg, const struct redisReply *unexpected)
{
	return WTC_OK;
}

static bool
close_when_sent(void)
{
	if (++asked == 2)
		close(conn.ctx->fd);
	return false;
}

int
main(int argc, char **argv)
{
	WtcTalk		talk = {
		.next = next,
		.reply = reply,
		.deadline_us = wtc_clock_us() + 3000000,
		.stop = close_when_sent,
		.max_read = 1024
	};
	WtcStatus	status;

	conn.ctx = argc > 1 ? redisConnectUnixNonBlock(argv[1]) : NULL;
	if (conn.ctx == NULL || conn.ctx->err != 0)
		return 2;
	status = wtc_conn_talk(&conn, &talk);
	printf("%s, %s, %s, asked %s\n", wtc_status_name(status),
		   wtc_words_take(status), conn.ctx == NULL ? "closed" : "open",
		   asked < 5 ? "a few times" : "again and again");
	return 0;
}
