/*-------------------------------------------------------------------------
 *
 * verify.h
 *	  What the files of wtcache.verify() share.
 *
 * verify.c has the functions, verify_rows.c compares the rows of a table with
 * their keys, verify_orphans.c the keys with rows, for which verify_keys.c takes
 * them apart.  All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_VERIFY_H
#define WTC_BULK_VERIFY_H

#include "bulk/warm.h"
#include "nodes/execnodes.h"
#include "read/look.h"

typedef enum WtcDifference
{
	WTC_DIFF_MISSING,			/* a row has no key */
	WTC_DIFF_STALE,				/* the key holds something else */
	WTC_DIFF_TTL,				/* it lives too long */
	WTC_DIFF_TAG,				/* it is not in the set of a tag */
	WTC_DIFF_ORPHAN,			/* the key has no row */
	WTC_DIFF_IN_FLIGHT,			/* being changed; nothing is known */
	WTC_DIFF_COUNT
} WtcDifference;

/* A call of one of the functions. */
typedef struct WtcVerify
{
	bool		repair;
	double		sample;			/* part of the blocks; 1: all */
	int64		patience_us;	/* left for waiting */
	ReturnSetInfo *result;		/* NULL: only the numbers */

	/* numbers */
	int64		checked;		/* rows that should be cached, and orphans */
	int64		differing;		/* of those */
	int64		repaired;		/* of those */
	int64		found[WTC_DIFF_COUNT];
} WtcVerify;

/* --- verify.c --- */

/* One difference; part and row are not given for an orphan. */
extern void wtc_verify_report(WtcVerify *run, WtcDifference kind, WtcSpan key,
							  Oid part, const ItemPointerData *row,
							  const char *detail, bool repaired);

/* A name in Redis for people to read; palloc'd. */
extern char *wtc_verify_name(WtcSpan name);

/* Waits until Redis holds what is committed; false: the patience is over. */
extern bool wtc_verify_flush(WtcVerify *run);

/* --- verify_rows.c --- */

/* Verifies the rows of one table that holds rows. */
extern void wtc_verify_rows(WtcVerify *run, const WtcWarmPart *part);

/*
 * What should be in the cache for a row, into look; false: nothing.  The
 * settings must be pinned.
 */
extern bool wtc_verify_expect(WtcAttachment *att, TupleTableSlot *slot,
							  WtcLook *look);

/* --- verify_orphans.c --- */

/* Looks for keys that could be those of rows of a table, and are not. */
extern void wtc_verify_orphans(WtcVerify *run, Relation root,
							   WtcAttachment *att);

#endif							/* WTC_BULK_VERIFY_H */
