/*-------------------------------------------------------------------------
 *
 * twophase.h
 *	  Counting what prepared transactions do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_TWOPHASE_H
#define WTC_TXN_TWOPHASE_H

#include "txn/tally.h"

/*
 * PREPARE TRANSACTION is about to be run, under this gid; in any database, also
 * where the extension is not.  Raises nothing.
 */
extern void wtc_twophase_preparing(const char *gid);

/*
 * The transaction is prepared, and has so many operations: keeps them until it
 * ends.  After the record of the prepare; raises nothing.
 */
extern void wtc_twophase_prepared(WtcTally *tally, uint64 operations);

/*
 * The prepared transaction of this gid has been committed, or rolled back.
 * These raise nothing.
 */
extern void wtc_twophase_committed(const char *gid);
extern void wtc_twophase_rolled_back(const char *gid);

#endif							/* WTC_TXN_TWOPHASE_H */
