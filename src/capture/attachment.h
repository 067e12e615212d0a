/*-------------------------------------------------------------------------
 *
 * attachment.h
 *	  How a table is attached: the decoded arguments of its capture trigger.
 *
 * The arguments are the configuration, each "name=value":
 *
 *	  key=TEMPLATE            once
 *	  ttl=MILLISECONDS        at most once; else wtcache.default_ttl
 *	  tag=TEMPLATE            any number
 *	  invalidate=TEMPLATE     any number
 *	  column=NAME             any number; none means all columns
 *	  condition=EXPRESSION    at most once
 *	  format=json|hash        at most once
 *	  always=true             at most once; fires for replicated changes, too
 *
 * A trigger can be made by hand, so nothing of this is relied on unseen.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_ATTACHMENT_H
#define WTC_CAPTURE_ATTACHMENT_H

#include "capture/template.h"
#include "executor/execdesc.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

typedef enum WtcFormat
{
	WTC_FORMAT_JSON,
	WTC_FORMAT_HASH
} WtcFormat;

typedef struct WtcAttachment
{
	MemoryContext cxt;			/* all of it */
	WtcTemplate *key;
	int			ntags;
	WtcTemplate **tags;
	int			ninvalidates;
	WtcTemplate **invalidates;
	uint64		ttl_ms;			/* 0: the default */
	WtcFormat	format;
	const char *condition;		/* NULL: none */
	ExprState  *condition_state;
	ExprContext *econtext;

	TupleDesc	desc;			/* of the table */
	int			ncolumns;		/* 0: all */
	AttrNumber *columns;
	TupleDesc	image_desc;		/* of the columns; NULL when all */
	FmgrInfo   *outputs;		/* by attribute number - 1 */

	/* no image can be made: rows are deleted from the cache, and why */
	const char *no_images;
	/* values depend on settings that are dear to pin */
	bool		exotic;
} WtcAttachment;

/* The value of ttl; false if it is none that attach() could have written. */
extern bool wtc_ttl_decode(const char *value, uint64 *ms);

/* Raises the error that a table cannot be attached; hint may be NULL. */
extern void wtc_refuse(Relation rel, const char *reason, const char *hint);

/*
 * Decodes arguments; raises an error if they make no sense for the table.  Of
 * a table without TRUNCATE trigger there are no images.
 */
extern WtcAttachment *wtc_attachment_build(Relation rel, int nargs,
										   char *const *args,
										   MemoryContext parent);

/* The same, from the cache of this backend. */
extern WtcAttachment *wtc_attachment_get(Relation rel, const Trigger *trigger);

/*
 * The columns of the index that makes rows of the table distinct, if the
 * columns given cover one: unique, valid, and on plain columns of all rows.
 */
extern bool wtc_covers_unique_index(Relation rel, const Bitmapset *columns);

/* A column in its output form. */
extern char *wtc_attachment_output(void *att, AttrNumber attno, Datum value);

#endif							/* WTC_CAPTURE_ATTACHMENT_H */
