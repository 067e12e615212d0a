/*-------------------------------------------------------------------------
 *
 * attachment_cache.h
 *	  The attachments that this backend has decoded.
 *
 * May raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_ATTACHMENT_CACHE_H
#define WTC_CAPTURE_ATTACHMENT_CACHE_H

#include "capture/attachment.h"

/* That of a table with this trigger; it stays until the transaction ends. */
extern WtcAttachment *wtc_attachment_get(Relation rel, const Trigger *trigger);

#endif							/* WTC_CAPTURE_ATTACHMENT_CACHE_H */
