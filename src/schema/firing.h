/*-------------------------------------------------------------------------
 *
 * firing.h
 *	  The triggers of attachments: when they fire, and being replaced.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_FIRING_H
#define WTC_SCHEMA_FIRING_H

#include "nodes/parsenodes.h"
#include "schema/statement.h"

/* Does a command enable or disable triggers? */
extern bool wtc_is_trigger_command(AlterTableType subtype);

/*
 * Before and after such a command, for one attached table; warn if its changes
 * no longer reach the cache.
 */
extern void wtc_before_trigger_command(WtcStatement *st, Relation rel,
									   const AlterTableCmd *cmd);
extern void wtc_after_trigger_command(WtcStatement *st, Oid relid, bool warn);

/* Before CREATE OR REPLACE TRIGGER. */
extern void wtc_before_create_trigger(WtcStatement *st, CreateTrigStmt *stmt);

/*
 * An error if the trigger just made is an attachment's and the current user
 * does not own the table.
 */
extern void wtc_trigger_created(Oid oid);

/*
 * The TRUNCATE trigger of a table fires when the row trigger does, also if it
 * has been another's partition before.
 */
extern void wtc_align_triggers(Oid relid);

#endif							/* WTC_SCHEMA_FIRING_H */
