/*-------------------------------------------------------------------------
 *
 * report.h
 *	  Says in the server log what backends may not.  For the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_REPORT_H
#define WTC_WORKER_REPORT_H

#include "access/xlogdefs.h"
#include "redis/status.h"

/* What happened before the worker was started has been said, or is lost. */
extern void wtc_report_start(void);

/*
 * Logs what there is to log, every few seconds at most; returns after how
 * many milliseconds to call again although nobody wakes the worker, or -1.
 */
extern long wtc_report(void);

/* A message in WAL is not one of ours, though it looks like it. */
extern void wtc_report_forged(XLogRecPtr at, TransactionId xid);

/* Logs that the worker's own connection failed, or works again. */
extern void wtc_report_link(WtcStatus status);

#endif							/* WTC_WORKER_REPORT_H */
