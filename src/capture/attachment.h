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
 *	  column=FIELD            any number; none means all columns; see field.h
 *	  condition=when          at most once: it is kept as condition.c says
 *	  format=json|hash        at most once
 *	  shape=WORD              any number, each once; see field.c
 *	  version=COLUMN|lsn      at most once: what tells versions of a row; see field.h
 *	  envelope=versioned      at most once: the image has the version beside it
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

#include "capture/field.h"
#include "capture/settings.h"
#include "capture/template.h"
#include "change/batch.h"
#include "executor/execdesc.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

typedef enum WtcFormat
{
	WTC_FORMAT_JSON,
	WTC_FORMAT_HASH
} WtcFormat;

/* What keys and sets are called, with these prefixes; see image.c. */
typedef struct WtcPatterns
{
	MemoryContext cxt;			/* of what follows */
	const WtcTemplate *key;
	char	   *key_prefix;		/* NULL: not made yet */
	char	   *tag_prefix;
	WtcSpan		keys;
	WtcSpan		sets;
} WtcPatterns;

typedef struct WtcAttachment
{
	MemoryContext cxt;			/* all of it */
	Oid			root;			/* the table whose attachment it is */
	WtcTemplate *key;
	int			ntags;
	WtcTemplate **tags;
	int			ninvalidates;
	WtcTemplate **invalidates;
	uint64		ttl_ms;			/* 0: the default */
	WtcFormat	format;
	bool		conditional;
	ExprState  *condition;		/* NULL: none, or no_images says why */
	ExprContext *econtext;

	TupleDesc	desc;			/* of the table */
	FmgrInfo   *outputs;		/* by attribute number - 1 */
	bool		all_columns;	/* none is listed */
	int			shape;			/* bits of WtcShape */
	int			nexpressions;	/* fields that are one */
	int			nfields;
	WtcField   *fields;
	TupleDesc	image_desc;		/* of the fields; NULL: the row as it is */

	WtcPatterns patterns;

	bool		version_is_lsn;
	WtcField   *version;		/* the column; NULL: none */
	TupleDesc	version_desc;	/* a row of it alone */
	bool		enveloped;

	/* no image can be made: rows are deleted from the cache, and why */
	const char *no_images;

	/*
	 * types or functions that are not the server's own: values depend on
	 * settings that are dear to pin, and code of users runs
	 */
	bool		exotic;
} WtcAttachment;

/* The value of ttl; false if it is none that attach() could have written. */
extern bool wtc_ttl_decode(const char *value, uint64 *ms);

/*
 * What has to be put back after a row has been looked at.
 */
typedef struct WtcEntered
{
	WtcPinned	pinned;
	int			guc_level;		/* 0: the user is the same */
	Oid			user;
	int			context;
} WtcEntered;

/* Raises the error that a table cannot be attached; hint may be NULL. */
extern void wtc_refuse(Relation rel, const char *reason, const char *hint);

/*
 * Decodes arguments; raises an error if they make no sense for the table.
 * condition: what is kept of it, see wtc_kept(), if there are arguments for that; or NULL.  Of a table
 * without TRUNCATE trigger there are no images.
 */
extern WtcAttachment *wtc_attachment_build(Relation rel, int nargs,
										   char *const *args, Node *condition,
										   MemoryContext parent);

/*
 * Around all that looks at values of rows: evaluates the condition, writes keys,
 * tags and images.  That runs functions of conditions, types and casts to json,
 * for every writer, and for every session that maintains the table.  Like those of an index they run as
 * the owner of the table, in a security-restricted operation, and settings are
 * pinned.  Where only code of the server runs, the user stays the same.
 * wtc_leave() must follow, also after an error.
 */
extern void wtc_enter(const WtcAttachment *att, WtcEntered *entered);
extern void wtc_leave(const WtcEntered *entered);

/* The same, whatever will run there. */
extern void wtc_enter_as_owner(Oid relid, WtcEntered *entered);

/*
 * The columns of the index that makes rows of the table distinct, if the
 * columns given cover one: unique, valid, and on plain columns of all rows.
 */
extern bool wtc_covers_unique_index(Relation rel, const Bitmapset *columns);

/* Is there a condition, or an expression? */
extern bool wtc_attachment_keeps(const WtcAttachment *att);

/* Is one of them missing, or not to be evaluated?  no_images says why. */
extern bool wtc_attachment_is_broken(const WtcAttachment *att);

/* Is a column a field of the image? */
extern bool wtc_attachment_shows(const WtcAttachment *att, AttrNumber attno);

/* A column in its output form. */
extern char *wtc_attachment_output(void *att, AttrNumber attno, Datum value);

#endif							/* WTC_CAPTURE_ATTACHMENT_H */
