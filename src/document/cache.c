/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  The documents and parts that this backend has decoded.
 *
 * What has changed is forgotten by relcache invalidation: of the root, of the tables
 * that the query reads, and of those that are parts.  A trigger that makes a table a
 * part invalidates the root as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/attached.h"
#include "capture/catalog.h"
#include "document/cache.h"
#include "document/find.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

typedef struct DocumentEntry
{
	Oid			trigger;
	bool		valid;
	WtcDocument *doc;
	int			nrelids;		/* what it depends on */
	Oid		   *relids;
} DocumentEntry;

typedef struct PartEntry
{
	Oid			trigger;
	bool		valid;
	Oid			relid;
	MemoryContext cxt;
	WtcPart    *part;
} PartEntry;

static HTAB *documents = NULL;
static HTAB *parts = NULL;
static bool tags_known = false;
static bool tags = false;

static bool
depends_on(const DocumentEntry *entry, Oid relid)
{
	for (int i = 0; i < entry->nrelids; i++)
	{
		if (entry->relids[i] == relid)
			return true;
	}
	return false;
}

static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	DocumentEntry *doc;
	PartEntry  *part;
	bool		root = relid == InvalidOid;

	tags_known = false;
	hash_seq_init(&seq, documents);
	while ((doc = hash_seq_search(&seq)) != NULL)
	{
		if (relid != InvalidOid && !depends_on(doc, relid))
			continue;
		doc->valid = false;
		root |= doc->doc != NULL && doc->doc->root == relid;
	}
	hash_seq_init(&seq, parts);
	while ((part = hash_seq_search(&seq)) != NULL)
	{
		if (root || part->relid == relid)
			part->valid = false;
	}
}

static void
invalidate_function(Datum arg, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS seq;
	DocumentEntry *entry;

	hash_seq_init(&seq, documents);
	while ((entry = hash_seq_search(&seq)) != NULL)
		entry->valid = false;
}

static void
make_caches(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.hcxt = TopMemoryContext};

	if (parts != NULL)
		return;
	ctl.entrysize = sizeof(DocumentEntry);
	documents = hash_create("wtcache documents", 16, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.entrysize = sizeof(PartEntry);
	parts = hash_create("wtcache parts of documents", 16, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, invalidate_function, (Datum) 0);
}

/*
 * A caller up the stack may still be using one, so its memory stays until the
 * transaction ends; and its plans for good, should they be running.
 */
static void
retire(DocumentEntry *entry)
{
	if (entry->doc != NULL)
		MemoryContextSetParent(entry->doc->cxt, TopTransactionContext);
	entry->doc = NULL;
	entry->nrelids = 0;
}

static WtcDocument *
build(Oid trigger)
{
	WtcTriggerRow row = wtc_trigger_row(trigger, NULL);

	if (row.function != wtc_document_function() || !OidIsValid(row.relid))
		return NULL;
	return wtc_document_build(row.relid, trigger, CurTransactionContext);
}

static void
note_relids(DocumentEntry *entry, WtcDocument *doc)
{
	List	   *relids = lappend_oid(wtc_document_reads(doc->function), doc->root);
	ListCell   *lc;

	foreach(lc, wtc_document_parts(doc->name))
		relids = lappend_oid(relids,
							 wtc_trigger_row(lfirst_oid(lc), NULL).relid);
	entry->relids = MemoryContextAlloc(doc->cxt,
									   sizeof(Oid) * list_length(relids));
	foreach(lc, relids)
		entry->relids[foreach_current_index(lc)] = lfirst_oid(lc);
	entry->nrelids = list_length(relids);
}

WtcDocument *
wtc_document_get(Oid trigger)
{
	DocumentEntry *entry;
	WtcDocument *doc;
	bool		found;

	make_caches();
	entry = hash_search(documents, &trigger, HASH_FIND, NULL);
	if (entry != NULL && entry->valid)
		return entry->doc;
	entry = hash_search(documents, &trigger, HASH_ENTER, &found);
	if (!found)
	{
		entry->doc = NULL;
		entry->nrelids = 0;
	}
	retire(entry);

	/* what invalidates it while it is being built must not be lost */
	entry->valid = true;
	doc = build(trigger);
	if (doc == NULL)
	{
		hash_search(documents, &trigger, HASH_REMOVE, NULL);
		return NULL;
	}
	note_relids(entry, doc);
	MemoryContextSetParent(doc->cxt, TopMemoryContext);
	entry->doc = doc;
	return doc;
}

WtcPart *
wtc_part_get(Relation rel, const Trigger *trigger)
{
	PartEntry  *entry;
	MemoryContext cxt;
	MemoryContext old;
	WtcPart    *part;
	bool		found;
	Oid			oid = trigger->tgoid;

	make_caches();
	entry = hash_search(parts, &oid, HASH_FIND, NULL);
	if (entry != NULL && entry->valid)
		return entry->part;
	cxt = AllocSetContextCreate(CurTransactionContext,
								"wtcache part of document",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	part = palloc(sizeof(WtcPart));
	wtc_part_decode(rel, trigger, part);
	MemoryContextSwitchTo(old);

	entry = hash_search(parts, &oid, HASH_ENTER, &found);
	if (found)
		MemoryContextDelete(entry->cxt);
	MemoryContextSetParent(cxt, TopMemoryContext);
	entry->relid = RelationGetRelid(rel);
	entry->cxt = cxt;
	entry->part = part;

	/* invalidated by the document's root, which has to be known for that */
	entry->valid = OidIsValid(part->document) &&
		wtc_document_get(part->document) != NULL;
	return part;
}

bool
wtc_documents_carry_tags(void)
{
	ListCell   *lc;

	make_caches();
	if (tags_known)
		return tags;
	tags_known = true;
	tags = false;
	foreach(lc, wtc_triggers_of(wtc_document_function()))
		tags |= wtc_document_has_tags(lfirst_oid(lc));
	return tags;
}
