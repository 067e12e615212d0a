/*-------------------------------------------------------------------------
 *
 * keep.h
 *	  The trigger that keeps the condition of an attachment.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_KEEP_H
#define WTC_SCHEMA_KEEP_H

#include "nodes/nodes.h"
#include "schema/statement.h"
#include "utils/rel.h"

/* Makes the trigger, or replaces it.  The table is locked as for that. */
extern void wtc_keep_condition(Relation rel, Node *condition);

/*
 * Before the type of a column changes that the condition may name, and after the
 * statement.
 */
extern void wtc_before_retyping(WtcStatement *st, Oid relid,
								const char *column);
extern void wtc_after_retyping(const WtcRetyping *retyping);

#endif							/* WTC_SCHEMA_KEEP_H */
