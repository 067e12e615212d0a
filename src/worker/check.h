/*-------------------------------------------------------------------------
 *
 * check.h
 *	  What the worker has to look at while it works.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_CHECK_H
#define WTC_WORKER_CHECK_H

/* Serves interrupts, and ends the worker when it is told to end. */
extern void wtc_worker_check(void);

#endif							/* WTC_WORKER_CHECK_H */
