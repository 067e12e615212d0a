/*-------------------------------------------------------------------------
 *
 * warm.h
 *	  What the files of wtcache.warm() share: a job and its batches.
 *
 * warm.c runs a job, warm_table.c opens what it reads, warm_batch.c takes one
 * batch of it, warm_job.c keeps it in the table wtcache.warm_job.  All of this
 * may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_WARM_H
#define WTC_BULK_WARM_H

#include "capture/attachment.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

/*
 * How far the warming of a table has come; a row of wtcache.warm_job.  It is
 * palloc'd where it survives commits.
 */
typedef struct WtcWarmJob
{
	Oid			relid;
	char	   *condition;		/* NULL: none */
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
	int64		rows_skipped;	/* locked by somebody else */
} WtcWarmJob;

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

/* --- warm_job.c --- */

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

/* --- warm_table.c --- */

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

/* --- warm_batch.c --- */

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

#endif							/* WTC_BULK_WARM_H */
