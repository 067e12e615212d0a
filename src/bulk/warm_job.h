/*-------------------------------------------------------------------------
 *
 * warm_job.h
 *	  How far the warming of a table has come, and the tables that note it.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_WARM_JOB_H
#define WTC_BULK_WARM_JOB_H

#include "bulk/warm_batch.h"
#include "nodes/pg_list.h"

/*
 * How far the warming of a table has come; a row of wtcache.warm_job.  It is
 * palloc'd where it survives commits.
 */
typedef struct WtcWarmJob
{
	Oid			relid;
	char	   *condition;		/* NULL: none */
	Oid			role;			/* that has given it */
	bool		retrying;		/* all is read; rows that were locked are left */
	bool		finished;

	/*
	 * The tables that hold rows, in the order of reading.  Those that are
	 * attached meanwhile are added when the others have been read.
	 */
	MemoryContext cxt;			/* of the list */
	List	   *parts;

	/* where it stands */
	Oid			part;			/* InvalidOid: before the first */
	Oid			file;			/* of part; another one: it was rewritten */
	BlockNumber part_blocks;	/* how many of part are to be read */
	ItemPointerData last;		/* the last row of part that was read */

	/* for people to read */
	int64		blocks_before;	/* of the parts before this one */
	int64		blocks_total;
	int64		rows_total;		/* an estimate */
	int64		rows_done;		/* read */
	int64		rows_pushed;
	int64		rows_skipped;	/* locked by other transactions */
} WtcWarmJob;

/* Loads a table's job; false: it has none. */
extern bool wtc_warm_load(WtcWarmJob *job);

/* Stores it; start: also that it was started anew, or goes on, now. */
extern void wtc_warm_create(const WtcWarmJob *job);
extern void wtc_warm_resume(const WtcWarmJob *job);
extern void wtc_warm_save(const WtcWarmJob *job);

/* Stores the list of its parts; the others leave that as it is. */
extern void wtc_warm_save_parts(const WtcWarmJob *job);

/* Rows that were locked: the table part and its file are the job's. */
extern void wtc_warm_skip(WtcWarmJob *job, const WtcWarmBatch *batch);

/*
 * Loads up to most skipped rows of one table part that come after the job's
 * place, which it moves behind them; returns how many.
 */
extern int	wtc_warm_skipped(WtcWarmJob *job, int most,
							 ItemPointerData **rows);

/* Forgets skipped rows; those in except stay. */
extern void wtc_warm_settle(WtcWarmJob *job, const ItemPointerData *rows,
							int n, const WtcWarmBatch *except);

#endif							/* WTC_BULK_WARM_JOB_H */
