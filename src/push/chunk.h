/*-------------------------------------------------------------------------
 *
 * chunk.h
 *	  Operations that go to Redis in one request.
 *
 * A chunk is small enough not to hold up Redis' other clients, and large enough
 * to spread the cost of a request: a few hundred operations.  Operations of
 * several transactions may share one.  It keeps no copy of them: what they
 * point to must stay until the chunk has been pushed.
 *
 * Memory is set aside by wtc_chunk_reserve() in the context that the chunk was
 * made in, which may raise an error and belongs before the commit record.
 * Everything else raises nothing, allocates nothing and may be called on either
 * side of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_CHUNK_H
#define WTC_PUSH_CHUNK_H

#include "access/xlogdefs.h"
#include "change/batch.h"
#include "redis/status.h"
#include "shared/rejected.h"

/* At most this much in one chunk, unless a single operation is more. */
#define WTC_CHUNK_ITEMS		500
#define WTC_CHUNK_TAGS		1500
#define WTC_CHUNK_BYTES		(256 * 1024)

/* What becomes of an operation, decided when its key is marked. */
typedef enum WtcVerdict
{
	WTC_VERDICT_SEND,
	WTC_VERDICT_OVERTAKEN,		/* something newer has been sent: nothing */
	WTC_VERDICT_LEFT_OUT,		/* something newer may have been sent: nothing
								 * yet, it comes again */
	WTC_VERDICT_UNSURE,			/* the same, but its key is deleted */
	WTC_VERDICT_DELETE,			/* its key is deleted, not stored */
	WTC_VERDICT_REJECTED		/* the same, because Redis could not store it */
} WtcVerdict;

#define WTC_VERDICTS		(WTC_VERDICT_REJECTED + 1)

/*
 * What the process that pushes an item knows by itself, up to these places: that the item is
 * the last operation of its key, and that none of its tags was invalidated after
 * its commit.  Where that does not reach, the verdict is unsure.
 */
typedef struct WtcKnown
{
	XLogRecPtr	key;
	XLogRecPtr	tags;
	WtcVerdict	unsure;			/* left out, unsure, or delete */
} WtcKnown;

typedef struct WtcItem
{
	WtcOperation op;
	uint64		hash;			/* of the key, or of the tag to invalidate */
	XLogRecPtr	version;		/* the end of its message */
	XLogRecPtr	commit;			/* the end of its commit record */
	WtcKnown	known;
	WtcVerdict	verdict;
	bool		forgotten;		/* what was last sent of its key is known
								 * neither here nor by the version table */
	WtcStatus	refused;		/* why Redis does not take it: its key is
								 * deleted; or WTC_OK */
	Oid			database;		/* InvalidOid: not known */
} WtcItem;

/* An item takes part in a tag: is put under it, or leaves it. */
typedef struct WtcTagUse
{
	int			item;
	int			next;			/* use of the same tag, or -1 */
} WtcTagUse;

/* A tag that items are put under, or (left) that they leave. */
typedef struct WtcTag
{
	WtcSpan		name;
	uint64		hash;
	bool		left;
	uint64		life_ms;		/* how long the set is to live at least */
	int			prune;			/* so many members are looked at, see prune.h */
	int			first;			/* use; at least one */
	int			last;
} WtcTag;

/* What a command in a request is about, to understand its reply. */
typedef struct WtcCommand
{
	char		kind;			/* WtcCommandKind, see request.h */
	int			index;			/* of the item or tag */
} WtcCommand;

typedef struct WtcChunk
{
	WtcItem    *items;
	int			nitems;			/* that go into the request */
	int			nall;			/* others wait behind them, see mark */
	int			max_items;
	WtcTag	   *tags;
	int			ntags;
	WtcTagUse  *uses;
	int			nuses;
	int			max_uses;		/* for tags as well */
	size_t		bytes;			/* what the items take in a request */
	bool		lost;			/* a request was sent, and its outcome is in
								 * doubt */
	char		words[WTC_WORDS_LEN];	/* what Redis said when it last
										 * refused something */

	/* the request that is under way, see request.h */
	char	   *request;
	size_t		size;
	WtcCommand *commands;
	int			ncommands;
	int			max_commands;

	MemoryContext cxt;
} WtcChunk;

/* An empty one in the current memory context. */
extern WtcChunk *wtc_chunk_create(void);

/* Makes room for what a chunk may hold at most of this batch. */
extern void wtc_chunk_reserve(WtcChunk *chunk, const char *batch, size_t len);

/* The same for one more operation that may be alone in its chunk. */
extern void wtc_chunk_reserve_operation(WtcChunk *chunk,
										const WtcOperation *op);

/*
 * Adds an operation of a database (InvalidOid: it is not known); false: it does
 * not fit any more.  What is more than WTC_CHUNK_BYTES stays alone.  known: NULL if
 * it is not known what has become of the key since.
 */
extern bool wtc_chunk_add(WtcChunk *chunk, const WtcOperation *op,
						  XLogRecPtr version, XLogRecPtr commit,
						  Oid database, const WtcKnown *known);

extern void wtc_chunk_clear(WtcChunk *chunk);

/* --- marks and verdicts, see versions.h; owner is a number above 0 --- */

/*
 * Marks the keys of all items, or of none (false: one is under way elsewhere),
 * and decides on each item.  Where the version table has no room for so many
 * marks, the last items are put back for another request.
 */
extern bool wtc_chunk_mark(WtcChunk *chunk, int owner);
extern void wtc_chunk_unmark(WtcChunk *chunk, int owner);

/* Puts the second half of the items back; false: there is only one. */
extern bool wtc_chunk_halve(WtcChunk *chunk);

/* Makes the items that were put back the chunk's; false: there are none. */
extern bool wtc_chunk_rest(WtcChunk *chunk);

/* All keys are marked, and the request is about to be sent. */
extern void wtc_chunk_note_sent(WtcChunk *chunk);

/* What would store something becomes what Redis could not store. */
extern void wtc_chunk_reject(WtcChunk *chunk);

/* Is there an item of which it is not known whether it has been overtaken? */
extern bool wtc_chunk_is_unsure(const WtcChunk *chunk);

/*
 * Takes back the verdict on stores under a tag that has been invalidated by a
 * later commit, or may have been: their keys are to be deleted.  Returns how
 * many there are.
 */
extern int	wtc_chunk_recheck_tags(WtcChunk *chunk);

#endif							/* WTC_PUSH_CHUNK_H */
