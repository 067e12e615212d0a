/*-------------------------------------------------------------------------
 *
 * verify_rows.h
 *	  Comparing rows with what the cache holds under their keys.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_VERIFY_ROWS_H
#define WTC_BULK_VERIFY_ROWS_H

#include "bulk/verify_run.h"
#include "bulk/warm_batch.h"
#include "read/look.h"

/* Verifies the rows of one table that holds rows. */
extern void wtc_verify_rows(WtcVerify *run, const WtcWarmPart *part);

/*
 * What should be in the cache for a row, into look; false: nothing.  The
 * settings must be pinned.
 */
extern bool wtc_verify_expect(WtcAttachment *att, TupleTableSlot *slot,
							  WtcLook *look);

#endif							/* WTC_BULK_VERIFY_ROWS_H */
