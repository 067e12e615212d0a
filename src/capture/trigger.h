/*-------------------------------------------------------------------------
 *
 * trigger.h
 *	  What else than the capture triggers makes pending operations of rows.
 *
 * Belongs before the commit record and may raise an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_TRIGGER_H
#define WTC_CAPTURE_TRIGGER_H

#include "capture/attachment.h"

/*
 * Queues the deletion of all rows of a table that holds rows: their keys go,
 * and the tags that they invalidate.  The caller has locked the table against
 * writers until the transaction ends.  Returns how many rows there were.
 */
extern uint64 wtc_capture_leaving(WtcAttachment *att, Relation rel);

#endif							/* WTC_CAPTURE_TRIGGER_H */
