/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_WORKER_H
#define WTC_WORKER_WORKER_H

/* Registers the worker with the postmaster; from _PG_init only. */
extern void wtc_worker_register(void);

/* Its entry point, found by name. */
extern PGDLLEXPORT void wtc_worker_main(Datum arg);

#endif							/* WTC_WORKER_WORKER_H */
