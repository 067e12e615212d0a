/*-------------------------------------------------------------------------
 *
 * verify_run.h
 *	  A call of wtcache.verify(): what has been found, and what may be waited.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_VERIFY_RUN_H
#define WTC_BULK_VERIFY_RUN_H

#include "change/batch.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"

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

/* One difference; part and row are not given for an orphan. */
extern void wtc_verify_report(WtcVerify *run, WtcDifference kind, WtcSpan key,
							  Oid part, const ItemPointerData *row,
							  const char *detail, bool repaired);

/* A name in Redis for people to read; palloc'd. */
extern char *wtc_verify_name(WtcSpan name);

/* Waits until Redis holds what is committed; false: the patience is over. */
extern bool wtc_verify_wait(WtcVerify *run);

#endif							/* WTC_BULK_VERIFY_RUN_H */
