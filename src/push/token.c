/*-------------------------------------------------------------------------
 *
 * token.c
 *	  The fencing token: which server lifetime may write to Redis.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "guc.h"
#include "port/atomics.h"
#include "push/token.h"
#include "redis/conn.h"
#include "shared/breaker.h"
#include "shared/shmem.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "shared/wake.h"
#include "storage/pmsignal.h"
#include "utils/timestamp.h"

/* how often to look whether there is a token, in microseconds */
#define POLL_US			500
/* for so long commits wait for a worker that is not there */
#define MISSED_US		INT64CONST(2000000)

typedef struct Token
{
	pg_atomic_uint64 number;	/* 0: closed.  Set by the worker; any backend
								 * may close it */
	pg_atomic_uint32 was_set;	/* written by the worker */

	/* monotonic; when a backend first missed the worker, 0: it is there */
	pg_atomic_uint64 missed_at;
	pg_atomic_uint64 started;	/* written by the worker, while it is closed */
} Token;

static Token *token = NULL;

static Size
token_size(void)
{
	return sizeof(Token);
}

static void
token_attach(void *place, bool initialise)
{
	token = place;
	if (!initialise)
		return;
	pg_atomic_init_u64(&token->number, 0);
	pg_atomic_init_u32(&token->was_set, 0);
	pg_atomic_init_u64(&token->missed_at, 0);
	pg_atomic_init_u64(&token->started, 0);
}

void
wtc_token_init(void)
{
	wtc_shmem_add(token_size, token_attach);
}

uint64
wtc_token(void)
{
	return pg_atomic_read_u64(&token->number);
}

/*
 * Is there a worker, or will there be one in a moment?  At start-up backends may
 * be there before it, and after an error it is started again; but where it
 * cannot be started at all, commits must not wait for it again and again.
 */
static bool
worker_expected(void)
{
	uint64		missed_at;
	uint64		now;

	if (wtc_worker_pid() != 0)
	{
		if (pg_atomic_read_u64(&token->missed_at) != 0)
			pg_atomic_write_u64(&token->missed_at, 0);
		return true;
	}
	now = (uint64) wtc_clock_us();
	missed_at = pg_atomic_read_u64(&token->missed_at);
	if (missed_at == 0)
	{
		pg_atomic_write_u64(&token->missed_at, now);
		return true;
	}
	return now - missed_at < MISSED_US;
}

/* Is there no point in waiting for a token? */
static bool
hopeless(void)
{
	TimestampTz since;
	int			failures;
	WtcWorkerState state = wtc_worker_state();

	return state == WTC_WORKER_NO_REDIS || state == WTC_WORKER_COLD ||
		state == WTC_WORKER_SUPERSEDED || !worker_expected() ||
		wtc_breaker_state(wtc_clock_us(), &since, &failures) !=
		WTC_BREAKER_CLOSED;
}

uint64
wtc_token_await(int64 deadline_us, bool (*stop) (void))
{
	uint64		number = wtc_token();

	/* the worker would wait for itself */
	if (wtc_am_worker())
		return number;
	while (number == 0 && !hopeless() && !stop() && PostmasterIsAlive() &&
		   wtc_clock_us() < deadline_us)
	{
		wtc_worker_wake();
		pg_usleep(POLL_US);
		number = wtc_token();
	}
	return number;
}

void
wtc_token_doubt(uint64 number)
{
	/* another one by now: that one is in no doubt */
	(void) pg_atomic_compare_exchange_u64(&token->number, &number, 0);
	wtc_worker_wake();
}

void
wtc_token_text(char buf[WTC_TOKEN_LEN], uint64 number)
{
	snprintf(buf, WTC_TOKEN_LEN,
			 UINT64_FORMAT " %u " UINT64_FORMAT " " UINT64_FORMAT,
			 GetSystemIdentifier(), GetWALInsertionTimeLine(),
			 wtc_token_started(), number);
}

uint64
wtc_token_number(const char *text)
{
	char		ours[WTC_TOKEN_LEN];
	const char *space = strrchr(text, ' ');
	uint64		number;

	if (space == NULL)
		return 0;
	number = strtoull(space + 1, NULL, 10);
	wtc_token_text(ours, number);
	return strcmp(ours, text) == 0 ? number : 0;
}

uint64
wtc_token_started(void)
{
	return pg_atomic_read_u64(&token->started);
}

void
wtc_token_start(void)
{
	Assert(wtc_token() == 0);
	pg_atomic_write_u64(&token->started,
						(uint64) GetCurrentTimestamp() / 1000);
}

void
wtc_token_open(uint64 number)
{
	Assert(number != 0);
	pg_atomic_write_u32(&token->was_set, 1);
	/* what the worker has found out about Redis comes first */
	pg_memory_barrier();
	pg_atomic_write_u64(&token->number, number);
}

void
wtc_token_close(void)
{
	pg_atomic_write_u64(&token->number, 0);
	pg_memory_barrier();
}

bool
wtc_token_was_set(void)
{
	return pg_atomic_read_u32(&token->was_set) != 0;
}
