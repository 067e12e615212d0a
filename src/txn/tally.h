/*-------------------------------------------------------------------------
 *
 * tally.h
 *	  How many operations a transaction has for each table.
 *
 * Tallies live in TopTransactionContext; one that is dropped need not be freed.
 * Counting may raise an error (out of memory) and belongs before the commit
 * record; wtc_tally_publish() and wtc_tally_list() raise nothing and allocate
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_TALLY_H
#define WTC_TXN_TALLY_H

#include "datatype/timestamp.h"
#include "change/batch.h"
#include "shared/prepared.h"

typedef struct tally_hash WtcTally;

/*
 * Counts an operation of so many bytes.  *tally is made when it is NULL; what
 * speaks of no table (InvalidOid) is not counted.
 */
extern void wtc_tally_note(WtcTally **tally, Oid relid, char kind, uint32 len);

/* Adds one to the other; from, which may be NULL, is no more. */
extern void wtc_tally_join(WtcTally **into, WtcTally *from);

/* The transaction has committed: tells shared memory. */
extern void wtc_tally_publish(WtcTally *tally, TimestampTz at);

/* The transaction is prepared: what is to be kept of its tables. */
extern void wtc_tally_list(WtcTally *tally, WtcPrepared *prepared);

#endif							/* WTC_TXN_TALLY_H */
