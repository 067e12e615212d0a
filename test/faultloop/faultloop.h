/*-------------------------------------------------------------------------
 *
 * faultloop.h
 *	  What the parts of the fault loop's load share.
 *
 * Writers, readers and the finisher of prepared transactions are threads.
 * They share the oracle's knowledge, which is atomics only, and a history of
 * what happened lately, for whoever has to explain a violation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FAULTLOOP_H
#define FAULTLOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <libpq-fe.h>

/* ---- the control file (load.c) ---- */

/*
 * Bits of MIX.  A prepared transaction holds the watermark back and an
 * asynchronous one keeps the worker busy, so that not every round has them.
 */
#define MIX_PREPARED	1
#define MIX_ASYNC		2
#define MIX_BIG			4

/* Bits of AT_WORK */
#define WORK_VERIFY		1
#define WORK_WARM		2
#define WORK_PLANT		4
#define WORK_SCHEMA		8

typedef enum Word
{
#define WORD(name) W_##name,
#include "words.h"
#undef WORD
	WORDS
} Word;

extern _Atomic uint64_t *control;

#define COUNT(word, n)	atomic_fetch_add(&control[W_##word], (n))
#define LOOK(word)		atomic_load(&control[W_##word])

static inline bool
odd(uint64_t x)
{
	return x & 1;
}

extern int	nwriters;
extern int	nreaders;
extern int	percent_async;		/* if MIX says so */
extern int	percent_prepare;
extern int	big_every_ms;		/* 0: no big transactions */
extern bool may_miss;			/* nothing has to be there */
extern const char *redis_socket;
extern const char *conninfo;

extern void die(const char *fmt,...) __attribute__((format(printf, 1, 2), noreturn));
extern double now(void);		/* seconds, monotonic */
extern void nap(int ms);
extern bool process_gone(int pid);

/* Each thread has dice of its own. */
extern void seed_dice(int thread);
extern long roll(long n);		/* 0 .. n - 1 */
extern long roll_own(void);		/* one of OWN_ROWS, busy ones preferred */
extern bool percent(int n);

/* ---- what there is (oracle.c) ---- */

/*
 * Some of a writer's rows are written every moment, and most of them so rarely
 * that the next write does not hide what became of the last one.
 */
#define OWN_ROWS	1500		/* rows that belong to one writer */
#define OWN_BUSY	100			/* of them are written half of the time */
#define HOT_ROWS	16			/* rows that all of them change */
#define SLICES		4			/* parts that a big transaction changes whole */
#define SLICE_ROWS	5000
#define SECTIONS	30			/* of a writer, and of the big transactions */
#define WRITER_ROWS (OWN_ROWS + SECTIONS)
#define CATEGORIES	20

/*
 * A section is a row like those of items.  Its page is what somebody has made
 * of it, with wtcache.set() and under a lock of the row; whatever changes the
 * section invalidates the page by a tag.
 */

/* A trigger of items makes this version the next one: see schema.sql */
#define REPLACED(seq)	((seq) % 10 == 7)

typedef enum Table
{
	ITEMS,						/* own rows */
	HOT,
	BULK,
	SECTION,
	PAGE,						/* of keys only: their entities are sections */
	/* not among the keys below: see shape.c */
	SHAPED,
	PARTED
} Table;

/*
 * A state of a row: 2 * seq, + 1 if that is its deletion.  A deletion takes a
 * seq of its own, so that states of a row are ordered like its changes.
 */
typedef uint64_t Mark;

#define MARK(seq, dead)		((Mark) (seq) << 1 | (dead))
#define MARK_SEQ(mark)		((long) ((mark) >> 1))

/*
 * What is known of a row, or of the rows of a slice of BULK, which change
 * together.  "sure" and "present" come with the number of the time in which
 * they are of use, see pack() in oracle.c.
 */
typedef struct Entity
{
	Table		table;
	long		id;				/* of the row or slice */
	_Atomic uint64_t sent;		/* newest Mark ever sent to be committed */
	_Atomic uint64_t sure;		/* LOSS, newest Mark that Redis must have */
	_Atomic uint64_t present;	/* CALM, Mark with which it must be there */
} Entity;

typedef struct Key
{
	Entity	   *entity;
	Table		table;
	long		id;
	_Atomic uint64_t seen;		/* LOSS, newest Mark that anybody has read */
} Key;

extern int	nkeys;
extern Key *keys;
extern Entity *hot;
extern Entity *slices;

extern const char *table_name(Table table);
extern void oracle_init(void);
/* A writer's n-th row; from OWN_ROWS on they are its sections. */
extern Entity *own_entity(int writer, int n);
/* Those of the big transactions come after those of all writers. */
extern Entity *section_entity(int owner, int n);
extern Key *key_of(Table table, long n);

/* Of all writers: before a commit is sent. */
extern void oracle_sent(Entity *entity, Mark mark);

/* What a writer must have found before a transaction to claim things after. */
typedef struct Claim
{
	uint64_t	loss;
	uint64_t	trouble;
	uint64_t	calm;
	uint64_t	detached;
} Claim;

/*
 * Odd while "hot" may be detached: of what is then committed Redis learns
 * nothing, and what it holds is old until the detaching has reached it.
 */
extern _Atomic uint64_t hot_detached;

extern void claim_begin(Claim *claim);
extern bool claim_sure(const Claim *claim);
extern bool claim_calm(const Claim *claim);

/*
 * After the acknowledgement, if claim_sure(), and also if claim_calm().  Nothing
 * is claimed of hot rows if "hot" was detached meanwhile.
 */
extern void oracle_sure(Entity *entity, Mark mark, const Claim *claim);
extern void oracle_present(Entity *entity, Mark mark, const Claim *claim);

/* Of all readers: around a GET. */
typedef struct Before
{
	uint64_t	loss;
	uint64_t	calm;
	uint64_t	sure;
	uint64_t	present;
	uint64_t	seen;
	double		at;
} Before;

/* Redis' answer to "why" is asked for by the reader that found something. */
typedef struct Finding
{
	Word		class;			/* 0: none */
	char		text[512];
} Finding;

extern void oracle_before(const Key *key, Before *before);
extern void oracle_after(Key *key, const Before *before, const char *value,
						 size_t len, Finding *finding);

/* The part of it that is about the age of a whole image. */
extern void oracle_age(Key *key, const Before *before, const char *value,
					   Mark mark, Finding *finding);
extern void oracle_found(Finding *finding, Word class, const Before *before,
						 const char *value, const char *rule, Mark than);

/* The part of a packed word that is known in this time, or 0. */
extern Mark oracle_known(uint64_t packed, uint64_t epoch);

/* The seq of an image, or -1. */
extern long oracle_seq(const Key *key, const char *value, size_t len);

/* ---- what happened lately (history.c) ---- */

typedef enum EventKind
{
	SENT,
	ACKED,
	FAILED,
	UNHEARD,					/* the connection broke: nobody knows */
	PREPARED_IT,
	SENT_ASYNC,
	DISCARDED,					/* poison, rolled back */
	PAGED,						/* a page was made of it, to be committed */
	CHANGED						/* the schema, by what is acknowledged now */
} EventKind;

extern void history_note(EventKind kind, int who, const Entity *entity,
						 Mark mark);
extern void report(Word class, const Key *key, const char *text,
				   const char *more);

/* ---- PostgreSQL (pg.c) ---- */

typedef enum Outcome
{
	DONE,
	REFUSED,					/* an error, and the connection stands */
	LOST						/* the connection does not */
} Outcome;

typedef struct Session
{
	PGconn	   *pg;
	int			number;			/* of the thread, for the history */
	int			backend;		/* pid */
	bool		operator;		/* owns the tables, and has nothing prepared */
	long		commits;		/* since it was opened or calm began */
	char		error[200];
} Session;

/* Until it stands, or false: told to stop.  Waits for the last backend's end. */
extern bool session_open(Session *session);
extern void session_close(Session *session);

/* One statement; *rows is how many it has changed, *value its first column. */
extern Outcome run(Session *session, const char *sql);
/* The first column of the first row as text, "" if there is none */
extern Outcome run_text(Session *session, const char *sql, char *value,
						size_t size);
/* The whole result, to be cleared by the caller, or NULL */
extern Outcome run_rows(Session *session, const char *sql, PGresult **result);
/* The same in two steps: others may be asked between them. */
extern void begin_rows(Session *session, const char *sql);
extern Outcome end_rows(Session *session, PGresult **result);
extern Outcome run_prepared(Session *session, const char *name, int nparams,
							const long *params, const char *text,
							long *rows, long *value);

/* ---- threads ---- */

extern void *writer_main(void *arg);
extern void *big_main(void *arg);
extern void *reader_main(void *arg);
extern void *comparer_main(void *arg);

/*
 * Operators: each does its work while RUN and its bit of AT_WORK say so, and
 * then leaves everything in order and is counted as idle.
 */
extern bool operator_may_work(int bit, bool *idle);
extern bool writers_at_rest(void);
extern void *verifier_main(void *arg);
extern void *warmer_main(void *arg);
extern void *planter_main(void *arg);
extern void *shaper_main(void *arg);
extern void *shape_writer_main(void *arg);
extern void *shape_reader_main(void *arg);

/* For reading several keys at once: the request for n of them */
#define MAX_KEYS		16
#define MAX_REQUEST		(MAX_KEYS * 48 + 64)
extern size_t put_mget(char *buf, Key **what, int n);

/* Those of the hot and small tables more often than the large one's */
extern Key *any_key(void);
extern void *finisher_main(void *arg);

/* A row of a writer's own */
typedef enum RowState
{
	UNSURE,						/* to be found out by an upsert */
	ALIVE,
	GONE,
	BUSY						/* in a prepared transaction */
} RowState;

typedef struct Row
{
	Entity	   *entity;
	long		seq;			/* the last one used: never used again */
	_Atomic int state;
} Row;

typedef struct Write
{
	Entity	   *entity;
	Row		   *row;			/* NULL: a hot one */
	Mark		mark;
	RowState	then;			/* what the row is after it */
} Write;

#define MAX_WRITES	12

/*
 * The same for what the worker pushes while the client waits: not for longer
 * than push_timeout, and not at all if there is no worker at the moment.
 */
extern void oracle_awaited(const Write *writes, int n, const Claim *claim,
						   double begun);

/* Hand over a transaction that is prepared, or may be. */
extern void finish_later(const char *gid, bool heard, int backend, bool commit,
						 const Write *writes, int n, int writer);

#endif							/* FAULTLOOP_H */
