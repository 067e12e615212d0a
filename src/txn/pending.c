/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  The pending operations of the current transaction.
 *
 * A stack of levels, one for each subtransaction that has made a change, as
 * in async.c.  A level maps keys to operations.  An operation is kept in the
 * bytes that it will have in the batch, in one chunk of memory, so that
 * encoding is copying.
 *
 * What an inner level holds for a key has already been merged with what the
 * outer ones hold; so releasing a savepoint lets the inner operation take the
 * place of the outer one, and rolling back drops it.
 *
 * A transaction that would need more than wtcache.batch_memory is spilled:
 * all levels, from the outermost in, are handed out as messages for WAL, and
 * their memory is freed, keys included.  A message names the subtransaction of
 * its level, so a rollback to a savepoint makes it dead by itself.  What comes
 * later in the transaction stands in a later message, has a later version
 * and wins.
 *
 * What is lost is the merging with operations that are no longer here (see
 * wtc_pending_add() for the rules).  That makes the cache colder, never wrong:
 * - A store is never left out or added because of what is in memory, and the
 *	 caller brings only row versions that are alive.  So every stored image was
 *	 the last one of its row when it came, and whatever replaces it later
 *	 comes later.  In memory or not, an older image cannot get a later version.
 * - A deletion is left out for one reason only, namely that it yields to an
 *	 operation that is in memory.  Not to find that one lets more deletions
 *	 through: the older row version that comes last when a trigger has changed
 *	 the row that fired it, weak or not, and the old key of two rows that have
 *	 swapped keys then delete a key that has been stored before.  It is absent
 *	 where it could have been present.
 * - The tags that a key has left before the spill stand in the operation that
 *	 was spilled, and the worker takes it out of them although it pushes only
 *	 the last operation of a key.  It would not matter: a member that does not
 *	 carry the tag is deleted for nothing when that is invalidated, and the tags
 *	 that it does carry are all in the last operation.
 * - An invalidation is left out only if the same one is in memory, and so is
 *	 written after everything that was spilled.  One that comes after a store
 *	 that has been spilled takes its key away, which it would not have done
 *	 within one batch (where invalidations come first).
 * - A subtransaction's operation was merged with an outer one that stays what
 *	 it is; rolled back, the outer one's message is the last that is not dead.
 * - Versions are still in the order of the row's changes: the row has been
 *	 locked since before the message, and stays so until the transaction ends,
 *	 so the message of the next change is written later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "guc.h"
#include "change/batch.h"
#include "change/merge.h"
#include "shared/slots.h"
#include "txn/pending.h"
#include "txn/prefix.h"
#include "txn/tally.h"
#include "utils/memutils.h"

typedef struct PendingOp
{
	WtcSpan		key;			/* in body, or the caller's when searching */
	uint32		hash;
	uint32		len;			/* of body */
	WtcRowId	row;
	char		kind;			/* WtcOpKind */
	char		body[FLEXIBLE_ARRAY_MEMBER];
} PendingOp;

typedef struct OpEntry
{
	PendingOp  *op;
	uint32		hash;
	char		status;
} OpEntry;

/* A tag and a key of the same name are different things. */
static inline bool
same_key(const PendingOp *a, const PendingOp *b)
{
	return (a->kind == WTC_OP_INVALIDATE) == (b->kind == WTC_OP_INVALIDATE) &&
		wtc_span_equal(a->key, b->key);
}

#define SH_PREFIX opmap
#define SH_ELEMENT_TYPE OpEntry
#define SH_KEY_TYPE PendingOp *
#define SH_KEY op
#define SH_HASH_KEY(tb, key) ((key)->hash)
#define SH_EQUAL(tb, a, b) same_key(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Level
{
	int			nestlevel;
	TransactionId xid;			/* of the subtransaction that made the level */
	uint64		spilled;		/* operations */
	WtcTally   *tally;			/* of what was spilled, by table */
	struct Level *outer;
	opmap_hash *map;			/* NULL: nothing since the last spill */
} Level;

/* what an operation costs in the map, roughly */
#define MAP_SHARE		48

static MemoryContext level_cxt = NULL;	/* levels */
static MemoryContext pending_cxt = NULL;	/* maps and operations */
static Level *innermost = NULL;
static uint64 used = 0;			/* bytes, an estimate of the peak */
static bool sealed = false;
static WtcTally *written = NULL;	/* of what has been written, by table */
static uint64 nwritten = 0;		/* operations, once sealed */
static void (*late_change) (const char *op, size_t len) = NULL;
static WtcEmit spill_batch = NULL;

/* kept from one transaction to the next */
static StringInfoData scratch;

static void
make_contexts(void)
{
	MemoryContext old;

	if (scratch.data != NULL)
		return;
	if (level_cxt == NULL)
		level_cxt = AllocSetContextCreate(TopMemoryContext,
										  "wtcache pending levels",
										  ALLOCSET_SMALL_SIZES);
	if (pending_cxt == NULL)
		pending_cxt = AllocSetContextCreate(TopMemoryContext,
											"wtcache pending operations",
											ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(TopMemoryContext);
	initStringInfo(&scratch);
	MemoryContextSwitchTo(old);
}

static Level *
current_level(void)
{
	int			nestlevel = GetCurrentTransactionNestLevel();
	Level	   *level = innermost;

	make_contexts();
	Assert(level == NULL || level->nestlevel <= nestlevel);
	if (level == NULL || level->nestlevel != nestlevel)
	{
		TransactionId xid = GetCurrentTransactionId();

		level = MemoryContextAllocZero(level_cxt, sizeof(Level));
		level->nestlevel = nestlevel;
		level->xid = xid;
		level->outer = innermost;
		innermost = level;
	}
	if (level->map == NULL)
		level->map = opmap_create(pending_cxt, 8, NULL);
	return level;
}

static uint64
members(const Level *level)
{
	return level->map != NULL ? level->map->members : 0;
}

static uint64
cost(const PendingOp *op)
{
	/* the bytes are there twice once the batch is encoded */
	return GetMemoryChunkSpace((void *) op) + op->len + MAP_SHARE;
}

static void
drop_op(PendingOp *op)
{
	used -= cost(op);
	pfree(op);
}

static void
make_probe(PendingOp *probe, WtcOpKind kind, WtcSpan key)
{
	memset(probe, 0, sizeof(*probe));
	probe->key = key;
	probe->kind = (char) kind;
	probe->hash = hash_bytes((const unsigned char *) key.data, key.len);
}

/* The operation that holds for a key at this point of the transaction. */
static PendingOp *
find(PendingOp *probe)
{
	for (Level *level = innermost; level != NULL; level = level->outer)
	{
		OpEntry    *entry = level->map == NULL ? NULL :
		opmap_lookup_hash(level->map, probe, probe->hash);

		if (entry != NULL)
			return entry->op;
	}
	return NULL;
}

static void
take_apart(const PendingOp *op, WtcOperation *parts)
{
	WtcCursor	cursor = {op->body, op->body + op->len};

	if (!wtc_get_operation(&cursor, parts))
		elog(ERROR, "pending cache operation is malformed");
}

/* Puts what is in scratch into the current level. */
static void
insert_scratch(PendingOp *probe, const WtcRowId *row)
{
	Level	   *level = current_level();
	PendingOp  *op;
	OpEntry    *entry;
	bool		found;
	WtcOperation parts;

	op = MemoryContextAllocHuge(pending_cxt,
								offsetof(PendingOp, body) + scratch.len);
	op->hash = probe->hash;
	op->len = scratch.len;
	op->row = *row;
	op->kind = scratch.data[0];
	memcpy(op->body, scratch.data, scratch.len);
	take_apart(op, &parts);
	op->key = parts.key;

	entry = opmap_insert_hash(level->map, op, op->hash, &found);
	if (found)
		drop_op(entry->op);
	entry->op = op;
	used += cost(op);

	if (late_change != NULL)
	{
		late_change(op->body, op->len);
		nwritten++;
		wtc_tally_note(&written, row->relid, op->kind, op->len);
	}
}

/*
 * Is it too much?  Asks the context as well: what it keeps of operations that
 * have been replaced or rolled back may be of no use to the others.
 */
static bool
over_budget(void)
{
	uint64		budget = (uint64) wtc_batch_memory * 1024;

	return used > budget ||
		MemoryContextMemAllocated(pending_cxt, false) > budget;
}

/* Forgets the operations, not the levels. */
static void
free_operations(void)
{
	for (Level *level = innermost; level != NULL; level = level->outer)
		level->map = NULL;
	used = 0;
	MemoryContextReset(pending_cxt);
}

static void
begin_batch(StringInfo buf)
{
	initStringInfo(buf);
	appendStringInfoCharMacro(buf, WTC_BATCH_FORMAT);
}

/* Batches of a level; xid is handed on with them. */
static void
encode_level(const Level *level, TransactionId xid, WtcEmit emit)
{
	StringInfoData buf;
	bool		empty = true;

	if (members(level) == 0)
		return;
	begin_batch(&buf);
	for (int pass = 0; pass < 2; pass++)
	{
		opmap_iterator it;
		OpEntry    *entry;

		opmap_start_iterate(level->map, &it);
		while ((entry = opmap_iterate(level->map, &it)) != NULL)
		{
			PendingOp  *op = entry->op;

			if ((op->kind == WTC_OP_INVALIDATE) != (pass == 0))
				continue;
			if (!empty && (uint64) buf.len + op->len > WTC_BATCH_BYTES)
			{
				emit(xid, buf.data, buf.len);
				begin_batch(&buf);
			}
			appendBinaryStringInfo(&buf, op->body, op->len);
			empty = false;
			if (!TransactionIdIsValid(xid))
				wtc_tally_note(&written, op->row.relid, op->kind, op->len);
		}
	}
	emit(xid, buf.data, buf.len);
}

static void
tally_level(Level *level)
{
	opmap_iterator it;
	OpEntry    *entry;

	if (level->map == NULL)
		return;
	opmap_start_iterate(level->map, &it);
	while ((entry = opmap_iterate(level->map, &it)) != NULL)
		wtc_tally_note(&level->tally, entry->op->row.relid, entry->op->kind,
					   entry->op->len);
}

/*
 * Writes everything to WAL.  An error on the way leaves all of it in memory:
 * what a rollback to a savepoint does not take is written again, later.
 */
static void
spill(void)
{
	Level	  **levels;
	int			n = 0;
	int			i = 0;

	/*
	 * From the outermost in: of two operations on a key the inner one is the
	 * later, and has to have the later version.
	 */
	for (Level *level = innermost; level != NULL; level = level->outer)
		n++;
	levels = palloc(sizeof(Level *) * n);
	for (Level *level = innermost; level != NULL; level = level->outer)
		levels[i++] = level;
	while (i-- > 0)
		encode_level(levels[i], levels[i]->xid, spill_batch);
	pfree(levels);

	for (Level *level = innermost; level != NULL; level = level->outer)
	{
		wtc_count(WTC_SPILLED, members(level));
		tally_level(level);
		level->spilled += members(level);
	}
	free_operations();
}

void
wtc_pending_add(const WtcChange *change)
{
	WtcChange	result = *change;
	PendingOp	probe;
	PendingOp  *before;

	if (!wtc_may_push())
	{
		wtc_count(WTC_NOT_OWNED, 1);
		return;
	}
	make_contexts();
	make_probe(&probe, change->op.kind, change->op.key);
	before = find(&probe);
	if (before != NULL)
	{
		WtcChange	old = {.row = before->row};

		take_apart(before, &old.op);
		if (!wtc_merge(&old, change, &result))
			return;
	}
	resetStringInfo(&scratch);
	wtc_put_operation(&scratch, &result.op);
	insert_scratch(&probe, &result.row);

	if (!over_budget())
		return;
	if (sealed)
		free_operations();		/* has been written by late_change() */
	else
		spill();
}

bool
wtc_pending_any(void)
{
	for (Level *level = innermost; level != NULL; level = level->outer)
	{
		if (members(level) > 0)
			return true;
	}
	return false;
}

bool
wtc_pending_spilled(void)
{
	for (Level *level = innermost; level != NULL; level = level->outer)
	{
		if (level->spilled > 0)
			return true;
	}
	return false;
}

bool
wtc_pending_find(WtcSpan key, WtcOperation *op)
{
	PendingOp	probe;
	PendingOp  *found;

	make_probe(&probe, WTC_OP_DELETE, key);
	found = find(&probe);
	if (found == NULL)
		return false;
	take_apart(found, op);
	return true;
}

bool
wtc_pending_any_tag(bool (*look) (WtcSpan tag, void *arg), void *arg)
{
	for (Level *level = innermost; level != NULL; level = level->outer)
	{
		opmap_iterator it;
		OpEntry    *entry;

		if (level->map == NULL)
			continue;
		opmap_start_iterate(level->map, &it);
		while ((entry = opmap_iterate(level->map, &it)) != NULL)
		{
			if (entry->op->kind == WTC_OP_INVALIDATE &&
				look(entry->op->key, arg))
				return true;
		}
	}
	return false;
}

void
wtc_pending_encode(WtcEmit emit)
{
	Assert(innermost != NULL && innermost->outer == NULL);
	encode_level(innermost, InvalidTransactionId, emit);
}

/* Puts the operations of one map into another; those of the inner level win. */
static void
merge_maps(opmap_hash *into, opmap_hash *from, bool from_wins)
{
	opmap_iterator it;
	OpEntry    *entry;

	/* all at once: running out of memory half-way would leave two owners */
	while (into->members + from->members >= into->grow_threshold)
		opmap_grow(into, into->size * 2);

	opmap_start_iterate(from, &it);
	while ((entry = opmap_iterate(from, &it)) != NULL)
	{
		bool		found;
		OpEntry    *target = opmap_insert_hash(into, entry->op, entry->hash,
											   &found);

		if (!found || from_wins)
		{
			if (found)
				drop_op(target->op);
			target->op = entry->op;
		}
		else
			drop_op(entry->op);
	}
	opmap_destroy(from);
}

void
wtc_pending_subcommit(int nestlevel)
{
	Level	   *inner = innermost;
	Level	   *outer;

	if (inner == NULL || inner->nestlevel < nestlevel)
		return;
	outer = inner->outer;
	if (outer == NULL || outer->nestlevel < nestlevel - 1)
	{
		inner->nestlevel--;
		return;
	}

	/*
	 * The tallies first: should there be no memory for that, the maps still
	 * belong to their levels when the subtransaction is aborted.
	 */
	wtc_tally_join(&outer->tally, inner->tally);
	inner->tally = NULL;

	/* move the smaller one, lest a deep stack costs the square */
	if (inner->map == NULL)
		 /* nothing to move */ ;
	else if (outer->map == NULL)
		outer->map = inner->map;
	else if (members(outer) >= members(inner))
		merge_maps(outer->map, inner->map, true);
	else
	{
		merge_maps(inner->map, outer->map, false);
		outer->map = inner->map;
	}
	outer->spilled += inner->spilled;
	innermost = outer;
	pfree(inner);
}

void
wtc_pending_subabort(int nestlevel)
{
	while (innermost != NULL && innermost->nestlevel >= nestlevel)
	{
		Level	   *level = innermost;
		opmap_iterator it;
		OpEntry    *entry;

		wtc_count(WTC_DISCARDED, members(level) + level->spilled);
		if (level->map != NULL)
		{
			opmap_start_iterate(level->map, &it);
			while ((entry = opmap_iterate(level->map, &it)) != NULL)
				drop_op(entry->op);
			opmap_destroy(level->map);
		}
		innermost = level->outer;
		pfree(level);
	}
}

uint64
wtc_pending_reset(void)
{
	uint64		n = nwritten;

	/* late changes are among those written */
	for (Level *level = sealed ? NULL : innermost; level != NULL;
		 level = level->outer)
		n += members(level) + level->spilled;
	late_change = NULL;
	sealed = false;
	written = NULL;
	nwritten = 0;
	if (innermost == NULL)
		return n;
	free_operations();
	innermost = NULL;
	MemoryContextReset(level_cxt);

	/* room for a giant image must not stay for the life of the backend */
	if (scratch.data != NULL && scratch.maxlen > 1024 * 1024)
	{
		pfree(scratch.data);
		scratch.data = NULL;
	}
	return n;
}

void
wtc_pending_seal(void (*late) (const char *op, size_t len))
{
	WtcTally   *tally = written;

	if (innermost != NULL)
		wtc_tally_join(&tally, innermost->tally);
	nwritten = wtc_pending_reset();
	written = tally;
	late_change = late;
	sealed = true;
}

bool
wtc_pending_is_sealed(void)
{
	return sealed;
}

WtcTally *
wtc_pending_tally(void)
{
	return written;
}

void
wtc_pending_init(WtcEmit spilled)
{
	spill_batch = spilled;
}
