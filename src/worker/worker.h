/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_WORKER_H
#define WTC_WORKER_WORKER_H

#include "shared/state.h"

/* how often the watermark is stored, and Redis looked at */
#define WTC_BEAT_MS		5000

/* Registers the worker with the postmaster; from _PG_init only. */
extern void wtc_worker_register(void);

extern PGDLLEXPORT void wtc_worker_main(Datum arg);

/* In plain words; static storage. */
extern const char *wtc_worker_state_text(WtcWorkerState state);

#endif							/* WTC_WORKER_WORKER_H */
