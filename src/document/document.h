/*-------------------------------------------------------------------------
 *
 * document.h
 *	  Joined documents: how one is made, decoded from the triggers that say it.
 *
 * A document has a root: a row of a table, by its primary key.  The root's trigger
 * of wtcache.capture_document() is its definition:
 *
 *	  name=NAME               once; of the document, unique in the database
 *	  key=TEMPLATE            once; names the columns of the primary key only
 *	  ttl=MILLISECONDS        at most once; else wtcache.default_ttl
 *	  tag=TEMPLATE            any number; of columns of the root
 *	  invalidate=TEMPLATE     any number; likewise
 *
 * Its WHEN clause, which always holds, names a function with the query as its body,
 * of the SQL standard's form.  So PostgreSQL follows renamings in the query, keeps
 * what it needs from being dropped, and dumps it.  The function is never called.
 *
 * A part is a table whose rows are in the document as well, by a trigger of
 * wtcache.capture_part():
 *
 *	  document=NAME           once
 *	  root_key=COLUMN         for each column of the root's primary key
 *
 * A trigger can be made by hand, so nothing of this is relied on unseen.
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_DOCUMENT_H
#define WTC_DOCUMENT_DOCUMENT_H

#include "capture/attachment.h"
#include "executor/spi.h"

/* What their triggers are called, with the document's name behind it. */
#define WTC_DOCUMENT_TRIGGER	"wtcache_document_"
#define WTC_PART_TRIGGER		"wtcache_part_"
#define WTC_DOCUMENT_TRUNCATE_TRIGGER	"wtcache_document_truncate"

/* A primary key has no more columns than an index. */
#define WTC_MAX_KEYS	INDEX_MAX_KEYS

typedef struct WtcDocument
{
	MemoryContext cxt;			/* all of it */
	Oid			trigger;
	Oid			root;
	char	   *name;
	int			nkeys;			/* columns of the primary key, in its order */
	AttrNumber *keys;
	Oid		   *types;
	WtcTemplate *key;
	int			ntags;
	WtcTemplate **tags;
	int			ninvalidates;
	WtcTemplate **invalidates;
	uint64		ttl_ms;			/* 0: the default */
	TupleDesc	desc;			/* of the root */
	FmgrInfo   *outputs;		/* by attribute number - 1 */
	bool		exotic;			/* a tag is of a type that is not the server's */
	WtcPatterns patterns;
	Oid			function;		/* InvalidOid: there is none */
	const char *broken;			/* why there are no documents; or NULL */
	SPIPlanPtr	root_plan;		/* made when it is needed */
	SPIPlanPtr	plan;
} WtcDocument;

/* A table that is a part of a document. */
typedef struct WtcPart
{
	Oid			document;		/* the trigger; InvalidOid: there is none */
	int			nkeys;
	AttrNumber	keys[WTC_MAX_KEYS];
	FmgrInfo	outputs[WTC_MAX_KEYS];
} WtcPart;

/*
 * Decodes a definition; raises an error if it makes no sense for the table.  By
 * the catalogs, without a lock on the root.  NULL: there is no such trigger.
 */
extern WtcDocument *wtc_document_build(Oid root, Oid trigger,
									   MemoryContext parent);

/* The same for a part. */
extern void wtc_part_decode(Relation rel, const Trigger *trigger,
							WtcPart *part);

/* An error if there are no documents. */
extern void wtc_document_check(const WtcDocument *doc);

/* An error if a key of a root does not have n columns. */
extern void wtc_document_check_key(const WtcDocument *doc, int n);

/*
 * Can values of this type name a root?  Those that are equal have to have one
 * text.  Types that can be compared with each other are of one kind: it is that
 * kind, or InvalidOid.
 */
extern Oid	wtc_document_key_kind(Oid type, Oid collation);

/* The text of a column of the root. */
extern char *wtc_document_output(void *doc, AttrNumber attno, Datum value);

/*
 * The complete name of a document in Redis, by the values of its key as texts.
 * False: it has none.
 */
extern bool wtc_document_key(const WtcDocument *doc, WtcSpan texts,
							 WtcSpan *key);

#endif							/* WTC_DOCUMENT_DOCUMENT_H */
