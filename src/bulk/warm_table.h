/*-------------------------------------------------------------------------
 *
 * warm_table.h
 *	  The table that wtcache.warm() reads: may it, and what is there to read.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_WARM_TABLE_H
#define WTC_BULK_WARM_TABLE_H

#include "bulk/warm_job.h"
#include "utils/reltrigger.h"

/*
 * Opens a table, as a writer does, so that it is not detached meanwhile.  An
 * error if it is gone, not attached, or not for the current user.
 */
extern Relation wtc_warm_open(Oid relid, const Trigger **trigger);

/* The same for a table that holds rows, into what a batch needs of it. */
extern void wtc_warm_open_part(WtcWarmPart *part, Relation root, Oid relid);

/*
 * Adds the tables with rows that the job does not know yet to its parts, and
 * to what there is to do: blocks, and an estimate of the rows.  False: none.
 */
extern bool wtc_warm_add_parts(WtcWarmJob *job, Relation root);

/* The part that comes after the one where the job stands; InvalidOid: none. */
extern Oid	wtc_warm_next_part(const WtcWarmJob *job, Relation root);

#endif							/* WTC_BULK_WARM_TABLE_H */
