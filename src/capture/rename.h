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
} WtcRenaming;

extern WtcRenaming *wtc_renaming_begin(Relation rel, const Trigger *trigger,
									   const char *from, const char *to);

/*
 * All conditions that could name what is renamed: of tables that can have
 * values of the type, or if that is InvalidOid, of all tables.  A list of
 * WtcRenaming.  Locks the tables against being dropped.
 */
extern List *wtc_renaming_begin_conditions(Oid type);

/* Writes the attachment anew, if that makes a difference. */
extern void wtc_renaming_end(const WtcRenaming *renaming);

#endif							/* WTC_CAPTURE_RENAME_H */
