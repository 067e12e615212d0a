/*-------------------------------------------------------------------------
 *
 * link.c
 *	  This process's one connection to Redis.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <hiredis/hiredis.h>

#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "push/link.h"
#include "push/patterns.h"
#include "redis/words.h"
#include "shared/breaker.h"
#include "shared/failures.h"
#include "shared/slots.h"
#include "shared/waits.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"

WtcConn		wtc_link;
WtcStatus	wtc_link_status = WTC_FAIL_CLOSED;
bool		wtc_link_skipped = false;

static uint64 link_generation;
static bool exit_registered = false;

bool
wtc_link_told_to_stop(void)
{
	if (wtc_am_worker())
		return ShutdownRequestPending || !PostmasterIsAlive();
	return QueryCancelPending || ProcDiePending;
}

static int64
cooldown_us(void)
{
	return (int64) wtc_breaker_cooldown * 1000;
}

void
wtc_link_note(WtcStatus status)
{
	Assert(status != WTC_NOSCRIPT);
	if (status != WTC_OK)
		wtc_count_failure(status, wtc_words_take(status));
	if (wtc_status_is_outage(status))
		wtc_breaker_failure(wtc_clock_us(), wtc_breaker_failures,
							cooldown_us());
	else if (status != WTC_FAIL_CANCELLED)
		wtc_breaker_success();
}

/*
 * Reading tells less about Redis than pushing does: a value that we cannot
 * take is somebody else's, and no outage.
 */
/* may raise: not after the commit record */
void
wtc_link_note_read(WtcStatus status)
{
	if (status == WTC_FAIL_PROTOCOL || status == WTC_FAIL_OOM)
		wtc_count_failure(status, wtc_words_take(status));
	else if (status == WTC_FAIL_WRONGTYPE)
		wtc_breaker_success();
	else
		wtc_link_note(status);
	CHECK_FOR_INTERRUPTS();
}

static void
close_at_exit(int code, Datum arg)
{
	wtc_conn_close(&wtc_link);
}

/* The beginning of a regular file; -1 if it cannot be read. */
static ssize_t
read_beginning(const char *path, char *buf, size_t size)
{
	/* to open a FIFO would wait for a writer */
	int			fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	ssize_t		len = 0;
	ssize_t		n;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		len = -1;
	while (len >= 0 && len < size)
	{
		n = read(fd, buf + len, size - len);
		if (n == 0)
			break;
		if (n > 0)
			len += n;
		else if (errno != EINTR)
			len = -1;
	}
	close(fd);
	return len;
}

/*
 * The first line of password_file, or NULL: none set.  False: there is none that
 * can be read whole.
 */
static bool
read_password(char *buf, size_t size, const char **password)
{
	ssize_t		len;
	size_t		line;

	*password = NULL;
	if (wtc_password_file == NULL || wtc_password_file[0] == '\0')
		return true;
	len = read_beginning(wtc_password_file, buf, size - 1);
	if (len <= 0)
		return false;
	buf[len] = '\0';
	line = strcspn(buf, "\r\n");
	if (line == size - 1)
		return false;
	buf[line] = '\0';
	*password = buf;
	return true;
}

static WtcStatus
open_connection(void)
{
	WtcEndpoint ep;
	char		buf[WTC_MAX_PASSWORD + 2];	/* with line end and NUL */
	const char *password;
	WtcStatus	status;

	if (wtc_url_parse(wtc_url, &ep) != NULL)
		return wtc_fail(WTC_FAIL_CONFIG, wtc_url_parse(wtc_url, &ep));
	errno = 0;
	if (!read_password(buf, sizeof(buf), &password))
		return wtc_fail(WTC_FAIL_CONFIG, errno != 0 ? strerror(errno) :
						"wtcache.password_file holds no line that can be used");

	/* the connection stays: count its descriptor among the reserved ones */
	if (!exit_registered)
	{
		(void) AcquireExternalFD();
		on_proc_exit(close_at_exit, (Datum) 0);
		exit_registered = true;
	}
	wtc_patterns_forget();
	pgstat_report_wait_start(wtc_wait_connect);
	status = wtc_conn_open(&wtc_link, &ep, password,
						   wtc_am_worker() ? "wtcache-worker" : "wtcache",
						   wtc_clock_us() + (int64) wtc_connect_timeout * 1000,
						   wtc_link_told_to_stop);
	pgstat_report_wait_end();
	if (status == WTC_OK)
		link_generation = wtc_endpoint_generation;
	return status;
}

WtcStatus
wtc_link_open(bool *fresh)
{
	wtc_link_status = WTC_OK;
	if (link_generation != wtc_endpoint_generation ||
		!wtc_conn_alive(&wtc_link))
	{
		wtc_conn_reset(&wtc_link);
		wtc_link_status = wtc_url[0] == '\0' ?
			wtc_fail(WTC_FAIL_CONFIG, "wtcache.url is empty") :
			open_connection();
		if (fresh != NULL)
			*fresh = true;
	}
	return wtc_link_status;
}

/* may raise: not after the commit record */
void
wtc_link_connect(void)
{
	/* what pg_upgrade writes is in the cache, or is not to be */
	wtc_link_skipped = wtc_url[0] == '\0' || IsBinaryUpgrade ||
		!wtc_breaker_allows(wtc_clock_us(), cooldown_us());
	if (wtc_link_skipped)
	{
		wtc_link_status = WTC_FAIL_CONNECT;
		return;
	}
	if (wtc_link_open(NULL) != WTC_OK)
		wtc_link_note(wtc_link_status);
	CHECK_FOR_INTERRUPTS();
}

void
wtc_link_hang_up(void)
{
	wtc_conn_reset(&wtc_link);
}

int
wtc_link_socket(void)
{
	return wtc_link.ctx == NULL ? -1 : wtc_link.ctx->fd;
}
