/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Building documents at the end of a transaction.
 *
 * In PRE_COMMIT, after deferred triggers: lock the tags that the transaction
 * invalidates and the documents that it has touched, in one order; take a snapshot; build
 * the documents and queue what becomes of them.  When the batch has been written,
 * the locks become what others may share.  lock.h says what they are for.
 *
 * A document is deleted instead of stored where there can be no snapshot that is newer
 * than the lock (REPEATABLE READ and SERIALIZABLE), or where it would be old before it
 * is stored (PREPARE TRANSACTION); where there is no lock in time; and where its
 * query fails, which must not keep tables from being written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/image.h"
#include "document/build.h"
#include "document/cache.h"
#include "document/lock.h"
#include "document/make.h"
#include "document/touch.h"
#include "guc.h"
#include "redis/conn.h"
#include "shared/slots.h"
#include "txn/pending.h"
#include "txn/touched.h"
#include "txn/xact.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* A document that the transaction has touched. */
typedef struct Work
{
	WtcTouched *touched;
	WtcDocument *doc;			/* NULL: it has been dropped */
	char	   *name;			/* as when it was locked */
	uint64		number;			/* of its lock */
	bool		builds;			/* locked to build, not just to delete */
	bool		stores;			/* may still be stored */
	WtcMade		made;
} Work;

/* Those of the transaction that ends. */
static struct
{
	MemoryContext cxt;			/* NULL: there are none */
	int			n;
	Work	   *work;
}			building;

/*
 * Invalidated tags
 */

typedef struct Invalidated
{
	int			n;
	WtcSpan    *tags;
} Invalidated;

static bool
note_tag(WtcSpan tag, void *arg)
{
	Invalidated *found = arg;

	found->n++;
	if (found->n > wtc_document_limit)
		return true;
	found->tags = found->tags == NULL ? palloc(sizeof(WtcSpan)) :
		repalloc(found->tags, sizeof(WtcSpan) * found->n);
	found->tags[found->n - 1] = tag;
	return false;
}

static int
compare_spans(const void *a, const void *b)
{
	const WtcSpan *x = a;
	const WtcSpan *y = b;
	int			order = memcmp(x->data, y->data, Min(x->len, y->len));

	return order != 0 ? order : (int) x->len - (int) y->len;
}

/* What has left the memory may be invalidations, too. */
static void
lock_invalidated(void)
{
	Invalidated found = {0};

	if (!wtc_documents_carry_tags())
		return;
	if (wtc_pending_spilled() || wtc_pending_any_tag(note_tag, &found))
	{
		wtc_document_lock_all_tags();
		return;
	}
	if (found.n > 1)
		qsort(found.tags, found.n, sizeof(WtcSpan), compare_spans);
	for (int i = 0; i < found.n; i++)
		wtc_document_lock_invalidated(found.tags[i]);
}

/*
 * Documents
 */

static int
compare_work(const void *a, const void *b)
{
	uint64		x = ((const Work *) a)->number;
	uint64		y = ((const Work *) b)->number;

	return x < y ? -1 : x > y;
}

static void
collect(void)
{
	List	   *touched = wtc_touched_all();
	ListCell   *lc;

	building.work = palloc0(sizeof(Work) * (list_length(touched) + 1));
	foreach(lc, touched)
	{
		Work	   *w = &building.work[building.n];

		w->touched = lfirst(lc);
		w->doc = wtc_document_get(w->touched->document);
		if (w->doc == NULL)
			continue;
		w->name = pstrdup(w->doc->name);
		w->number = wtc_document_lock_number(w->name, w->touched->key);
		building.n++;
	}
	qsort(building.work, building.n, sizeof(Work), compare_work);
}

/*
 * Is the document one of those that are all locked?  Then it is one of too many of
 * this transaction.
 */
static bool
one_of_many(const Work *w)
{
	return wtc_document_all_locked(w->name);
}

static void
lock_documents(bool build)
{
	int64		deadline = wtc_clock_us() +
	(int64) wtc_document_lock_timeout * 1000;

	for (int i = 0; i < building.n; i++)
	{
		Work	   *w = &building.work[i];

		if (one_of_many(w))
			continue;
		w->builds = build &&
			wtc_document_lock_to_build(w->name, w->number, deadline);
		w->stores = w->builds && wtc_enabled;
		if (!w->builds)
			wtc_document_lock_to_delete(w->number);
	}

	/* a definition may have been changed before there was a lock */
	AcceptInvalidationMessages();
	for (int i = 0; i < building.n; i++)
		building.work[i].doc = wtc_document_get(building.work[i].touched->document);
}

/* Is this so of all of them? */
static bool
all_tags(const WtcList *tags, bool (*is_so) (WtcSpan tag))
{
	WtcCursor	cursor = wtc_list_cursor(tags);
	WtcSpan		tag;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &tag))
	{
		if (!is_so(tag))
			return false;
	}
	return true;
}

/* That a lock was waited for too long is no fault of the query. */
static void
warn(const Work *w)
{
	if (w->made.sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		w->made.sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("document \"%s\" is deleted from the cache", w->doc->name),
			 w->made.sqlstate == 0 ?
			 errdetail("There can be none: %s.", w->doc->broken) :
			 errdetail("Its query has failed with SQLSTATE %s.",
					   unpack_sql_state(w->made.sqlstate)),
			 errhint("Call wtcache.preview_document().")));
}

/*
 * Tags are locked before there is the snapshot that documents are built with; which
 * they are says the root.  Nobody can change that meanwhile.
 */
static void
lock_all_tags(void)
{
	for (int i = 0; i < building.n; i++)
	{
		Work	   *w = &building.work[i];

		if (w->doc == NULL || !w->stores || w->doc->ntags == 0)
			continue;
		PushActiveSnapshot(GetLatestSnapshot());
		wtc_document_make(w->doc, w->touched->key, false, &w->made);
		PopActiveSnapshot();
		if (w->made.failed)
			warn(w);
		w->stores = !w->made.failed && all_tags(&w->made.tags, wtc_document_lock_tag);
	}
}

static void
store(Work *w)
{
	WtcDocument *doc = w->doc;
	WtcChange	change = {
		.op = {
			.kind = WTC_OP_SET,
			.value = w->made.value,
			.tags = w->made.tags,
			.removed = wtc_list_without(&w->touched->left, &w->made.tags),
			.ttl_ms = doc->ttl_ms > 0 ? doc->ttl_ms :
			(uint64) wtc_default_ttl * 1000
		},
		.row = {.relid = doc->root}
	};

	if (!wtc_document_key(doc, w->touched->key, &change.op.key))
		return;
	wtc_spread_ttl(&change.op);
	wtc_render_patterns(&doc->patterns, &change.op);
	wtc_pending_add(&change);
}

static void
build(Work *w)
{
	bool		query = w->stores;

	if (query || w->doc->ninvalidates > 0)
		wtc_document_make(w->doc, w->touched->key, query, &w->made);
	if (query && w->made.failed)
		warn(w);
	wtc_count(WTC_TOO_LARGE, w->made.too_large);
	wtc_document_invalidate(w->doc, &w->made);
	if (query && w->made.exists && all_tags(&w->made.tags, wtc_document_tag_is_locked))
		store(w);
	else
		wtc_document_delete(w->doc, w->touched->key, &w->touched->left);
}

static void
build_documents(bool preparing)
{
	bool		fresh = !preparing && !IsolationUsesXactSnapshot();
	MemoryContext old;
	ResourceOwner owner = CurrentResourceOwner;

	/* an error may have kept documents_written() from being called */
	building.cxt = NULL;
	building.n = 0;
	if (wtc_touched_count() == 0 && !wtc_documents_carry_tags())
		return;
	building.cxt = AllocSetContextCreate(TopTransactionContext,
										 "wtcache built documents",
										 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(building.cxt);
	CurrentResourceOwner = TopTransactionResourceOwner;
	AcceptInvalidationMessages();
	lock_invalidated();
	collect();
	lock_documents(fresh);
	if (building.n > 0)
	{
		CommandCounterIncrement();
		lock_all_tags();
		PushActiveSnapshot(GetLatestSnapshot());
		for (int i = 0; i < building.n; i++)
		{
			if (building.work[i].doc != NULL)
				build(&building.work[i]);
		}
		PopActiveSnapshot();
	}
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
}

static void
documents_written(void)
{
	ResourceOwner owner = CurrentResourceOwner;

	if (building.cxt == NULL)
		return;
	CurrentResourceOwner = TopTransactionResourceOwner;
	for (int i = 0; i < building.n; i++)
	{
		if (building.work[i].builds)
			wtc_document_lock_built(building.work[i].name,
									building.work[i].number);
	}
	CurrentResourceOwner = owner;
	MemoryContextDelete(building.cxt);
	building.cxt = NULL;
	building.n = 0;
}

void
wtc_documents_init(void)
{
	wtc_xact_set_documents(build_documents, documents_written);
}
