/*-------------------------------------------------------------------------
 *
 * wal.h
 *	  Reading our messages back from WAL.
 *
 * Flushing and asking what is flushed are for everybody, the rest is for the
 * worker.  One reader at a time.  Reading may raise an error, above
 * all where a segment is missing; wtc_wal_close() is due after that, too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_WAL_H
#define WTC_WORKER_WAL_H

#include "access/xlogdefs.h"

typedef struct WtcWalMessage
{
	XLogRecPtr	start;			/* where its record begins */
	TransactionId xid;			/* whose it is, may be a subtransaction */
	XLogRecPtr	lsn;			/* version */
	Oid			database;		/* InvalidOid: not known */
	const char *batch;			/* until the next call */
	uint32		len;
} WtcWalMessage;

/*
 * Begins to read with the first record at or behind from.  What begins at or
 * behind upto is not read; WAL must have been flushed up to there.
 */
extern void wtc_wal_open(XLogRecPtr from, XLogRecPtr upto);

/*
 * The next message; false at the end.  What is not a message of ours is passed
 * over, and reported if it looks like one.  What may be one of an earlier key or
 * release, which cannot be told, is an error like WAL that is missing.
 */
extern bool wtc_wal_next(WtcWalMessage *message);

extern void wtc_wal_close(void);
extern bool wtc_wal_is_open(void);

/*
 * Flushes WAL up to a position that GetXLogInsertRecPtr() has returned, and
 * says whether it had been.
 */
extern void wtc_wal_flush(XLogRecPtr lsn);
extern bool wtc_wal_flushed(XLogRecPtr lsn);

/* Is there still WAL from this position on? */
extern bool wtc_wal_exists(XLogRecPtr lsn);

/*
 * A position that had been written seconds ago, by the time stamps of the
 * segments; InvalidXLogRecPtr: there is none any more.
 */
extern XLogRecPtr wtc_wal_written_before(int seconds);

/* The timeline that the server was on when it wrote this position. */
extern TimeLineID wtc_wal_timeline(XLogRecPtr lsn);

/* This server's past, as readTimeLineHistory() has it. */
extern struct List *wtc_wal_history(void);

#endif							/* WTC_WORKER_WAL_H */
