/*-------------------------------------------------------------------------
 *
 * warm_batch.h
 *	  One batch of wtcache.warm(): reading rows, locking them, queueing them.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_WARM_BATCH_H
#define WTC_BULK_WARM_BATCH_H

#include "capture/attachment.h"
#include "storage/block.h"
#include "storage/itemptr.h"

/* What a batch is of: one table that holds rows, open and locked. */
typedef struct WtcWarmPart
{
	Relation	root;			/* the one to be warmed, locked as well */
	Relation	rel;
	WtcAttachment *att;
} WtcWarmPart;

/* What has become of a batch; palloc'd. */
typedef struct WtcWarmBatch
{
	int			read;			/* rows */
	int			pushed;			/* or will be, when the transaction commits */
	ItemPointerData last;		/* of those read */
	int			nlocked;
	ItemPointerData *locked;
} WtcWarmBatch;

/* An error if the condition is not an expression over rows of the table. */
extern void wtc_warm_check_condition(Relation rel, const char *condition);

/*
 * Reads up to most rows of a part, those behind after and before block end, and
 * queues them.
 */
extern WtcWarmBatch *wtc_warm_read(const WtcWarmPart *part,
								   const char *condition,
								   const ItemPointerData *after,
								   BlockNumber end, int most);

/* The same for rows by their places. */
extern WtcWarmBatch *wtc_warm_reread(const WtcWarmPart *part,
									 const char *condition,
									 const ItemPointerData *rows, int n);

#endif							/* WTC_BULK_WARM_BATCH_H */
