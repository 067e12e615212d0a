/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  Merging two changes of one key into one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_MERGE_H
#define WTC_TXN_MERGE_H

#include "txn/pending.h"

/*
 * What becomes of a key's operation by a change, into result; false: nothing,
 * it stays what it is.  The rules are those of wtc_pending_add().  result points
 * into both and into memory that the next call uses again.  May raise an error
 * (out of memory).
 */
extern bool wtc_merge(const WtcChange *before, const WtcChange *change,
					  WtcChange *result);

#endif							/* WTC_TXN_MERGE_H */
