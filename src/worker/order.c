/*-------------------------------------------------------------------------
 *
 * order.c
 *	  The order of the commits, which is what tags go by.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/order.h"

/* so many transactions, and tags, are told apart */
#define MAX_COMMITS		(2 * 1024 * 1024)
#define MAX_TAGS		(1024 * 1024)

typedef struct CommitEntry
{
	TransactionId xid;
	char		status;
	XLogRecPtr	lsn;			/* InvalidXLogRecPtr: not found yet */
} CommitEntry;

#define SH_PREFIX commits
#define SH_ELEMENT_TYPE CommitEntry
#define SH_KEY_TYPE TransactionId
#define SH_KEY xid
#define SH_HASH_KEY(tb, key) murmurhash32(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct TagEntry
{
	uint64		hash;
	XLogRecPtr	lsn;
	char		status;
} TagEntry;

#define SH_PREFIX tags
#define SH_ELEMENT_TYPE TagEntry
#include "worker/hashed.h"

static MemoryContext order_cxt = NULL;
static commits_hash *commits = NULL;
static tags_hash *tags = NULL;
static uint32 missing = 0;		/* commits asked for and not found */

/* more than MAX_TAGS tags share that many entries */
static uint64 tag_mask;

uint64
wtc_order_hash(WtcSpan name, bool tag)
{
	static uint64 seed = 0;

	/* keys that were chosen to collide could keep others from Redis */
	if (seed == 0 && !pg_strong_random(&seed, sizeof(seed)))
		seed = (uint64) GetCurrentTimestamp();
	return hash_bytes_extended((const unsigned char *) name.data, name.len,
							   seed + (tag ? 1 : 0));
}

void
wtc_order_begin(MemoryContext cxt)
{
	order_cxt = cxt;
	commits = commits_create(cxt, 256, NULL);
	tags = tags_create(cxt, 256, NULL);
	missing = 0;
	tag_mask = PG_UINT64_MAX;
}

/* Whoever resets the memory context says so. */
void
wtc_order_end(void)
{
	commits = NULL;
	tags = NULL;
	missing = 0;
}

/* --- commits --- */

void
wtc_order_want(TransactionId xid)
{
	CommitEntry *entry;
	bool		found;

	if (commits->members >= MAX_COMMITS)
		return;
	entry = commits_insert(commits, xid, &found);
	if (found)
		return;
	entry->lsn = InvalidXLogRecPtr;
	missing++;
}

bool
wtc_order_incomplete(void)
{
	return missing > 0;
}

static void
note_commit(TransactionId xid, XLogRecPtr lsn)
{
	CommitEntry *entry = commits_lookup(commits, xid);

	if (entry == NULL || entry->lsn != InvalidXLogRecPtr)
		return;
	entry->lsn = lsn;
	missing--;
}

void
wtc_order_take(XLogReaderState *record)
{
	uint8		info = XLogRecGetInfo(record);
	xl_xact_parsed_commit parsed;

	if (missing == 0 || XLogRecGetRmid(record) != RM_XACT_ID ||
		((info & XLOG_XACT_OPMASK) != XLOG_XACT_COMMIT &&
		 (info & XLOG_XACT_OPMASK) != XLOG_XACT_COMMIT_PREPARED))
		return;
	ParseCommitRecord(info, (xl_xact_commit *) XLogRecGetData(record), &parsed);
	note_commit(TransactionIdIsValid(parsed.twophase_xid) ?
				parsed.twophase_xid : XLogRecGetXid(record),
				record->EndRecPtr);
	for (int i = 0; i < parsed.nsubxacts; i++)
		note_commit(parsed.subxacts[i], record->EndRecPtr);
}

XLogRecPtr
wtc_order_commit(TransactionId xid, XLogRecPtr unknown)
{
	CommitEntry *entry = commits_lookup(commits, xid);

	return entry == NULL || entry->lsn == InvalidXLogRecPtr ? unknown :
		entry->lsn;
}

/* --- tags --- */

static bool
raise_tag(uint64 tag, XLogRecPtr commit)
{
	bool		found;
	TagEntry   *entry = tags_insert(tags, tag & tag_mask, &found);

	if (found && entry->lsn >= commit)
		return false;
	entry->lsn = commit;
	return true;
}

/* From now on tags whose hashes end alike are one. */
static void
fold_tags(void)
{
	tags_hash  *old = tags;
	tags_iterator it;
	TagEntry   *entry;

	tag_mask = MAX_TAGS - 1;
	tags = tags_create(order_cxt, MAX_TAGS, NULL);
	tags_start_iterate(old, &it);
	while ((entry = tags_iterate(old, &it)) != NULL)
		(void) raise_tag(entry->hash, entry->lsn);
	tags_destroy(old);
}

bool
wtc_order_invalidate(uint64 tag, XLogRecPtr commit)
{
	bool		news = raise_tag(tag, commit);

	if (tags->members > MAX_TAGS)
		fold_tags();
	/* another tag of the same entry is not this one */
	return news || tag_mask != PG_UINT64_MAX;
}

XLogRecPtr
wtc_order_invalidated(uint64 tag)
{
	TagEntry   *entry = tags_lookup(tags, tag & tag_mask);

	return entry == NULL ? InvalidXLogRecPtr : entry->lsn;
}
