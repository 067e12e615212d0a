/*-------------------------------------------------------------------------
 *
 * world.c
 *	  Random schedules of everything that can happen between PostgreSQL and
 *	  Redis, with the real code of push/ and worker/, and a real Redis.
 *
 *	order SOCKET DIR SEED COUNT SECONDS [-s]
 *
 * SOCKET is Redis', DIR is for the proxy's.  COUNT schedules from SEED on, but
 * no more than fit into SECONDS.  Prints violations, and at the end what has
 * happened; -s stops at the first violation.  The exit status is 1 if there
 * were any.  WTC_ORDER_TRACE=1 shows the steps.
 *
 * Backends and workers are coroutines of one program, each with its own copy of
 * all static variables (see order.h), so a schedule is repeated exactly by its
 * seed.  Whatever they wait for, a reply, a latch, some microseconds, lets the
 * scheduler choose what happens next; time is virtual.  Between them and Redis
 * stands a proxy: it holds requests, passes them, executes them after the client
 * has gone, cuts connections, and holds replies.
 *
 * After each request that Redis has executed:
 * - no value is there that is not committed, and durable;
 * - no value is older than one that has been there before, or whose push has
 *	 been reported as done; unless Redis was restored to an earlier state;
 * - once a promoted server has opened Redis, no value of a transaction that it
 *	 does not have.
 * In half of the schedules readers fill what is missing, by the scripts that
 * readers of any language use.
 *
 * At rest, every value is its row's, none has survived the invalidation of one
 * of its tags, and none is absent without a reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xact.h"
#include "access/xlogreader.h"
#include "change/batch.h"
#include "change/key.h"
#include "change/message.h"
#include "compat.h"
#include "guc.h"
#include "order.h"
#include "push/chunk.h"
#include "push/link.h"
#include "push/push.h"
#include "push/token.h"
#include "push/versions.h"
#include "redis/script.h"
#include "shared/holds.h"
#include "shared/outbox.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "shared/wake.h"
#include "utils/memutils.h"
#include "worker/order.h"
#include "worker/slot.h"
#include "worker/wal.h"
#include "worker/worker.h"

#include <poll.h>

#define KEYS			5
#define TAGS			2
#define BACKENDS		4
#define READERS			3
#define MAX_PGS			6
#define MAX_WRITES		4096
#define MAX_TXNS		2048
#define MAX_RECORDS		8192
#define MAX_LINKS		256
#define STACK_SIZE		(256 * 1024)

/* --- settings, as of guc.c --- */

int			wtc_batch_memory = 1024;
int			wtc_breaker_cooldown = 1000;
int			wtc_breaker_failures = 0;
char	   *wtc_cold_pattern = "";
int			wtc_connect_timeout = 50;
bool		wtc_debug_hold_push = false;
int			wtc_default_ttl = 3600;
bool		wtc_enabled = true;
int			wtc_heal_window = 60;
int			wtc_journal = WTC_JOURNAL_ON;
int			wtc_lease_ttl = 3000;
bool		wtc_leases = false;
char	   *wtc_key_prefix = "";
int			wtc_max_wal_retained = -1;
int			wtc_mode = WTC_MODE_WRITE_THROUGH;
char	   *wtc_password_file = "";
int			wtc_push_timeout = 20;
char	   *wtc_tag_prefix = "tag:";
char	   *wtc_url;
int			wtc_version_memory;
uint64		wtc_endpoint_generation = 0;

/* --- the key: nobody forges messages here --- */

void
wtc_sign_message(char *data, size_t len, FullTransactionId xid)
{
	memset(data, '0', WTC_CODE_CHARS);
}

const char *
wtc_key_id(void)
{
	return "the only one";
}

XLogRecPtr
wtc_key_since(void)
{
	return 1;
}

void
wtc_key_set_since(XLogRecPtr since)
{
}

/* --- chance --- */

static uint64 seed_state;
static uint64 number_state;

static uint64
next_random(uint64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64CONST(2685821657736338717);
}

static uint32
roll(uint32 n)
{
	return (uint32) (next_random(&seed_state) >> 33) % n;
}

static bool
chance(double p)
{
	return (next_random(&seed_state) >> 40) < p * (1 << 24);
}

uint64
random_number(void)
{
	return next_random(&number_state);
}

/* --- the world --- */

typedef struct Op
{
	char		kind;			/* of batch.h */
	int			key;			/* or the tag */
	int			write;			/* number, for what stores */
	int			tags;			/* bits */
	int			removed;
} Op;

typedef enum TxnState
{
	TXN_OPEN,
	TXN_PREPARED,
	TXN_COMMITTING,				/* the commit record is written */
	TXN_VISIBLE,
	TXN_ABORTED
} TxnState;

typedef struct Txn
{
	TxnState	state;
	bool		prepared;
	TransactionId xid;
	XLogRecPtr	message;		/* start */
	XLogRecPtr	version;		/* end of the message; 0: not yet */
	XLogRecPtr	commit;			/* end of the commit record */
	int			nops;
	Op			ops[8];
} Txn;

/* A value that is stored. */
typedef struct Write
{
	int			key;
	int			tags;
	bool		hash;
	bool		prepared;
	XLogRecPtr	version;
	XLogRecPtr	commit[MAX_PGS];	/* 0: not committed as far as this server
									 * knows */
	XLogRecPtr	filled;			/* the last mark it was filled with */
} Write;

/* A program that fills what is missing. */
typedef struct Reader
{
	enum
	{
		READER_IDLE,
		READER_LEASED,
		READER_READ
	}			state;
	int			key;
	char		lease[256];
	int			write;			/* of the row; 0: there is none */
	XLogRecPtr	mark;
} Reader;

typedef struct Record
{
	XLogRecPtr	start;
	XLogRecPtr	end;
	char		type;			/* m: message, c: commit */
	TransactionId xid;
	Txn		   *txn;			/* c */
	char	   *data;
	size_t		len;
} Record;

struct Pg
{
	int			index;
	TimeLineID	timeline;
	XLogRecPtr	left[MAX_PGS + 2];	/* where a timeline was left */
	uint64		started;
	bool		up;
	bool		primary;		/* not superseded */
	int			opened_era;

	Record	   *records;
	int			nrecords;
	XLogRecPtr	insert;
	XLogRecPtr	flushed;
	XLogRecPtr	booted_at;		/* the end of WAL then */
	XLogRecPtr	slot;
	XLogRecPtr	oldest;			/* WAL before is gone */
	XLogRecPtr	standby;		/* has flushed this */
	Txn		   *txns;
	int			ntxns;
	int			row[KEYS];		/* write, or 0 */
	Txn		   *lock[KEYS];
	XLogRecPtr	invalidated[TAGS];
	PGPROC		prepared[8];

	Proc		postmaster;
	Proc	   *worker;
	Proc	   *backends[BACKENDS];
	char	   *shmem;
	bool		latch;

	/* the worker's reading of WAL */
	bool		reading;
	int			read_next;
	XLogRecPtr	read_end;
	List	   *history;
};

typedef struct Saved
{
	int			db;
	int			excuse[KEYS];
	bool		empty;
} Saved;

static Pg  *pgs[MAX_PGS];
static int	npgs;
static Pg  *current;			/* the primary */
static Write writes[MAX_WRITES];
static int	nwrites;
static bool ever_invalidated;

/* the write whose value may be absent; and any may, until a push is over */
static int	excuse[KEYS];
static bool pending[KEYS];
static XLogRecPtr high[KEYS];
static int	era;				/* grows when Redis or PostgreSQL loses
								 * something */
static Reader readers[READERS];
static Saved snapshots[3];
static int	nsnapshots;
static bool quiet;				/* no new transactions, no more faults */
static bool full;				/* Redis */
static bool emptied;			/* Redis, and no server has met it since */
static int64 clock_us;
static int64 steps;
static char problem[1024];
static jmp_buf abandoned;
static bool tracing;
static double preempts;
static double invalidations;
static double impatience;
static double faults;
static double losses;			/* requests of closed connections */
static bool promotions;
static int	nkeys;
static uint64 schedule;

Proc	   *me = NULL;

static redisContext *redis;
static const char *redis_path;
static char proxy_path[108];
static int	proxy_fd;

enum
{
	N_TXNS, N_DONE, N_FAILED, N_SKIPPED, N_REJECTED, N_REQUESTS, N_LATE,
	N_CUTS, N_TIMEOUTS, N_CRASHES, N_PROMOTIONS, N_FLUSHES, N_RESTORES,
	N_COLD, N_OPENED, N_OVERTAKEN, N_DEGRADED, N_SECOND, N_FILLS, N_REFUSED,
	N_COUNTS
};

static const char *const count_names[N_COUNTS] = {
	"transactions", "pushes done", "failed", "skipped", "rejected",
	"requests", "executed late", "connections cut", "timeouts", "crashes",
	"promotions", "flushes", "restores", "cold starts", "tokens",
	"overtaken", "degraded", "second rests", "fills", "fills refused"
};
static uint64 counts[N_COUNTS];

void
trace(const char *fmt,...)
{
	va_list		args;

	if (!tracing)
		return;
	printf("  %8lld ", (long long) clock_us);
	if (me != NULL)
		printf("%d.%d ", me->pg->index, me->number);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

void
violation(const char *fmt,...)
{
	va_list		args;

	if (problem[0] == '\0')
	{
		va_start(args, fmt);
		vsnprintf(problem, sizeof(problem), fmt, args);
		va_end(args);
		trace("VIOLATION %s", problem);
	}
	if (me == NULL)
		longjmp(abandoned, 1);
}

static void
die(const char *what)
{
	perror(what);
	exit(2);
}

/* --- processes --- */

extern char __start_proc_bss[],
			__stop_proc_bss[],
			__start_proc_data[],
			__stop_proc_data[];

static Proc *loaded = NULL;
static char *pristine;
static jmp_buf scheduler;

static size_t
state_size(void)
{
	return (__stop_proc_bss - __start_proc_bss) +
		(__stop_proc_data - __start_proc_data);
}

static void
save_state(char *to)
{
	size_t		n = __stop_proc_bss - __start_proc_bss;

	memcpy(to, __start_proc_bss, n);
	memcpy(to + n, __start_proc_data, __stop_proc_data - __start_proc_data);
}

static void
load_state(const char *from)
{
	size_t		n = __stop_proc_bss - __start_proc_bss;

	memcpy(__start_proc_bss, from, n);
	memcpy(__start_proc_data, from + n, __stop_proc_data - __start_proc_data);
}

static void
load(Proc *p)
{
	if (p == loaded)
		return;
	if (loaded != NULL)
		save_state(loaded->state);
	load_state(p->state);
	loaded = p;
}

static char *spare_stacks[64];
static int	nspare = 0;

static Proc *
proc_fork(Pg *pg, int number, void (*main) (void))
{
	Proc	   *p = calloc(1, sizeof(Proc));

	load(&pg->postmaster);
	p->pg = pg;
	p->number = number;
	p->main = main;
	p->state = malloc(state_size());
	save_state(p->state);
	if (nspare > 0)
		p->stack = spare_stacks[--nspare];
	else
	{
		p->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p->stack == MAP_FAILED)
			die("mmap");
	}
	p->idle = number > 0;
	return p;
}

/* It is gone, without having had a say. */
static void
proc_kill(Proc *p)
{
	load(p);
	me = p;
	server_free(p);
	me = NULL;
	loaded = NULL;
	free(p->state);
	spare_stacks[nspare++] = p->stack;
	free(p);
}

static void
trampoline(void)
{
	server_be(me->number);
	me->main();
	for (;;)
		proc_wait(WAIT_OVER, 0);
}

static void
proc_resume(Proc *p)
{
	load(p);
	if (p->wait == WAIT_SLEEP || (p->wait == WAIT_LATCH && !p->pg->latch))
		p->ahead_us += p->wait_us;
	if (p->wait == WAIT_SLEEP)
		p->ahead_us += p->wait_us * roll(20);
	p->wait = WAIT_NOTHING;
	me = p;
	server_interrupt(p->cancelled);
	if (_setjmp(scheduler) == 0)
	{
		if (p->started)
			_longjmp(p->env, 1);
		else
		{
			ucontext_t	context;

			p->started = true;
			getcontext(&context);
			context.uc_stack.ss_sp = p->stack;
			context.uc_stack.ss_size = STACK_SIZE;
			context.uc_link = NULL;
			makecontext(&context, trampoline, 0);
			setcontext(&context);
		}
	}
	me = NULL;
	if (problem[0] != '\0')
		longjmp(abandoned, 1);
}

void
proc_wait(Wait wait, int64 wait_us)
{
	me->wait = wait;
	me->wait_us = wait_us;
	if (_setjmp(me->env) == 0)
		_longjmp(scheduler, 1);
}

void
preempt(void)
{
	if (me == NULL || preempts == 0 || !chance(preempts))
		return;
	if (chance(.3))
		me->paused = roll(40);
	proc_wait(WAIT_NOTHING, 0);
}

#define WRAP(type, name, args, call) \
	extern type __real_##name args; \
	type __wrap_##name args { preempt(); return __real_##name call; }
#define WRAP_VOID(name, args, call) \
	extern void __real_##name args; \
	void __wrap_##name args { preempt(); __real_##name call; }

WRAP(WtcMark, wtc_versions_mark, (uint64 k, int o, XLogRecPtr *s, XLogRecPtr *f), (k, o, s, f))
WRAP_VOID(wtc_versions_send, (uint64 k, XLogRecPtr v), (k, v))
WRAP_VOID(wtc_versions_unmark, (uint64 k, int o), (k, o))
WRAP_VOID(wtc_versions_invalidate, (uint64 k, XLogRecPtr c), (k, c))
WRAP(XLogRecPtr, wtc_versions_invalidated, (uint64 t, XLogRecPtr *f), (t, f))
WRAP(uint64, wtc_token, (void), ())
WRAP_VOID(wtc_token_doubt, (uint64 n), (n))
WRAP_VOID(wtc_token_close, (void), ())
WRAP_VOID(wtc_hold, (XLogRecPtr m, XLogRecPtr c), (m, c))
WRAP_VOID(wtc_holds_release, (XLogRecPtr s), (s))
WRAP(XLogRecPtr, wtc_holds_min, (void), ())
WRAP(uint64, wtc_inflight_min, (void), ())

extern int	__real_clock_gettime(clockid_t clock, struct timespec *ts);

int
__wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	int64		now = clock_us + (me == NULL ? 0 : me->ahead_us);

	ts->tv_sec = now / 1000000;
	ts->tv_nsec = now % 1000000 * 1000;
	return 0;
}

/* --- the proxy --- */

typedef struct Link
{
	int			client_fd;		/* the client's number of its end */
	int			fd;				/* ours of the same connection; -1: it is over */
	int			redis_fd;
	Proc	   *owner;			/* NULL: gone */
	int64		late;			/* step before which it is not executed */
	char	   *in;				/* the client has sent this */
	size_t		inlen;
	char	   *out;			/* Redis has answered this */
	size_t		outlen;
} Link;

static Link *links[MAX_LINKS];
static int	nlinks;

static int
connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strlcpy(address.sun_path, path, sizeof(address.sun_path));
	if (fd < 0 || connect(fd, (struct sockaddr *) &address,
						  sizeof(address)) < 0)
		die(path);
	return fd;
}

static void
link_drop(Link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	if (l->redis_fd >= 0)
		close(l->redis_fd);
	for (int i = 0; i < nlinks; i++)
	{
		if (links[i] == l)
			links[i] = links[--nlinks];
	}
	free(l->in);
	free(l->out);
	free(l);
}

static Link *
link_of_client(int fd)
{
	for (int i = 0; i < nlinks; i++)
	{
		if (links[i]->owner != NULL && links[i]->client_fd == fd)
			return links[i];
	}
	return NULL;
}

static Link *
link_accept(int client_fd)
{
	Link	   *l = calloc(1, sizeof(Link));

	if (nlinks == MAX_LINKS)
		die("too many connections");
	l->client_fd = client_fd;
	l->fd = accept(proxy_fd, NULL, NULL);
	if (l->fd < 0)
		die("accept");
	l->redis_fd = connect_unix(redis_path);
	l->owner = me;
	links[nlinks++] = l;
	return l;
}

/* Takes what the client has sent. */
static void
link_pull(Link *l)
{
	char		buf[65536];
	ssize_t		n;

	while (l->fd >= 0 &&
		   (n = recv(l->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
	{
		l->in = realloc(l->in, l->inlen + n);
		memcpy(l->in + l->inlen, buf, n);
		l->inlen += n;
		if (n < (ssize_t) sizeof(buf))
			break;
	}
}

static bool
link_answered(int client_fd)
{
	char		c;

	return recv(client_fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* Our end of the client's connection is closed. */
static void
link_cut(Link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->outlen = 0;
}

extern void __real_redisFree(redisContext *ctx);

void
__wrap_redisFree(redisContext *ctx)
{
	Link	   *l = link_of_client(ctx->fd);

	/* given up before it has waited for the connection */
	if (l == NULL)
		l = link_accept(ctx->fd);
	link_pull(l);
	link_cut(l);
	l->owner = NULL;
	l->late = steps + (chance(.5) ? roll(20) : roll(300));
	if (l->inlen == 0 || l->redis_fd < 0 || chance(losses))
		link_drop(l);
	__real_redisFree(ctx);
}

extern int	__real_poll(struct pollfd *fds, nfds_t nfds, int timeout);

int
__wrap_poll(struct pollfd *p, nfds_t nfds, int timeout)
{
	Link	   *l = link_of_client(p->fd);

	p->revents = 0;
	if ((p->events & POLLOUT) != 0)
	{
		if (l == NULL)
			(void) link_accept(p->fd);
		p->revents = POLLOUT;
		return 1;
	}
	if (l == NULL)
		die("poll");
	link_pull(l);
	me->fd = p->fd;
	if (!link_answered(p->fd))
		proc_wait(WAIT_POLL, timeout * 1000);
	if (link_answered(p->fd))
		p->revents = POLLIN;
	return p->revents != 0;
}

static size_t write_check(char *buf, size_t size, const char *mark);
static void check_answer(const char *answer);
static void check_redis(void);

/*
 * Redis executes what the client has sent, and behind it, lest there be another
 * round trip, what reads all values.
 */
static void
link_execute(Link *l)
{
	static int	n = 0;
	char		command[1024];
	char		mark[32];
	char		end[40];
	char	   *answer;
	size_t		len;
	size_t		at = l->outlen;
	size_t		room = at + 65536;

	counts[N_REQUESTS]++;
	if (l->owner == NULL)
		counts[N_LATE]++;
	else
		l->owner->era = era;
	snprintf(mark, sizeof(mark), "order-%08d", n++ % 100000000);
	len = write_check(command, sizeof(command), mark);
	l->in = realloc(l->in, l->inlen + len);
	memcpy(l->in + l->inlen, command, len);
	if (send(l->redis_fd, l->in, l->inlen + len, MSG_NOSIGNAL) !=
		(ssize_t) (l->inlen + len))
		die("send to Redis");
	l->inlen = 0;
	len = snprintf(end, sizeof(end), "<%s\r\n", mark);
	l->out = realloc(l->out, room);
	do
	{
		ssize_t		got;

		if (room - l->outlen < 4096)
			l->out = realloc(l->out, room *= 2);
		got = recv(l->redis_fd, l->out + l->outlen, room - l->outlen - 1, 0);
		if (got <= 0)
			die("recv from Redis");
		l->outlen += got;
	} while (l->outlen - at < len ||
			 memcmp(l->out + l->outlen - len, end, len) != 0);
	l->out[l->outlen] = '\0';

	/* the answer is one string, "mark>...<mark" */
	snprintf(end, sizeof(end), "%s>", mark);
	answer = memmem(l->out + at, l->outlen - at, end, strlen(end));
	if (answer == NULL)
		die("no answer from Redis");
	l->outlen = answer - l->out;
	while (l->out[l->outlen] != '$')
		l->outlen--;
	check_answer(answer + strlen(end));
}

/* Passes the reply on to the client. */
static void
link_answer(Link *l)
{
	if (l->fd >= 0 && l->outlen > 0 &&
		send(l->fd, l->out, l->outlen, MSG_NOSIGNAL) != (ssize_t) l->outlen)
		die("send to client");
	l->outlen = 0;
}

/* Redis gets some first bytes of a request, and the end of the connection. */
static void
link_execute_part(Link *l)
{
	size_t		n = roll(l->inlen + 1);
	char		buf[4096];

	if (n > 0 && send(l->redis_fd, l->in, n, MSG_NOSIGNAL) != (ssize_t) n)
		die("send to Redis");
	shutdown(l->redis_fd, SHUT_WR);
	while (recv(l->redis_fd, buf, sizeof(buf), 0) > 0)
		;
	close(l->redis_fd);
	l->redis_fd = -1;
	l->inlen = 0;
	link_cut(l);
	if (l->owner == NULL)
		link_drop(l);
	check_redis();
}

/* A link whose client does not know yet that it is over, see link_cut(). */
static bool
link_is_over(const Link *l)
{
	return l->fd < 0 && l->owner != NULL;
}

/* --- Redis, as an administrator sees it --- */

static void
admin(const char *fmt,...)
{
	va_list		args;
	redisReply *reply;

	va_start(args, fmt);
	reply = redisvCommand(redis, fmt, args);
	va_end(args);
	if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
	{
		fprintf(stderr, "%s: %s\n", fmt, reply == NULL ? redis->errstr :
				reply->str);
		exit(2);
	}
	freeReplyObject(reply);
}

static const char check_text[] =
"local r = ARGV[2] .. '>' "
"for i = 1, tonumber(ARGV[1]) do "
"  local k = 'key:' .. (i - 1) "
"  local t = redis.call('TYPE', k).ok "
"  if t == 'string' then t = redis.call('GET', k) "
"  elseif t == 'hash' then t = table.concat(redis.call('HGETALL', k), ',') "
"  elseif t == 'none' then t = '' end "
"  r = r .. t .. ';' "
"end return r .. '<' .. ARGV[2]";

static size_t
write_check(char *buf, size_t size, const char *mark)
{
	return snprintf(buf, size, "*5\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n"
					"$1\r\n0\r\n$1\r\n%d\r\n$%zu\r\n%s\r\n",
					strlen(check_text), check_text, nkeys, strlen(mark), mark);
}

/* What a value looks like. */
static void
value_text(int w, char *buf, size_t size)
{
	if (writes[w].hash)
		snprintf(buf, size, "v,%d,f%d,%d", w, w % 3, w);
	else
		snprintf(buf, size, "%d", w);
}

/* Which write this is; 0: nothing. */
static int
value_write(int key, const char *text)
{
	int			w = atoi(strncmp(text, "v,", 2) == 0 ? text + 2 : text);
	char		expected[64];

	if (text[0] == '\0')
		return 0;
	if (w <= 0 || w >= nwrites || writes[w].key != key)
		violation("key:%d is \"%s\"", key, text);
	value_text(w, expected, sizeof(expected));
	if (strcmp(text, expected) != 0)
		violation("key:%d is \"%s\" instead of \"%s\"", key, text, expected);
	return w;
}

/* What the keys hold, as write numbers, from an answer to the check. */
static void
parse_answer(const char *answer, int *held)
{
	for (int k = 0; k < nkeys; k++)
	{
		char		text[64];
		size_t		len = strcspn(answer, ";");

		strlcpy(text, answer, Min(len + 1, sizeof(text)));
		held[k] = value_write(k, text);
		answer += len + 1;
	}
}

static void
read_redis(int *held)
{
	redisReply *reply = redisCommand(redis, "EVAL %s 0 %d %s", check_text,
									 nkeys, "x");

	if (reply == NULL || reply->type != REDIS_REPLY_STRING)
	{
		fprintf(stderr, "check: %s\n", reply == NULL ? redis->errstr :
				reply->str);
		exit(2);
	}
	parse_answer(strchr(reply->str, '>') + 1, held);
	freeReplyObject(reply);
}

/* Is what Redis holds this server's alone? */
static bool
strict(void)
{
	return current->opened_era == era;
}

static void
check_values(const int *held)
{
	static int	before[KEYS];

	for (int k = 0; k < nkeys; k++)
	{
		const Write *w = &writes[held[k]];
		bool		any = false;

		if (tracing && held[k] != before[k])
			trace("key:%d = %d", k, held[k]);
		before[k] = held[k];
		if (held[k] == 0)
			continue;
		for (int i = 0; i < npgs; i++)
			any |= w->commit[i] != 0;
		if (!any)
			violation("key:%d = %d is not committed", k, held[k]);
		if (held[k] == current->row[k])
			excuse[k] = 0;
		if (!strict())
			continue;
		if (w->commit[current->index] == 0)
			violation("key:%d = %d was committed by a server that has been superseded",
					  k, held[k]);
		if (w->version < high[k])
			violation("older over newer: key:%d = %d, version %llu after %llu",
					  k, held[k], (unsigned long long) w->version,
					  (unsigned long long) high[k]);
		high[k] = w->version;
	}
}

/* The row's value, as it is now, may be absent from now on. */
static void
excuse_key(int k)
{
	excuse[k] = current->row[k];
}

static bool
is_there(const char *command)
{
	redisReply *reply = redisCommand(redis, command);
	bool		result = reply != NULL && reply->integer == 1;

	freeReplyObject(reply);
	return result;
}

/* What wtcache keeps in Redis besides the values. */
static void
trace_redis(const char *when)
{
	static const char text[] =
	"return tostring(redis.call('GET', 'wtcache:token')) .. ' | ' .. "
	"table.concat(redis.call('HGETALL', 'wtcache:position'), ' ') .. ' | ' .. "
	"table.concat(redis.call('LRANGE', 'wtcache:journal', 0, -1), ', ')";
	redisReply *reply;

	if (!tracing)
		return;
	reply = redisCommand(redis, "EVAL %s 0", text);
	trace("%s: %s", when, reply->str);
	freeReplyObject(reply);
}

static void
check_answer(const char *answer)
{
	int			held[KEYS];

	parse_answer(answer, held);
	check_values(held);
}

static void
check_redis(void)
{
	int			held[KEYS];

	read_redis(held);
	check_values(held);
}

static void
excuse_all(void)
{
	for (int k = 0; k < KEYS; k++)
		excuse_key(k);
}

static void
new_era(void)
{
	era++;
	memset(high, 0, sizeof(high));
}

/* --- where the code under test tells something --- */

extern void __real_wtc_chunk_note_sent(WtcChunk *chunk);

static void
note_verdicts(const WtcChunk *chunk, bool sent)
{
	for (int i = 0; i < chunk->nitems; i++)
	{
		const WtcItem *item = &chunk->items[i];
		int			k;

		if (item->op.kind == WTC_OP_INVALIDATE ||
			(item->verdict != WTC_VERDICT_DELETE &&
			 item->verdict != WTC_VERDICT_REJECTED))
			continue;
		k = item->op.key.data[item->op.key.len - 1] - '0';
		excuse_key(k);
		pending[k] = !sent;
		counts[N_DEGRADED] += sent;
	}
}

void
__wrap_wtc_chunk_note_sent(WtcChunk *chunk)
{
	preempt();
	__real_wtc_chunk_note_sent(chunk);
	note_verdicts(chunk, false);
	for (int i = 0; i < chunk->nitems; i++)
	{
		if (chunk->items[i].verdict != WTC_VERDICT_OVERTAKEN)
			continue;
		counts[N_OVERTAKEN]++;
		me->overtaken = true;
	}
	for (int i = 0; i < chunk->nitems; i++)
	{
		const WtcItem *item = &chunk->items[i];

		trace("sends %c %.*s version %llu commit %llu verdict %d",
			  item->op.kind, item->op.key.len, item->op.key.data,
			  (unsigned long long) item->version,
			  (unsigned long long) item->commit, (int) item->verdict);
	}
	preempt();
}

extern void __real_wtc_chunk_unmark(WtcChunk *chunk, int owner);

void
__wrap_wtc_chunk_unmark(WtcChunk *chunk, int owner)
{
	preempt();
	note_verdicts(chunk, true);
	__real_wtc_chunk_unmark(chunk, owner);
}

extern void __real_wtc_token_open(uint64 number);

void
__wrap_wtc_token_open(uint64 number)
{
	preempt();
	trace_redis("opens");
	counts[N_OPENED]++;
	/* it does not know what has happened since its last request */
	me->pg->opened_era = me->era;
	emptied &= !is_there("EXISTS wtcache:token");
	__real_wtc_token_open(number);
}

extern void __real_wtc_replay_forget(XLogRecPtr lsn, bool stranded);

void
__wrap_wtc_replay_forget(XLogRecPtr lsn, bool stranded)
{
	trace("cold");
	counts[N_COLD]++;
	excuse_all();
	__real_wtc_replay_forget(lsn, stranded);
}

extern void __real_wtc_replay_restart(XLogRecPtr start);

/*
 * What an earlier start of the server has left is not replayed to a Redis that
 * is empty.
 */
void
__wrap_wtc_replay_restart(XLogRecPtr start)
{
	Pg		   *pg = me->pg;

	trace("replay from %llu", (unsigned long long) start);
	for (int k = 0; k < nkeys && emptied && pg == current; k++)
	{
		const Write *w = &writes[pg->row[k]];

		if (w->version <= start &&
			(w->prepared || w->commit[pg->index] <= pg->booted_at))
			excuse_key(k);
	}
	__real_wtc_replay_restart(start);
}

/* --- the database --- */

static Txn *
txn_of(Pg *pg, TransactionId xid)
{
	int			i = xid - FirstNormalTransactionId;

	return i >= 0 && i < pg->ntxns ? &pg->txns[i] : NULL;
}

bool
pg_in_progress(TransactionId xid)
{
	Txn		   *t = txn_of(me->pg, xid);

	return t != NULL && (t->state == TXN_OPEN || t->state == TXN_PREPARED ||
						 t->state == TXN_COMMITTING);
}

bool
pg_did_commit(TransactionId xid)
{
	Txn		   *t = txn_of(me->pg, xid);

	return t != NULL && (t->state == TXN_COMMITTING ||
						 t->state == TXN_VISIBLE);
}

XLogRecPtr
pg_insert(void)
{
	return me->pg->insert;
}

TimeLineID
pg_timeline(void)
{
	return me->pg->timeline;
}

uint64
pg_started(void)
{
	return me == NULL ? 0 : me->pg->started * 1000;
}

void
pg_set_latch(bool set)
{
	me->pg->latch = set;
}

bool
pg_latch_is_set(void)
{
	return me->pg->latch;
}

XLogRecPtr
pg_standby_flush(void)
{
	return me == NULL ? 0 : me->pg->standby;
}

XLogRecPtr
pg_switch_point(TimeLineID tli)
{
	return me->pg->left[tli];
}

PGPROC *
pg_prepared_procs(void)
{
	return me->pg->prepared;
}

static Record *
append(Pg *pg, char type, TransactionId xid, size_t len)
{
	Record	   *r = &pg->records[pg->nrecords++];

	if (pg->nrecords >= MAX_RECORDS)
		die("too much WAL");
	memset(r, 0, sizeof(*r));
	r->start = pg->insert;
	r->end = pg->insert = pg->insert + 32 + (len + 7) / 8 * 8;
	r->type = type;
	r->xid = xid;
	return r;
}

static Txn *own_txn(void);

XLogRecPtr
pg_append(const char *data, size_t len, bool transactional)
{
	Record	   *r = append(me->pg, 'm', transactional ? own_txn()->xid :
						   InvalidTransactionId, len);

	r->data = malloc(len);
	memcpy(r->data, data, len);
	r->len = len;
	return r->end;
}

static void
flush(Pg *pg, XLogRecPtr upto)
{
	pg->flushed = Max(pg->flushed, Min(upto, pg->insert));
}

static void
apply(Pg *pg, const Txn *t)
{
	for (int i = 0; i < t->nops; i++)
	{
		const Op   *op = &t->ops[i];

		if (op->kind == 't')
		{
			pg->invalidated[op->key] = Max(pg->invalidated[op->key], t->commit);
			continue;
		}
		if (op->write > 0)
			writes[op->write].commit[pg->index] = t->commit;
		pg->row[op->key] = op->write;
	}
}

static void
unlock_rows(Pg *pg, const Txn *t)
{
	for (int k = 0; k < KEYS; k++)
	{
		if (pg->lock[k] == t)
			pg->lock[k] = NULL;
	}
}

static void
trace_txn(const char *what, const Txn *t)
{
	char		text[256] = "";

	if (!tracing)
		return;
	for (int i = 0; i < t->nops; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
				 " %c %d=%d tags %x", t->ops[i].kind, t->ops[i].key,
				 t->ops[i].write, t->ops[i].tags);
	trace("%s %u: version %llu, commit %llu:%s", what, t->xid,
		  (unsigned long long) t->version, (unsigned long long) t->commit,
		  text);
}

/*
 * It is none of the primary's: what it stores is deleted, and what it deletes is
 * not restored.
 */
static void
excuse_txn(const Txn *t)
{
	for (int i = 0; i < t->nops; i++)
	{
		if (t->ops[i].kind != 't')
			excuse_key(t->ops[i].key);
	}
}

/* Others can see it. */
static void
make_visible(Pg *pg, Txn *t)
{
	t->state = TXN_VISIBLE;
	apply(pg, t);
	if (pg != current)
		excuse_txn(t);
	unlock_rows(pg, t);
}

static void
write_commit(Pg *pg, Txn *t, bool durable)
{
	Record	   *r = append(pg, 'c', t->xid, 8);

	r->txn = t;
	t->commit = r->end;
	t->state = TXN_COMMITTING;
	if (durable)
		flush(pg, r->end);
}

static void
set_prepared_xid(Pg *pg, TransactionId from, TransactionId to)
{
	for (int i = 0; i < (int) lengthof(pg->prepared); i++)
	{
		if (pg->prepared[i].xid == from)
		{
			pg->prepared[i].xid = to;
			return;
		}
	}
	die("too many prepared transactions");
}

/* Shared memory is new, and what has not been flushed is gone. */
static void
recover(Pg *pg)
{
	XLogRecPtr	end = pg->flushed;
	int			n = 0;

	while (n < pg->nrecords && pg->records[n].end <= end)
		n++;
	for (int i = n; i < pg->nrecords; i++)
		free(pg->records[i].data);
	pg->nrecords = n;
	pg->insert = pg->flushed = n > 0 ? pg->records[n - 1].end : pg->insert;
	memset(pg->row, 0, sizeof(pg->row));
	memset(pg->lock, 0, sizeof(pg->lock));
	memset(pg->invalidated, 0, sizeof(pg->invalidated));
	memset(pg->prepared, 0, sizeof(pg->prepared));
	for (int i = 0; i < nwrites; i++)
		writes[i].commit[pg->index] = 0;
	for (int i = 0; i < pg->ntxns; i++)
	{
		Txn		   *t = &pg->txns[i];

		if (t->state == TXN_ABORTED)
			continue;
		if (t->prepared && t->version <= pg->insert &&
			(t->commit == 0 || t->commit > pg->insert))
		{
			t->commit = 0;
			t->state = TXN_PREPARED;
			set_prepared_xid(pg, InvalidTransactionId, t->xid);
			for (int j = 0; j < t->nops; j++)
			{
				if (t->ops[j].kind != 't')
					pg->lock[t->ops[j].key] = t;
			}
		}
		else if (t->commit == 0 || t->commit > pg->insert)
			t->state = TXN_ABORTED;
		else
			t->state = TXN_VISIBLE;
	}
	/* in the order of the messages, which is that of the rows' versions */
	for (int i = 0; i < pg->nrecords; i++)
	{
		Txn		   *t = txn_of(pg, pg->records[i].xid);

		if (pg->records[i].type == 'm' && t != NULL && t->state == TXN_VISIBLE)
			apply(pg, t);
	}
}

/* --- worker/wal.c and worker/slot.c --- */

void
wtc_wal_open(XLogRecPtr from, XLogRecPtr upto)
{
	Pg		   *pg = me->pg;

	Assert(!pg->reading);
	pg->reading = true;
	pg->read_end = upto;
	pg->read_next = 0;
	if (from < pg->oldest)
		violation("WAL that is gone is read: from %llu, oldest %llu",
				  (unsigned long long) from, (unsigned long long) pg->oldest);
	while (pg->read_next < pg->nrecords &&
		   pg->records[pg->read_next].start < from)
		pg->read_next++;
}

bool
wtc_wal_next(WtcWalMessage *message)
{
	Pg		   *pg = me->pg;

	preempt();
	while (pg->read_next < pg->nrecords)
	{
		Record	   *r = &pg->records[pg->read_next];
		WtcMessage	content;
		char	   *copy;

		if (r->start >= pg->read_end || r->end > pg->flushed)
			break;
		pg->read_next++;
		if (r->type == 'c')
		{
			XLogReaderState reader = {0};
			DecodedXLogRecord record = {0};
			TransactionId twophase = r->txn->prepared ? r->xid :
				InvalidTransactionId;

			reader.record = &record;
			reader.EndRecPtr = r->end;
			record.header.xl_rmid = RM_XACT_ID;
			record.header.xl_info = r->txn->prepared ?
				XLOG_XACT_COMMIT_PREPARED : XLOG_XACT_COMMIT;
			record.header.xl_xid = r->txn->prepared ? InvalidTransactionId :
				r->xid;
			record.main_data = (char *) &twophase;
			wtc_order_take(&reader);
			continue;
		}
		copy = palloc(r->len);
		memcpy(copy, r->data, r->len);
		if (!wtc_get_message(copy, r->len, &content))
			violation("malformed message");
		message->start = r->start;
		message->xid = content.xid != InvalidTransactionId ? content.xid : r->xid;
		message->lsn = content.lsn != InvalidXLogRecPtr ? content.lsn : r->end;
		message->batch = content.batch.data;
		message->len = content.batch.len;
		return true;
	}
	return false;
}

void
wtc_wal_close(void)
{
	me->pg->reading = false;
}

bool
wtc_wal_is_open(void)
{
	return me->pg->reading;
}

void
wtc_wal_flush(XLogRecPtr lsn)
{
	preempt();
	flush(me->pg, lsn);
}

bool
wtc_wal_flushed(XLogRecPtr lsn)
{
	return me->pg->flushed >= lsn;
}

bool
wtc_wal_exists(XLogRecPtr lsn)
{
	return lsn >= me->pg->oldest;
}

XLogRecPtr
wtc_wal_written_before(int seconds)
{
	return me->pg->slot;
}

TimeLineID
wtc_wal_timeline(XLogRecPtr lsn)
{
	Pg		   *pg = me->pg;

	for (TimeLineID tli = 1; tli < pg->timeline; tli++)
	{
		/* as tliOfPointInHistory() has it */
		if (lsn < pg->left[tli])
			return tli;
	}
	return pg->timeline;
}

List *
wtc_wal_history(void)
{
	return me->pg->history;
}

void
wtc_slot_open(void)
{
	if (me->pg->slot == InvalidXLogRecPtr)
		me->pg->slot = me->pg->insert;
}

void
wtc_slot_drop(void)
{
	me->pg->slot = InvalidXLogRecPtr;
}

bool
wtc_slot_exists(void)
{
	return true;
}

XLogRecPtr
wtc_slot_position(void)
{
	return me->pg->slot;
}

void
wtc_slot_advance(XLogRecPtr lsn)
{
	me->pg->slot = Max(me->pg->slot, lsn);
}

/* --- backends --- */

static Txn *own[MAX_PGS][BACKENDS + 1];

static Txn *
own_txn(void)
{
	return own[me->pg->index][me->number];
}

static void
put_tags(StringInfo buf, int tags, WtcList *list)
{
	StringInfoData bytes;

	initStringInfo(&bytes);
	memset(list, 0, sizeof(*list));
	for (int t = 0; t < TAGS; t++)
	{
		char		name[16];

		if ((tags & (1 << t)) == 0)
			continue;
		snprintf(name, sizeof(name), "tag:%d", t);
		wtc_put_string(&bytes, name, strlen(name));
		list->count++;
	}
	list->bytes.data = bytes.data;
	list->bytes.len = bytes.len;
}

/* Chooses what a transaction does; false: the rows are locked by others. */
static bool
choose_ops(Pg *pg, Txn *t)
{
	int			n = 1 + (chance(.3) ? roll(3) : 0);

	if (chance(invalidations))
	{
		Op		   *op = &t->ops[t->nops++];

		op->kind = 't';
		op->key = roll(TAGS);
		if (chance(.3))
			n = 0;
	}
	for (int i = 0; i < n; i++)
	{
		Op		   *op = &t->ops[t->nops];
		int			k = roll(nkeys);
		int			held;

		if (pg->lock[k] == t)
			continue;
		if (pg->lock[k] != NULL)
			return t->nops > 0;
		pg->lock[k] = t;
		held = pg->row[k] == 0 ? 0 : writes[pg->row[k]].tags;
		memset(op, 0, sizeof(*op));
		op->key = k;
		if (chance(.2))
		{
			op->kind = 'd';
			op->removed = held;
		}
		else
		{
			Write	   *w = &writes[nwrites];

			if (nwrites >= MAX_WRITES)
				die("too many writes");
			op->kind = chance(.3) ? 'h' : 's';
			op->write = nwrites++;
			op->tags = chance(.7) ? 1 << (k % TAGS) : roll(1 << TAGS);
			op->removed = held & ~op->tags;
			memset(w, 0, sizeof(*w));
			w->key = k;
			w->tags = op->tags;
			w->hash = op->kind == 'h';
		}
		t->nops++;
	}
	return t->nops > 0;
}

static void
encode(const Txn *t, StringInfo buf)
{
	appendStringInfoChar(buf, WTC_BATCH_FORMAT);
	for (int i = 0; i < t->nops; i++)
	{
		const Op   *o = &t->ops[i];
		WtcOperation op = {0};
		char		name[16];
		char		value[32];
		StringInfoData fields;

		snprintf(name, sizeof(name), o->kind == 't' ? "tag:%d" : "key:%d",
				 o->key);
		op.kind = (WtcOpKind) o->kind;
		op.key.data = name;
		op.key.len = strlen(name);
		op.ttl_ms = 3600000;
		put_tags(buf, o->tags, &op.tags);
		put_tags(buf, o->removed, &op.removed);
		snprintf(value, sizeof(value), "%d", o->write);
		op.value.data = value;
		op.value.len = strlen(value);
		if (o->kind == 's' || o->kind == 'h')
			op.keys = (WtcPattern) {4, {"*", 1}};
		if (op.tags.count > 0)
			op.sets = (WtcPattern) {4, {"*", 1}};
		if (o->kind == 'h')
		{
			char		field[8];

			initStringInfo(&fields);
			wtc_put_string(&fields, "v", 1);
			wtc_put_string(&fields, value, strlen(value));
			snprintf(field, sizeof(field), "f%d", o->write % 3);
			wtc_put_string(&fields, field, strlen(field));
			wtc_put_string(&fields, value, strlen(value));
			op.fields.count = 4;
			op.fields.bytes.data = fields.data;
			op.fields.bytes.len = fields.len;
		}
		wtc_put_operation(buf, &op);
	}
}

/* A push has been reported as done. */
static void
promise(Pg *pg, const Txn *t, int era_begun)
{
	if (pg != current || era_begun != era || !strict() || !t->commit ||
		t->commit > pg->flushed)
		return;
	for (int i = 0; i < t->nops; i++)
	{
		if (t->ops[i].kind != 't')
			high[t->ops[i].key] = Max(high[t->ops[i].key], t->version);
	}
}

/* As txn/xact.c has it. */
static void
settle(WtcPush *push, WtcPushOutcome outcome, XLogRecPtr commit)
{
	XLogRecPtr	invalidated = wtc_push_invalidates(push) ? commit :
		InvalidXLogRecPtr;

	switch (outcome)
	{
		case WTC_PUSH_DONE:
			counts[N_DONE]++;
			wtc_inflight_settle(true, invalidated);
			break;
		case WTC_PUSH_REJECTED:
			counts[N_REJECTED]++;
			wtc_inflight_settle(true, invalidated);
			break;
		case WTC_PUSH_UNSURE:
			wtc_inflight_settle(false, InvalidXLogRecPtr);
			wtc_worker_wake();
			break;
		case WTC_PUSH_SKIPPED:
			counts[N_SKIPPED]++;
			wtc_inflight_settle(false, InvalidXLogRecPtr);
			wtc_worker_wake();
			break;
		case WTC_PUSH_FAILED:
			counts[N_FAILED]++;
			wtc_inflight_settle(false, InvalidXLogRecPtr);
			wtc_worker_wake();
			break;
		case WTC_PUSH_DEFERRED:
			break;
	}
}

static void
run_transaction(Txn *t)
{
	Pg		   *pg = me->pg;
	bool		worker = chance(.1);
	bool		durable = !worker || chance(.5);
	bool		prepares = chance(.07);
	WtcPush    *push = NULL;
	WtcMessage	message = {0};
	StringInfoData buf;
	StringInfoData logged;
	int			begun;
	WtcPushOutcome outcome;

	counts[N_TXNS]++;
	worker |= prepares;
	if (!worker)
		wtc_link_connect();
	proc_wait(WAIT_NOTHING, 0);

	wtc_inflight_publish(GetXLogInsertRecPtr());
	initStringInfo(&buf);
	encode(t, &buf);
	preempt();
	t->message = pg->insert;
	message.batch.data = buf.data;
	message.batch.len = buf.len;
	initStringInfo(&logged);
	wtc_put_message(&logged, &message);
	t->version = wtc_log_message(WTC_MESSAGE_PREFIX, logged.data, logged.len);
	for (int i = 0; i < t->nops; i++)
		writes[t->ops[i].write].version = t->version;
	if (!worker)
	{
		push = wtc_push_create();
		wtc_push_add(push, buf.data, buf.len, t->version);
	}
	proc_wait(WAIT_NOTHING, 0);

	if (prepares && pg->prepared[lengthof(pg->prepared) - 1].xid == 0)
	{
		flush(pg, pg->insert);
		t->prepared = true;
		t->state = TXN_PREPARED;
		for (int i = 0; i < t->nops; i++)
			writes[t->ops[i].write].prepared = true;
		set_prepared_xid(pg, InvalidTransactionId, t->xid);
		trace_txn("prepares", t);
		preempt();
		wtc_inflight_settle(false, InvalidXLogRecPtr);
		wtc_worker_wake();
		return;
	}
	if (chance(.12))
	{
		t->state = TXN_ABORTED;
		unlock_rows(pg, t);
		wtc_inflight_drop();
		return;
	}
	write_commit(pg, t, durable);
	proc_wait(WAIT_NOTHING, 0);
	make_visible(pg, t);
	trace_txn("commits", t);
	if (chance(.02))
	{
		/* it ends before it has pushed */
		server_at_exit();
		for (;;)
			proc_wait(WAIT_OVER, 0);
	}
	proc_wait(WAIT_NOTHING, 0);
	if (worker)
	{
		wtc_inflight_settle(false, InvalidXLogRecPtr);
		wtc_worker_wake();
		return;
	}
	begun = era;
	me->overtaken = false;
	XactLastCommitEnd = t->commit;
	outcome = wtc_push_run(push, t->commit, wtc_push_deadline());
	trace("pushed %u: outcome %d", t->xid, (int) outcome);
	/* what has overtaken it may have failed, and is replayed then */
	if (outcome == WTC_PUSH_DONE && !me->overtaken)
		promise(pg, t, begun);
	settle(push, outcome, t->commit);
}

static void
backend_main(void)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "transaction",
											  ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(cxt);
	for (;;)
	{
		Pg		   *pg = me->pg;
		Txn		   *t;

		me->idle = true;
		me->cancelled = false;
		proc_wait(WAIT_NOTHING, 0);
		if (quiet || pg->ntxns >= MAX_TXNS - 1)
			continue;
		me->idle = false;
		t = &pg->txns[pg->ntxns++];
		memset(t, 0, sizeof(*t));
		t->xid = FirstNormalTransactionId + pg->ntxns - 1;
		own[pg->index][me->number] = t;
		if (choose_ops(pg, t))
			run_transaction(t);
		else
		{
			t->state = TXN_ABORTED;
			unlock_rows(pg, t);
		}
		MemoryContextReset(cxt);
	}
}

static void
worker_main(void)
{
	me->pg->reading = false;
	wtc_worker_main((Datum) 0);
}

/* --- servers --- */

static Pg  *shmem_owner;

static void *
alloc_shmem(Size size)
{
	free(shmem_owner->shmem);
	/* what PostgreSQL gives is zero, and aligned */
	if (posix_memalign((void **) &shmem_owner->shmem, 128, size) != 0)
		die("posix_memalign");
	memset(shmem_owner->shmem, 0, size);
	return shmem_owner->shmem;
}

static void
pg_boot(Pg *pg)
{
	static uint64 starts = 1000;

	if (loaded == &pg->postmaster)
		loaded = NULL;
	if (pg->postmaster.state == NULL)
		pg->postmaster.state = malloc(state_size());
	memcpy(pg->postmaster.state, pristine, state_size());
	pg->postmaster.pg = pg;
	pg->started = ++starts;
	pg->latch = false;
	pg->opened_era = -1;
	load(&pg->postmaster);
	shmem_owner = pg;
	me = &pg->postmaster;
	server_new_shmem(alloc_shmem);
	me = NULL;
	for (int i = 0; i < BACKENDS; i++)
		pg->backends[i] = proc_fork(pg, i + 1, backend_main);
	pg->worker = proc_fork(pg, 0, worker_main);
	pg->up = true;
	pg->booted_at = pg->insert;
}

/* All of its processes are gone at once. */
static void
pg_crash(Pg *pg)
{
	for (int i = 0; i < BACKENDS; i++)
	{
		if (pg->backends[i] != NULL)
			proc_kill(pg->backends[i]);
		pg->backends[i] = NULL;
	}
	if (pg->worker != NULL)
		proc_kill(pg->worker);
	pg->worker = NULL;
	pg->up = false;
}

static Pg *
pg_new(TimeLineID timeline)
{
	Pg		   *pg = calloc(1, sizeof(Pg));

	pg->index = npgs;
	pg->timeline = timeline;
	pg->records = calloc(MAX_RECORDS, sizeof(Record));
	pg->txns = calloc(MAX_TXNS, sizeof(Txn));
	pgs[npgs++] = pg;
	return pg;
}

static void
make_history(Pg *pg)
{
	int			n = pg->timeline;
	List	   *list = calloc(1, sizeof(List));
	TimeLineHistoryEntry *entries = calloc(n, sizeof(TimeLineHistoryEntry));

	list->type = T_List;
	list->length = list->max_length = n;
	list->elements = calloc(n, sizeof(ListCell));
	for (int i = 0; i < n; i++)
	{
		TimeLineID	tli = n - i;

		entries[i].tli = tli;
		entries[i].begin = tli == 1 ? 0 : pg->left[tli - 1];
		entries[i].end = tli == pg->timeline ? 0 : pg->left[tli];
		list->elements[i].ptr_value = &entries[i];
	}
	pg->history = list;
}

static void
pg_free(Pg *pg)
{
	pg_crash(pg);
	if (loaded == &pg->postmaster)
		loaded = NULL;
	for (int i = 0; i < pg->nrecords; i++)
		free(pg->records[i].data);
	free(pg->records);
	free(pg->txns);
	free(pg->shmem);
	free(pg->postmaster.state);
	free(pg->history->elements[0].ptr_value);
	free(pg->history->elements);
	free(pg->history);
	free(pg);
}

/*
 * A standby that lacks the end of WAL takes over.  The old primary lives on, for
 * a while.
 */
static void
promote(void)
{
	Pg		   *old = current;
	Pg		   *pg = pg_new(old->timeline + 1);
	int			n = 0;
	int			first;
	int			lost;

	counts[N_PROMOTIONS]++;
	/* at a record's end behind what it is known to have */
	while (n < old->nrecords && old->records[n].end <= old->standby)
		n++;
	first = n;
	while (n < old->nrecords && old->records[n].end <= old->flushed)
		n++;
	lost = roll(8);
	n -= Min(lost, n - first);

	memcpy(pg->left, old->left, sizeof(pg->left));
	pg->insert = pg->flushed = n > 0 ? old->records[n - 1].end :
		old->nrecords > 0 ? old->records[0].start : old->insert;
	pg->left[old->timeline] = pg->insert;
	pg->standby = Min(old->standby, pg->insert);
	pg->oldest = old->oldest;
	pg->slot = Min(old->slot, pg->insert);
	memcpy(pg->txns, old->txns, sizeof(Txn) * old->ntxns);
	pg->ntxns = old->ntxns;
	for (int i = 0; i < pg->ntxns; i++)
	{
		Txn		   *t = &pg->txns[i];

		if (t->version == 0 || t->version > pg->insert ||
			(!t->prepared && (t->commit == 0 || t->commit > pg->insert)))
			t->state = TXN_ABORTED;
	}
	for (int i = 0; i < n; i++)
	{
		Record	   *r = &pg->records[i];

		*r = old->records[i];
		if (r->txn != NULL)
			r->txn = txn_of(pg, r->xid);
		if (r->data != NULL)
		{
			r->data = malloc(r->len);
			memcpy(r->data, old->records[i].data, r->len);
		}
	}
	pg->nrecords = n;
	recover(pg);
	make_history(pg);
	old->primary = false;
	pg->primary = true;
	current = pg;
	new_era();
	for (int i = 0; i < old->ntxns; i++)
	{
		if (old->txns[i].state == TXN_VISIBLE &&
			pg->txns[i].state != TXN_VISIBLE)
			excuse_txn(&old->txns[i]);
	}
	trace("promoted at %llu, standby %llu", (unsigned long long) pg->insert,
		  (unsigned long long) old->standby);
	pg_boot(pg);
}

/* --- faults --- */

static void
take_snapshot(void)
{
	Saved   *s = &snapshots[nsnapshots < (int) lengthof(snapshots) ?
							   nsnapshots++ : (int) roll(lengthof(snapshots))];

	s->db = 1 + (s - snapshots);
	trace_redis("snapshot");
	s->empty = !is_there("EXISTS wtcache:position");
	memcpy(s->excuse, excuse, sizeof(excuse));
	admin("EVAL %s 0 %d", "redis.call('SELECT', ARGV[1]) redis.call('FLUSHDB') "
		  "redis.call('SELECT', 0) for _, k in ipairs(redis.call('KEYS', '*')) do "
		  "redis.call('COPY', k, k, 'DB', ARGV[1]) end", s->db);
}

static void
set_full(bool now)
{
	full = now;
	admin("CONFIG SET maxmemory %s", full ? "1" : "0");
}

/* Redis is again what it was; as after a restart, or a fail-over. */
static void
restore_snapshot(bool cut)
{
	Saved   *s = &snapshots[roll(nsnapshots)];

	counts[N_RESTORES]++;
	trace("restore, cut %d", cut);
	if (full)
		set_full(false);
	admin("EVAL %s 0 %d", "redis.call('SELECT', 0) redis.call('FLUSHDB') "
		  "redis.call('SELECT', ARGV[1]) for _, k in ipairs(redis.call('KEYS', '*')) do "
		  "redis.call('COPY', k, k, 'DB', 0) end redis.call('SELECT', 0)", s->db);
	if (s->empty)
	{
		emptied = true;
		excuse_all();
	}
	for (int k = 0; k < KEYS; k++)
	{
		if (s->excuse[k] != 0 && !s->empty)
			excuse[k] = s->excuse[k];
	}
	trace_redis("restored");
	new_era();
	if (cut)
	{
		for (int i = nlinks - 1; i >= 0; i--)
		{
			Link	   *l = links[i];

			l->inlen = l->outlen = 0;
			link_cut(l);
			if (l->owner == NULL)
				link_drop(l);
		}
	}
	check_redis();
}

/* A process has ended, and another one takes its place. */
static void
replace_proc(Pg *pg, Proc **p)
{
	Proc	   *old = *p;
	int			number = old->number;

	proc_kill(old);
	*p = proc_fork(pg, number, number == 0 ? worker_main : backend_main);
}

static void
commit_prepared(Pg *pg)
{
	int			i = roll(lengthof(pg->prepared));
	Txn		   *t = pg->prepared[i].xid == 0 ? NULL :
		txn_of(pg, pg->prepared[i].xid);

	if (t == NULL)
		return;
	if (t->state == TXN_PREPARED && !chance(.8))
	{
		t->state = TXN_ABORTED;
		unlock_rows(pg, t);
	}
	else if (t->state == TXN_PREPARED)
	{
		write_commit(pg, t, true);

		/*
		 * A promoted server that lacks this record does not look for the
		 * batch, if Redis' position is behind it.  A known gap: not here.
		 */
		pg->standby = Max(pg->standby, t->commit);
		return;
	}
	else
		make_visible(pg, t);
	trace_txn(t->state == TXN_VISIBLE ? "commits prepared" :
			  "rolls back prepared", t);
	pg->prepared[i].xid = 0;
	pg->latch = true;
}

/* Without its token Redis does not tell an old primary that it is one. */
static void
forget_token(void)
{
	for (int i = 0; i < npgs; i++)
	{
		if (pgs[i]->up && pgs[i] != current)
		{
			new_era();
			return;
		}
	}
}

static void
redis_fault(void)
{
	double		x = roll(100);

	if (x < 25)
	{
		int			k = roll(nkeys);

		admin("UNLINK key:%d", k);
		excuse_key(k);
	}
	else if (x < 30)
	{
		admin("UNLINK wtcache:token");
		forget_token();
	}
	else if (x < 33)
	{
		admin("UNLINK wtcache:position");
	}
	else if (x < 36)
	{
		if (!full)
		{
			admin("SET wtcache:token %s", "not a token");
			forget_token();
		}
	}
	else if (x < 55)
		take_snapshot();
	else if (x < 65)
	{
		if (nsnapshots > 0)
			restore_snapshot(chance(.7));
	}
	else if (x < 71)
	{
		counts[N_FLUSHES]++;
		trace("flush");
		if (chance(.5))
		{
			admin("FLUSHALL");
			nsnapshots = 0;
		}
		else
			admin("FLUSHDB");
		excuse_all();
		emptied = true;
		forget_token();
	}
	else if (x < 76)
		admin("SCRIPT FLUSH");
	else if (x < 84)
		set_full(!full);
	else if (x < 90)
	{
		/* someone else's: a string where a tag's set should be */
		if (!full)
			admin("SET tag:%d x NX EX 3600", roll(TAGS));
	}
}

static void
pg_fault(void)
{
	Pg		   *pg = pgs[roll(npgs)];
	uint32		x = roll(100);

	if (!pg->up)
		return;
	if (pg != current && x < 50)
	{
		pg_crash(pg);
		return;
	}
	if (x < 40)
	{
		counts[N_CRASHES]++;
		trace("crash");
		pg_crash(pg);
		recover(pg);
		pg_boot(pg);
	}
	else if (x < 55)
	{
		trace("the worker is restarted");
		pg->worker->cancelled = true;
	}
	else if (x < 65)
		pg->oldest = Max(pg->oldest, pg->slot);
	else if (pg == current && promotions && npgs < MAX_PGS &&
			 pg->opened_era >= 0)
		promote();
}

/* --- the scheduler --- */

/* Each of these does something, if there is anything of the kind. */
static bool
step_proc(void)
{
	Proc	   *ready[MAX_PGS * (BACKENDS + 1)];
	int			n = 0;
	Proc	   *p;

	for (int i = 0; i < npgs; i++)
	{
		Pg		   *pg = pgs[i];

		if (!pg->up)
			continue;
		for (int j = 0; j <= BACKENDS; j++)
		{
			Proc	  **at = j == BACKENDS ? &pg->worker : &pg->backends[j];

			p = *at;
			if (p->wait == WAIT_OVER)
			{
				replace_proc(pg, at);
				p = *at;
			}
			if (p->wait == WAIT_POLL && !link_answered(p->fd))
				continue;
			if (quiet && p->idle)
				continue;
			if (!quiet && p->paused > 0)
			{
				p->paused--;
				continue;
			}
			/* nothing to do: not always */
			if (p->wait == WAIT_LATCH && !pg->latch && !quiet && chance(.9))
				continue;
			ready[n++] = p;
		}
	}
	if (n == 0)
		return false;
	proc_resume(ready[roll(n)]);
	return true;
}

static Link *
some_link(bool (*has) (const Link *))
{
	Link	   *found[MAX_LINKS];
	int			n = 0;

	for (int i = 0; i < nlinks; i++)
	{
		if (has(links[i]))
			found[n++] = links[i];
	}
	return n == 0 ? NULL : found[roll(n)];
}

static bool
has_request(const Link *l)
{
	return l->inlen > 0 && l->redis_fd >= 0 &&
		(l->owner != NULL || steps >= l->late);
}

static bool
has_reply(const Link *l)
{
	return l->outlen > 0 && l->fd >= 0;
}

static bool
has_owner(const Link *l)
{
	return l->owner != NULL && l->fd >= 0;
}

static bool
step_request(void)
{
	Link	   *l = some_link(has_request);

	if (l == NULL)
		return false;
	link_execute(l);
	if (l->owner == NULL)
		link_drop(l);
	else if (quiet || chance(.85))
		link_answer(l);
	return true;
}

static bool
step_reply(void)
{
	Link	   *l = some_link(has_reply);

	if (l != NULL)
		link_answer(l);
	return l != NULL;
}

static void
step_timeout(void)
{
	Pg		   *pg = pgs[roll(npgs)];
	Proc	   *p;

	if (!pg->up)
		return;
	p = roll(BACKENDS + 1) == 0 ? pg->worker : pg->backends[roll(BACKENDS)];
	if (p->wait != WAIT_POLL || link_answered(p->fd))
		return;
	counts[N_TIMEOUTS]++;
	p->ahead_us += p->wait_us + 1000;
	proc_resume(p);
}

static void
step_cut(void)
{
	Link	   *l = some_link(has_owner);

	if (l == NULL)
		return;
	counts[N_CUTS]++;
	link_pull(l);
	if (l->inlen > 0 && l->redis_fd >= 0 && chance(.3))
		link_execute_part(l);
	else
	{
		/* what has been sent may be executed, now or later */
		if (l->inlen > 0 && l->redis_fd >= 0 && chance(.3))
			link_execute(l);
		link_cut(l);
	}
}

/* --- readers --- */

static redisReply *
reply_of(int argc, const char **argv)
{
	redisReply *reply = redisCommandArgv(redis, argc, argv, NULL);

	if (reply == NULL || reply->type != REDIS_REPLY_ARRAY)
	{
		fprintf(stderr, "reader: %s\n", reply == NULL ? redis->errstr :
				reply->str);
		exit(2);
	}
	return reply;
}

static void
reader_get(Reader *r)
{
	char		key[16];
	const char *argv[] = {"EVAL", wtc_get_text, "1", key};
	redisReply *reply;

	r->key = roll(nkeys);
	snprintf(key, sizeof(key), "key:%d", r->key);
	reply = reply_of(lengthof(argv), argv);
	if (strcmp(reply->element[0]->str, "fill") == 0)
	{
		strlcpy(r->lease, reply->element[1]->str, sizeof(r->lease));
		r->state = READER_LEASED;
		trace("reader %d: %s lease %s", (int) (r - readers), key, r->lease);
	}
	freeReplyObject(reply);
}

/* What is visible by now may not be on disk yet. */
static void
reader_read(Reader *r)
{
	if (!current->up)
		return;
	r->write = current->row[r->key];
	r->mark = current->insert;
	flush(current, r->mark);
	r->state = READER_READ;
	trace("reader %d: key:%d is %d at %llu", (int) (r - readers), r->key,
		  r->write, (unsigned long long) r->mark);
}

static void
reader_fill(Reader *r)
{
	const Write *w = &writes[r->write];
	char		key[16];
	char		mark[32];
	char		ntags[8];
	char		tag[TAGS][16];
	char		value[64];
	const char *argv[20] = {"EVAL", wtc_fill_text, "1", key, r->lease, mark,
	"3600000", ntags, r->write > 0 ? "2" : "0"};
	int			argc = 9;
	redisReply *reply;

	snprintf(key, sizeof(key), "key:%d", r->key);
	snprintf(mark, sizeof(mark), "%X/%X", LSN_FORMAT_ARGS(r->mark));
	for (int t = 0; r->write > 0 && t < TAGS; t++)
	{
		snprintf(tag[t], sizeof(tag[t]), "tag:%d", t);
		if ((w->tags & (1 << t)) != 0)
			argv[argc++] = tag[t];
	}
	snprintf(ntags, sizeof(ntags), "%d", argc - 9);
	if (r->write > 0)
	{
		argv[argc++] = "key:*";
		argv[argc++] = "tag:*";
	}
	value_text(r->write, value, sizeof(value));
	if (r->write > 0 && w->hash)
	{
		for (char *p = strtok(value, ","); p != NULL; p = strtok(NULL, ","))
			argv[argc++] = p;
	}
	else if (r->write > 0)
		argv[argc++] = value;
	reply = reply_of(argc, argv);
	trace("reader %d: %s = %d: %s", (int) (r - readers), key, r->write,
		  reply->element[1]->str);
	if (reply->element[0]->integer == 0)
		counts[N_REFUSED]++;
	else if (r->write > 0)
	{
		counts[N_FILLS]++;
		writes[r->write].filled = Max(writes[r->write].filled, r->mark);
		check_redis();
	}
	freeReplyObject(reply);
	r->state = READER_IDLE;
}

static void
step_reader(void)
{
	Reader	   *r = &readers[roll(READERS)];

	switch (r->state)
	{
		case READER_IDLE:
			reader_get(r);
			break;
		case READER_LEASED:
			reader_read(r);
			break;
		case READER_READ:
			reader_fill(r);
			break;
	}
}

static void
step(void)
{
	double		x = roll(1000);

	if (wtc_leases && chance(.15))
	{
		step_reader();
		return;
	}

	clock_us += 20;
	steps++;
	if (x < 480)
		(void) step_proc();
	else if (x < 860)
		(void) step_request();
	else if (x < 910)
		(void) step_reply();
	else if (x < 930)
		commit_prepared(pgs[roll(npgs)]);
	else if (x < 940)
	{
		Pg		   *pg = pgs[roll(npgs)];

		if (pg->flushed > pg->standby)
			pg->standby += (pg->flushed - pg->standby) / (1 + roll(3));
	}
	else if (chance(impatience))
	{
		if (x < 985)
			step_timeout();
		else if (x < 992)
			step_cut();
		else if (pgs[0]->up)
		{
			Proc	   *p = current->backends[roll(BACKENDS)];

			p->cancelled = !p->idle;
		}
	}
	else if (chance(faults))
	{
		if (chance(.7))
			redis_fault();
		else
			pg_fault();
	}
}

/* --- at rest --- */

static bool
at_rest(void)
{
	load(&current->postmaster);
	if (wtc_token() == 0 ||
		wtc_replay_from() != PG_UINT64_MAX ||
		wtc_replaying() != PG_UINT64_MAX ||
		wtc_parked_from() != PG_UINT64_MAX ||
		wtc_inflight_count() > 0)
		return false;
	if (current->opened_era != era)
		return false;
	for (int i = 0; i < BACKENDS; i++)
	{
		if (!current->backends[i]->idle)
			return false;
	}
	for (int i = 0; i < nlinks; i++)
	{
		if (links[i]->owner == NULL)
			return false;
	}
	return true;
}

static void
come_to_rest(void)
{
	int			idle = 0;

	quiet = true;
	for (int i = 0; i < npgs; i++)
	{
		if (pgs[i] != current && pgs[i]->up)
			pg_crash(pgs[i]);
	}
	if (full)
		set_full(false);
	for (int i = 0; i < 40000; i++)
	{
		clock_us += 100;
		steps++;
		commit_prepared(current);
		if (wtc_leases && i < 200 && chance(.3))
			step_reader();
		while (step_reply())
			;
		if (!step_request() || chance(.3))
			(void) step_proc();
		/* the worker has a beat or two */
		if (!at_rest())
			idle = 0;
		else if (++idle > 30 && current->worker->wait == WAIT_LATCH &&
				 !current->latch)
			break;
	}
	if (idle <= 30)
	{
		load(&current->postmaster);
		violation("does not come to rest: token %llu, replay_from %llx, replaying %llx, parked_from %llx, %d in flight, worker state %u waits %d, era %d opened %d, %d links",
				  (unsigned long long) wtc_token(),
				  (unsigned long long) wtc_replay_from(),
				  (unsigned long long) wtc_replaying(),
				  (unsigned long long) wtc_parked_from(),
				  wtc_inflight_count(),
				  wtc_worker_state(),
				  (int) current->worker->wait, era, current->opened_era, nlinks);
	}
}

static void
check_rest(const char *when)
{
	int			held[KEYS];

	read_redis(held);
	for (int k = 0; k < nkeys; k++)
	{
		const Write *w = &writes[held[k]];
		/* what has left a tag may be deleted with it, see drain.lua */
		bool		invalidated = ever_invalidated;

		if (held[k] != 0 && held[k] != current->row[k])
			violation("%s: key:%d = %d, but the row is %d", when, k, held[k],
					  current->row[k]);
		for (int t = 0; t < TAGS; t++)
		{
			if (held[k] != 0 && (w->tags & (1 << t)) != 0 &&
				Max(w->commit[current->index], w->filled) <
				current->invalidated[t])
				violation("%s: key:%d = %d has survived the invalidation of tag:%d",
						  when, k, held[k], t);
		}
		if (held[k] == 0 && current->row[k] != 0 &&
			excuse[k] != current->row[k] && !pending[k] && !invalidated &&
			writes[current->row[k]].filled == 0)
			violation("%s: key:%d is absent, the row is %d", when, k,
					  current->row[k]);
	}
}

/* --- schedules --- */

static void
begin_schedule(uint64 seed)
{
	static const int lengths[] = {100, 300, 300, 900};

	seed_state = seed * UINT64CONST(0x9E3779B97F4A7C15) + 1;
	number_state = seed_state ^ UINT64CONST(0x5DEECE66D);
	for (int i = 0; i < 4; i++)
		(void) roll(2);
	memset(writes, 0, sizeof(Write) * nwrites);
	nwrites = 1;
	npgs = 0;
	nsnapshots = 0;
	era = 0;
	memset(excuse, 0, sizeof(excuse));
	memset(pending, 0, sizeof(pending));
	memset(readers, 0, sizeof(readers));
	memset(high, 0, sizeof(high));
	problem[0] = '\0';
	quiet = false;
	emptied = true;
	clock_us = 1000000;
	steps = 0;
	preempts = chance(.5) ? 0 : chance(.5) ? .05 : .3;
	invalidations = chance(.4) ? 0 : .25;
	impatience = chance(.3) ? 0 : chance(.5) ? .3 : .8;
	faults = chance(.2) ? 0 : chance(.5) ? .2 : .6;
	losses = .25;
	promotions = chance(.4);
	nkeys = chance(.3) ? 1 : 1 + roll(KEYS);
	/* in this build, as many buckets of two entries */
	wtc_version_memory = chance(.3) ? 1 : chance(.5) ? 2 : 16;
	if (chance(.3))
	{
		/* nothing but doubt about one key */
		nkeys = 1;
		preempts = .2;
		invalidations = chance(.7) ? 0 : .25;
		impatience = 1;
		faults = chance(.7) ? 0 : .1;
		losses = .05;
	}
	ever_invalidated = invalidations > 0;
	wtc_breaker_failures = chance(.8) ? 0 : 3;
	wtc_leases = chance(.5);
	wtc_journal = chance(.85) ? WTC_JOURNAL_ON : WTC_JOURNAL_AUTO;
	admin("FLUSHALL");
	if (full)
		set_full(false);
	current = pg_new(1);
	current->primary = true;
	current->insert = current->flushed = current->standby = current->slot =
		chance(.5) ? 9000 : 98000;
	make_history(current);
	pg_boot(current);
	for (int n = lengths[roll(lengthof(lengths))]; n > 0; n--)
		step();
}

/* After a crash, a promotion or a restore all must come out the same. */
static void
second_rest(void)
{
	uint32		x = roll(4);

	counts[N_SECOND]++;
	if (x == 0 && nsnapshots > 0)
		restore_snapshot(true);
	else if (x == 1 && promotions && npgs < MAX_PGS)
		promote();
	else
	{
		pg_crash(current);
		recover(current);
		pg_boot(current);
	}
	if (chance(.5))
	{
		quiet = false;
		for (int i = 0; i < 60; i++)
			step();
	}
	come_to_rest();
	check_rest("at second rest");
}

static void
end_schedule(void)
{
	for (int i = 0; i < npgs; i++)
		pg_free(pgs[i]);
	loaded = NULL;
	me = NULL;
	while (nlinks > 0)
		link_drop(links[0]);
}

static bool
run_schedule(uint64 seed)
{
	schedule = seed;
	if (setjmp(abandoned) == 0)
	{
		begin_schedule(seed);
		come_to_rest();
		check_rest("at rest");
		if (chance(.5))
			second_rest();
	}
	me = NULL;
	end_schedule();
	if (problem[0] == '\0')
		return true;
	printf("schedule %llu: %s\n", (unsigned long long) seed, problem);
	fflush(stdout);
	return false;
}

static double
wall_clock(void)
{
	struct timespec ts;

	__real_clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void
listen_proxy(const char *dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static char url[128];

	snprintf(proxy_path, sizeof(proxy_path), "%s/proxy.sock", dir);
	snprintf(url, sizeof(url), "unix://%s", proxy_path);
	wtc_url = url;
	unlink(proxy_path);
	proxy_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strlcpy(address.sun_path, proxy_path, sizeof(address.sun_path));
	if (proxy_fd < 0 || bind(proxy_fd, (struct sockaddr *) &address,
							 sizeof(address)) < 0 || listen(proxy_fd, 64) < 0)
		die(proxy_path);
}

int
main(int argc, char **argv)
{
	uint64		seed;
	uint64		count;
	double		begun = wall_clock();
	bool		stop = argc > 6 && strcmp(argv[6], "-s") == 0;
	uint64		n = 0;
	uint64		bad = 0;

	if (argc < 6)
	{
		fprintf(stderr, "usage: order SOCKET DIR SEED COUNT SECONDS [-s]\n");
		return 2;
	}
	redis_path = argv[1];
	listen_proxy(argv[2]);
	seed = strtoull(argv[3], NULL, 10);
	count = strtoull(argv[4], NULL, 10);
	tracing = getenv("WTC_ORDER_TRACE") != NULL;
	redis = redisConnectUnix(redis_path);
	if (redis == NULL || redis->err)
		die(redis_path);

	server_start();
	pristine = malloc(state_size());
	save_state(pristine);
	while (n < count && wall_clock() - begun < atof(argv[5]))
	{
		bad += !run_schedule(seed + n);
		n++;
		if (bad > 0 && stop)
			break;
	}
	printf("%llu schedules, %llu violations, %.1f s\n", (unsigned long long) n,
		   (unsigned long long) bad, wall_clock() - begun);
	for (int i = 0; i < N_COUNTS; i++)
		printf("%s%s %llu", i == 0 ? "" : ", ", count_names[i],
			   (unsigned long long) counts[i]);
	printf("\n");
	unlink(proxy_path);
	return bad > 0;
}
