/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  Merging two changes of one key into one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CHANGE_MERGE_H
#define WTC_CHANGE_MERGE_H

#include "change/batch.h"
#include "storage/itemptr.h"

/* Which row version, if any, an operation speaks of, and whose it is. */
typedef struct WtcRowId
{
	Oid			relid;			/* InvalidOid: no table's, it was asked for */
	Oid			file;			/* the relation's file: a rewrite moves rows */
	ItemPointerData tid;		/* invalid: of no row version */
} WtcRowId;

/* An operation on its way in; nothing of it is kept. */
typedef struct WtcChange
{
	WtcOperation op;			/* op.whole is not looked at */
	WtcRowId	row;			/* stores: the new version, deletes: the old */
	bool		weak;			/* only if the key has no operation yet */
} WtcChange;

/*
 * What becomes of a key's operation by a change, into result; false: nothing,
 * it stays what it is.  The rules are those of wtc_pending_add().  result points
 * into both and into memory that the next call uses again.  May raise an error
 * (out of memory).
 */
extern bool wtc_merge(const WtcChange *before, const WtcChange *change,
					  WtcChange *result);

#endif							/* WTC_CHANGE_MERGE_H */
