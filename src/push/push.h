/*-------------------------------------------------------------------------
 *
 * push.h
 *	  Taking a batch to Redis: preparing before the commit, pushing after it.
 *
 * One connection per backend, made before the commit record at the latest,
 * kept, and closed when the backend ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_PUSH_H
#define WTC_PUSH_PUSH_H

#include "access/xlogdefs.h"
#include "redis/status.h"

typedef struct WtcPush WtcPush;

/*
 * Sees to it that a connection stands, unless the breaker is open.  Serves
 * interrupts and may raise an error because of them; Redis being away is not
 * an error.  Before the commit record only.
 */
extern void wtc_push_connect(void);

/*
 * Sets aside, in the current memory context, all that wtc_push_run() will
 * need.  batch must stay where it is; lsn is the end of its message in WAL;
 * created_us is what wtc_push_created() said before that was written.
 * May raise an error (out of memory).  Before the commit record only, after
 * wtc_push_connect().
 */
extern WtcPush *wtc_push_prepare(const char *batch, size_t len,
								 XLogRecPtr lsn, int64 created_us);

/*
 * When what is about to be written was created, in Redis' clock: to be asked
 * before its message is written, for the fence takes it as a lower bound.
 */
extern int64 wtc_push_created(void);

/* When a push that begins now has to be over: wtc_clock_us() + push_timeout. */
extern int64 wtc_push_deadline(void);

typedef enum WtcPushOutcome
{
	WTC_PUSH_DONE,				/* all of it is in Redis */
	WTC_PUSH_SKIPPED,			/* not tried, the breaker was open */
	WTC_PUSH_FAILED,
	WTC_PUSH_UNCONFIRMED,		/* taken by a server that is not known to be
								 * the one whose state the worker knows */
	WTC_PUSH_COLD				/* all of it is settled, but some was deleted
								 * where it should have been stored */
}			WtcPushOutcome;

/*
 * Pushes, and counts failures by class.  Raises nothing, allocates nothing but
 * what hiredis mallocs for replies, takes no lock and needs no resource owner.
 * Meant for after the commit record.
 */
extern WtcPushOutcome wtc_push_run(WtcPush *push, int64 deadline_us);

/* What Redis holds under a key. */
typedef enum WtcValueKind
{
	WTC_VALUE_NONE,
	WTC_VALUE_NUMBER,			/* len */
	WTC_VALUE_STRING,
	WTC_VALUE_HASH				/* data: (uint32 length, bytes)*, f v f v */
} WtcValueKind;

typedef struct WtcValue
{
	WtcValueKind kind;
	char	   *data;			/* palloc'd */
	size_t		len;
} WtcValue;

/*
 * Reads a key.  Serves interrupts and may raise an error because of them.
 * Not for the far side of the commit record.  WTC_FAIL_CONNECT also when the
 * breaker is open.
 */
extern WtcStatus wtc_push_get(const char *key, size_t len, WtcValue *value);

/* Is the key a member of the set?  Otherwise like wtc_push_get(). */
extern WtcStatus wtc_push_is_member(const char *set, size_t setlen,
									const char *key, size_t len,
									bool *member);

/*
 * Goes on with a search for keys that match a glob pattern: cursor is a string
 * of WTC_SCAN_CURSOR bytes, "0" to begin with, and "0" again when it is over.
 * keys are those found by this step, written as a hash's fields are.  Serves
 * interrupts, and so on, like wtc_push_get().
 */
#define WTC_SCAN_CURSOR		24
#define WTC_SCAN_COUNT		1000
extern WtcStatus wtc_push_scan(char *cursor, const char *pattern,
							   WtcValue *keys);

/*
 * What a script answered: strings and numbers, all as text, palloc'd.
 */
typedef struct WtcAnswer
{
	int			n;
	char	  **text;
} WtcAnswer;

/*
 * Deletes n keys, each if nobody has stored it since it was found to expire
 * then: args are the keys, then those times (see read/look.h) as text.  The
 * answer has "1" for those that were deleted.  Serves interrupts, and so on,
 * like wtc_push_get().
 */
extern WtcStatus wtc_push_expel(int n, const char *const *args,
								WtcAnswer *answer);

/* --- for the worker --- */

/*
 * Makes the connection stand, without asking the breaker.  *fresh: it was made
 * just now.
 */
extern WtcStatus wtc_push_reach(bool *fresh);

/* Closes the connection hard; what is under way is lost. */
extern void wtc_push_hang_up(void);

/*
 * Runs a script on the standing connection; keys and arguments are ended by
 * zero bytes.  An answer that is no array is one of one element.  Success
 * closes the breaker.
 */
extern WtcStatus wtc_push_eval(const char *script, int nkeys, int nargs,
							   const char *const *args, WtcAnswer *answer);

/* The connection's socket, or -1; readable when nobody asked: it has broken. */
extern int	wtc_push_socket(void);

/* Notes Redis' clock as a script has just told it. */
extern void wtc_push_note_clock(int64 server_us);

/*
 * Batches from WAL, one after the other.  next() fills in all fields, in
 * memory that stays until its next call, and returns false at the end; it may
 * raise an error, after which wtc_push_hang_up() is due.
 */
typedef struct WtcStreamBatch
{
	const char *data;
	size_t		len;
	TimeLineID	timeline;		/* version */
	XLogRecPtr	lsn;
	TimeLineID	commit_timeline;	/* where it was committed, as a version */
	XLogRecPtr	commit;
	XLogRecPtr	start;			/* where it stands in WAL */
	int64		created_us;
} WtcStreamBatch;

typedef struct WtcStream
{
	bool		(*next) (void *arg, WtcStreamBatch *batch);
	void	   *arg;

	/* out */
	XLogRecPtr	settled;		/* the last batch that is in Redis, with all
								 * before it; 0: none */
	bool		stranger;		/* not the server that the worker knows */
} WtcStream;

/*
 * Pushes a stream of batches, pipelined; as long as replies keep coming, each
 * within push_timeout, it goes on.
 */
extern WtcStatus wtc_push_stream(WtcStream *stream);

#endif							/* WTC_PUSH_PUSH_H */
