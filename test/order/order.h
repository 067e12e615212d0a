/*-------------------------------------------------------------------------
 *
 * order.h
 *	  What the two halves of the harness share.
 *
 * server.c stands in for the PostgreSQL server that the code under test is
 * loaded into; its variables, as those of the code under test, are a process's
 * own, and are exchanged when another process goes on.  world.c is the rest of
 * the world: the scheduler, the proxy in front of Redis, the database and the
 * oracle.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_ORDER_H
#define WTC_ORDER_H

#include "access/xlogdefs.h"
#include "nodes/pg_list.h"
#include "storage/proc.h"

typedef struct Context Context;
typedef struct Pg Pg;

/* What a process waits for; all but WAIT_POLL may end at any time. */
typedef enum Wait
{
	WAIT_NOTHING,
	WAIT_POLL,					/* for a reply */
	WAIT_SLEEP,
	WAIT_LATCH,
	WAIT_OVER					/* it has ended */
} Wait;

typedef struct Proc
{
	Pg		   *pg;
	int			number;			/* of a backend from 1 on; 0: the worker */
	void		(*main) (void);
	char	   *state;			/* its variables, while it does not run */
	char	   *stack;
	jmp_buf		env;
	bool		started;
	Wait		wait;
	int			fd;				/* WAIT_POLL */
	int64		wait_us;		/* how long at most */
	int64		ahead_us;		/* of the clock that all share */
	int			paused;			/* it is not its turn for so many steps */
	bool		idle;			/* a backend between transactions */
	bool		cancelled;		/* a worker: told to end */
	bool		overtaken;		/* something of the push that is under way */
	int			era;			/* when its last request was executed */
	Context    *contexts;
} Proc;

/* the process that runs, or NULL */
extern Proc *me;

/* Lets others go on. */
extern void proc_wait(Wait wait, int64 wait_us);

/* The same, now and then: where the real system may interrupt a process. */
extern void preempt(void);

/* Says what is wrong, and ends the schedule. */
extern void violation(const char *fmt,...) pg_attribute_printf(1, 2);
extern void trace(const char *fmt,...) pg_attribute_printf(1, 2);

/* server.c */
extern void server_start(void);		/* at the beginning of the program */
extern void server_new_shmem(void *(*alloc) (Size));
extern void server_be(int number);	/* the process that runs is this one */
extern void server_free(Proc *p);
extern void server_at_exit(void);
extern void server_interrupt(bool cancelled);
extern uint64 random_number(void);

/* world.c */
extern XLogRecPtr pg_append(const char *data, size_t len, bool transactional);
extern XLogRecPtr pg_insert(void);
extern TimeLineID pg_timeline(void);
extern uint64 pg_started(void);
extern bool pg_in_progress(TransactionId xid);
extern bool pg_did_commit(TransactionId xid);
extern TransactionId pg_next_xid(void);
extern void pg_set_latch(bool set);
extern bool pg_latch_is_set(void);
extern XLogRecPtr pg_standby_flush(void);
extern XLogRecPtr pg_switch_point(TimeLineID tli);
extern PGPROC *pg_prepared_procs(void);

#endif							/* WTC_ORDER_H */
