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

/* Before CREATE OR REPLACE TRIGGER, and after CREATE TRIGGER. */
extern void wtc_before_create_trigger(WtcStatement *st, CreateTrigStmt *stmt);
extern void wtc_after_create_trigger(const CreateTrigStmt *stmt);

/*
 * An error if the trigger just made is one of ours and the current user may not
 * attach the table; own: it is attach() that makes it.
 */
extern void wtc_trigger_created(Oid oid, bool own);

/*
 * Gives an attached table and its partitions these arguments.  What is enabled
 * fires as they say from now on, what is disabled stays so.
 */
extern void wtc_change_attachment(Oid relid, int n, char *const *args);

/*
 * The TRUNCATE trigger of a table fires when the row trigger does, also if it
 * has been another's partition before.
 */
extern void wtc_align_triggers(Oid relid);

#endif							/* WTC_SCHEMA_FIRING_H */
