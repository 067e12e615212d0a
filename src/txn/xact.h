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
 * Sets what is called back at the end of a transaction, before the pending
 * operations are written to WAL, for what can be known no earlier; and when they have
 * been.  preparing: it is PREPARE TRANSACTION.  Both may raise an error.  Once, from
 * _PG_init.
 */
extern void wtc_xact_set_documents(void (*build) (bool preparing),
								   void (*written) (void));

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

/*
 * The current transaction takes wtcache from a database: by DROP EXTENSION or DROP
 * DATABASE.  It may be the last one that had it, which no database can know of
 * the others: the worker lets go of its slot until there is something to push
 * again.
 */
extern void wtc_xact_leaves(void);

#endif							/* WTC_TXN_XACT_H */
