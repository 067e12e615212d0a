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
#include "utils/rel.h"

/* Makes the trigger, or replaces it.  The table is locked as for that. */
extern void wtc_keep_condition(Relation rel, Node *condition);

/* Drops it.  This backend must not have the table open. */
extern void wtc_drop_condition(Oid trigger);

#endif							/* WTC_SCHEMA_KEEP_H */
