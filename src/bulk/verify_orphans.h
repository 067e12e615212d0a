/*-------------------------------------------------------------------------
 *
 * verify_orphans.h
 *	  Looking for keys in the cache that have no row.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_VERIFY_ORPHANS_H
#define WTC_BULK_VERIFY_ORPHANS_H

#include "bulk/verify_run.h"
#include "capture/attachment.h"

/* Looks for keys that could be those of rows of a table, and are not. */
extern void wtc_verify_orphans(WtcVerify *run, Relation root,
							   WtcAttachment *att);

#endif							/* WTC_BULK_VERIFY_ORPHANS_H */
