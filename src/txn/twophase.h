/*-------------------------------------------------------------------------
 *
 * twophase.h
 *	  Noticing PREPARE TRANSACTION, COMMIT PREPARED and ROLLBACK PREPARED.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_TWOPHASE_H
#define WTC_TXN_TWOPHASE_H

#include "txn/tally.h"

/*
 * The transaction is prepared, and has so many operations: keeps them until it
 * ends.  After the record of the prepare; raises nothing.
 */
extern void wtc_twophase_prepared(WtcTally *tally, uint64 operations);

/* Installs the hook; from _PG_init only. */
extern void wtc_twophase_init(void);

#endif							/* WTC_TXN_TWOPHASE_H */
