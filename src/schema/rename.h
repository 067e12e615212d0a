/*-------------------------------------------------------------------------
 *
 * rename.h
 *	  Attachments that follow renamings.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_RENAME_H
#define WTC_SCHEMA_RENAME_H

#include "nodes/pg_list.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* A table's attachment before something is renamed. */
typedef struct WtcRenaming
{
	Oid			relid;
	const char *from;			/* a column of the table's, or NULL */
	const char *to;
	Node	   *condition;		/* NULL: none that can be parsed */
	const char *text;			/* of it */
	const char *stored;			/* as the trigger has it */
} WtcRenaming;

extern WtcRenaming *wtc_renaming_begin(Relation rel, const Trigger *trigger,
									   const char *from, const char *to);

/*
 * All conditions that could name what has this name, in a text in which that
 * stands before it; or if name is NULL, all.  A list of WtcRenaming.
 */
extern List *wtc_renaming_begin_conditions(const char *before,
										   const char *name);

/*
 * Writes the attachment anew, if that makes a difference.  An error if another
 * session has done so meanwhile.
 */
extern void wtc_renaming_end(const WtcRenaming *renaming);

#endif							/* WTC_SCHEMA_RENAME_H */
