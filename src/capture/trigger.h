/*-------------------------------------------------------------------------
 *
 * trigger.h
 *	  Queueing rows that have not been changed.
 *
 * The rows go into the pending list of the current transaction as those do
 * that triggers bring; errors are raised as there, so all of this belongs
 * before the commit record.  What allocates does so in the current memory
 * context, and what the operations need is copied.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_TRIGGER_H
#define WTC_CAPTURE_TRIGGER_H

#include "capture/attachment.h"

/*
 * Queues the image of a row as if it had been inserted, but for the tags that
 * changes invalidate: nothing has changed.  False: the row is not cached.  The
 * row must be locked against changes from before now until the transaction
 * ends, or what is queued could be older than what others push before it; and
 * the settings must be pinned.
 */
extern bool wtc_capture_existing(WtcAttachment *att, Relation rel,
								 TupleTableSlot *slot);

/*
 * Queues the deletion of the keys of all rows that a new snapshot shows;
 * returns how many.  The table is one that holds rows itself.  It is not locked
 * against writers, so rows are locked with FOR SHARE; those that another
 * transaction has locked against that are left out.
 */
extern uint64 wtc_capture_clear(WtcAttachment *att, Relation rel);

/*
 * Queues the deletion of all rows of a table that holds rows: their keys go,
 * and the tags that they invalidate.  The caller has locked the table against
 * writers until the transaction ends.  Returns how many rows there were.
 */
extern uint64 wtc_capture_leaving(WtcAttachment *att, Relation rel);

#endif							/* WTC_CAPTURE_TRIGGER_H */
