/*-------------------------------------------------------------------------
 *
 * pending.h
 *	  What the current transaction will do to the cache if it commits.
 *
 * At most one operation per key and per tag, whatever the transaction did to
 * the row, except for what did not fit into memory; savepoints are kept apart
 * until they are released.  All of this may raise an error and belongs before the
 * commit record, except for wtc_pending_reset() and wtc_pending_tally().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_PENDING_H
#define WTC_TXN_PENDING_H

#include "change/merge.h"
#include "txn/tally.h"

/*
 * Adds a change to the current subtransaction.  Changes of one key are merged
 * by these rules, because AFTER triggers do not run in the order of the changes
 * (one that changes the row that fired it brings the newer version first), and
 * because rows may swap keys within a statement or under a deferred constraint:
 * - A store wins over what came before it.  (The caller brings only row
 *	 versions that are still the last one.)
 * - The deletion of a row does nothing to a store that speaks of another row
 *	 version: that one is alive and has the key now.  (Unless the table has
 *	 been rewritten in between, and row versions cannot be told apart.)
 * - A weak change does nothing to an existing operation.
 * - The tags that the key has left are remembered in any case.
 */
extern void wtc_pending_add(const WtcChange *change);

/* Is there anything in memory? */
extern bool wtc_pending_any(void);

/*
 * Has anything that may still be committed left the memory?  Then what
 * wtc_pending_find() does not find may yet have a pending operation.
 */
extern bool wtc_pending_spilled(void);

/* This transaction's own operation on a key; points into it, or false. */
extern bool wtc_pending_find(WtcSpan key, WtcOperation *op);

/*
 * Shows the tags that this transaction has invalidated to look(), until it
 * returns true; says whether it did.
 */
extern bool wtc_pending_any_tag(bool (*look) (WtcSpan tag, void *arg),
								void *arg);

/*
 * Takes a batch, which is palloc'd in the current memory context.  xid: of the
 * subtransaction that it belongs to, if there may yet be another outcome for
 * that than for the transaction.
 */
typedef void (*WtcEmit) (TransactionId xid, char *batch, size_t len);

/*
 * Turns what is in memory into batches, of about WTC_BATCH_BYTES at most unless
 * one operation is larger (a long record in WAL holds up other commits), and
 * hands them to emit() one after the other, in the order in which they are to
 * be applied.
 */
extern void wtc_pending_encode(WtcEmit emit);

/* A subtransaction ends; nestlevel is its own. */
extern void wtc_pending_subcommit(int nestlevel);
extern void wtc_pending_subabort(int nestlevel);

/*
 * Forgets everything, raising nothing; returns how many operations it was,
 * including those that were spilled or written.
 */
extern uint64 wtc_pending_reset(void);

/*
 * From now until the reset, changes are not collected but handed to late(),
 * one operation at a time.
 */
extern void wtc_pending_seal(void (*late) (const char *op, size_t len));

/* Is it sealed? */
extern bool wtc_pending_is_sealed(void);

/*
 * What has been written, by table, once it is sealed and before the reset; or
 * NULL.  Raises nothing.
 */
extern WtcTally *wtc_pending_tally(void);

/*
 * Sets what takes the batches when a transaction needs more memory than it
 * may have.  Once, from _PG_init.
 */
extern void wtc_pending_init(WtcEmit spilled);

#endif							/* WTC_TXN_PENDING_H */
