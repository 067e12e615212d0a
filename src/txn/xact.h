/*-------------------------------------------------------------------------
 *
 * xact.h
 *	  The transaction callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_XACT_H
#define WTC_TXN_XACT_H

#include "push/push.h"

/* Registers the callbacks; from _PG_init only. */
extern void wtc_xact_init(void);

/*
 * How the last push of this backend went; WTC_PUSH_DEFERRED if it was left
 * to the worker.
 */
extern WtcPushOutcome wtc_xact_outcome(void);

/*
 * The current transaction has committed a prepared one: at its end, what that
 * one has left to the worker will be asked for.
 */
extern void wtc_xact_resolved(void);

#endif							/* WTC_TXN_XACT_H */
