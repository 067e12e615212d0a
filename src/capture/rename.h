/*-------------------------------------------------------------------------
 *
 * rename.h
 *	  Attachments that follow renamings.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_RENAME_H
#define WTC_CAPTURE_RENAME_H

#include "nodes/nodes.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* A column is renamed: the arguments before it, and writing them after it. */
typedef struct WtcRenaming
{
	Oid			relid;
	Node	   *condition;		/* NULL: none */
} WtcRenaming;

extern WtcRenaming *wtc_renaming_begin(Relation rel, const Trigger *trigger);
extern void wtc_renaming_end(const WtcRenaming *renaming, const char *from,
							 const char *to);

#endif							/* WTC_CAPTURE_RENAME_H */
