/*-------------------------------------------------------------------------
 *
 * firing.c
 *	  The triggers of attachments: when they fire, and being replaced.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "compat.h"
#include "miscadmin.h"
#include "schema/arguments.h"
#include "schema/documents.h"
#include "schema/firing.h"
#include "schema/keys.h"
#include "schema/shape.h"
#include "storage/lmgr.h"
#include "txn/prefix.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

bool
wtc_is_trigger_command(AlterTableType subtype)
{
	switch (subtype)
	{
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
		case AT_EnableTrigAll:
		case AT_DisableTrigAll:
		case AT_EnableTrigUser:
		case AT_DisableTrigUser:
			return true;
		default:
			return false;
	}
}

static bool
fires(char enabled)
{
	return enabled == TRIGGER_FIRES_ON_ORIGIN || enabled == TRIGGER_FIRES_ALWAYS;
}

/* What tgenabled becomes by a command that names a trigger. */
static char
enabled_by(AlterTableType subtype)
{
	switch (subtype)
	{
		case AT_EnableTrig:
			return TRIGGER_FIRES_ON_ORIGIN;
		case AT_EnableAlwaysTrig:
			return TRIGGER_FIRES_ALWAYS;
		case AT_EnableReplicaTrig:
			return TRIGGER_FIRES_ON_REPLICA;
		default:
			return TRIGGER_DISABLED;
	}
}

/* A restored dump sets the TRUNCATE trigger to what the row trigger is. */
static void
check_trigger_command(Relation rel, const AlterTableCmd *cmd)
{
	const Trigger *trigger = wtc_attachment_trigger(rel);
	char		enabled;
	const char *truncate = wtc_truncate_trigger(rel, &enabled);

	if (trigger == NULL || cmd->name == NULL)
		return;
	if (cmd->subtype == AT_EnableReplicaTrig &&
		strcmp(cmd->name, trigger->tgname) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("trigger \"%s\" cannot fire for replicated changes only",
						cmd->name),
				 errdetail("Local changes of \"%s\" would not reach the cache.",
						   RelationGetRelationName(rel)),
				 errhint("Call wtcache.alter() with always => true, to capture replicated changes as well.")));
	/* not an error: a parallel pg_restore comes to this one first at times */
	if (truncate != NULL && strcmp(cmd->name, truncate) == 0 &&
		enabled_by(cmd->subtype) != trigger->tgenabled)
		ereport(WARNING,
				(errmsg("trigger \"%s\" cannot be enabled or disabled by itself",
						cmd->name),
				 errhint("Enable or disable trigger \"%s\", which it follows.",
						 trigger->tgname)));
}

/*
 * The attachment knows when its trigger fires while it is enabled.  ENABLE ALWAYS
 * tells it; the other ways to enable a trigger do not tell, ALL among them, and
 * are followed.
 */
static void
keep_mode(Relation rel, const Trigger *trigger)
{
	char		mode = wtc_attachment_mode(trigger);

	if (trigger->tgenabled == mode || !fires(trigger->tgenabled))
		return;
	if (mode == TRIGGER_FIRES_ALWAYS)
	{
		wtc_enable_trigger(rel, trigger->tgname, mode);
		CommandCounterIncrement();
	}
	else
	{
		char	  **args = palloc(sizeof(char *) * (trigger->tgnargs + 1));

		memcpy(args, trigger->tgargs, sizeof(char *) * trigger->tgnargs);
		args[trigger->tgnargs] = pstrdup("always=true");
		wtc_set_arguments(rel, trigger, trigger->tgnargs + 1, args);
	}
}

/*
 * Not by ALTER TABLE: the owner of a table may enable and disable the triggers
 * of its partitions without owning these.
 */
void
wtc_align_triggers(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	const Trigger *trigger = wtc_attachment_trigger(rel);
	char		enabled;
	const char *truncate = wtc_truncate_trigger(rel, &enabled);

	if (trigger != NULL && truncate != NULL && trigger->tgenabled != enabled)
	{
		wtc_enable_trigger(rel, truncate, trigger->tgenabled);
		CommandCounterIncrement();
	}
	relation_close(rel, NoLock);
}

void
wtc_before_trigger_command(WtcStatement *st, Relation rel,
						   const AlterTableCmd *cmd)
{
	check_trigger_command(rel, cmd);
	if (fires(wtc_attachment_trigger(rel)->tgenabled))
		st->firing = wtc_add_oid(st, st->firing, RelationGetRelid(rel));
}

void
wtc_after_trigger_command(WtcStatement *st, Oid relid, bool warn)
{
	Relation	rel = relation_open(relid, NoLock);
	const Trigger *trigger = wtc_attachment_trigger(rel);

	if (trigger != NULL && !fires(trigger->tgenabled) &&
		list_member_oid(st->firing, relid))
	{
		wtc_forget(rel);
		if (warn)
			ereport(WARNING,
					(errmsg("changes of \"%s\" no longer reach the cache",
							RelationGetRelationName(rel)),
					 errhint("Enable trigger \"%s\" again, or call wtcache.detach().",
							 trigger->tgname)));
	}
	if (trigger != NULL)
		keep_mode(rel, trigger);
	relation_close(rel, NoLock);
	wtc_align_triggers(relid);
}

void
wtc_change_attachment(Oid relid, int n, char *const *args)
{
	List	   *tables = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ?
	find_all_inheritors(relid, ShareRowExclusiveLock, NULL) :
	list_make1_oid(relid);
	ListCell   *lc;

	foreach(lc, tables)
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);
		const Trigger *trigger = wtc_attachment_trigger(rel);

		if (trigger != NULL)
		{
			wtc_set_arguments(rel, trigger, n, args);
			trigger = wtc_attachment_trigger(rel);
			if (fires(trigger->tgenabled) &&
				trigger->tgenabled != wtc_attachment_mode(trigger))
			{
				wtc_enable_trigger(rel, trigger->tgname,
								   wtc_attachment_mode(trigger));
				CommandCounterIncrement();
			}
		}
		relation_close(rel, NoLock);
		wtc_align_triggers(lfirst_oid(lc));
	}
}

static void
before_replacing(WtcStatement *st, Relation rel, const char *name)
{
	const Trigger *trigger = wtc_attachment_trigger(rel);
	const Trigger *condition = wtc_condition_trigger(rel);
	char		enabled;
	const char *truncate = wtc_truncate_trigger(rel, &enabled);

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *other = &rel->trigdesc->triggers[i];

		if (strcmp(other->tgname, name) == 0 &&
			wtc_is_document_function(other->tgfoid))
		{
			wtc_document_trigger_goes(other->tgoid);
			break;
		}
	}
	if ((trigger != NULL && strcmp(trigger->tgname, name) == 0) ||
		(condition != NULL && strcmp(condition->tgname, name) == 0))
		wtc_forget(rel);
	if (condition != NULL && strcmp(condition->tgname, name) == 0)
		st->unconditional = wtc_add_oid(st, st->unconditional,
										RelationGetRelid(rel));
	if (truncate != NULL && strcmp(truncate, name) == 0)
	{
		wtc_forget(rel);
		st->uncovered = wtc_add_oid(st, st->uncovered, RelationGetRelid(rel));
	}
}

/*
 * A trigger that is replaced is not dropped.  What it is to be does not matter:
 * an attachment that is changed by hand is a new one.
 */
void
wtc_before_create_trigger(WtcStatement *st, CreateTrigStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	List	   *tables;
	ListCell   *lc;

	if (!stmt->replace || !OidIsValid(relid) ||
		pg_class_aclcheck(relid, GetUserId(), ACL_TRIGGER) != ACLCHECK_OK)
		return;
	/* the locks that the statement takes */
	LockRelationOid(relid, ShareRowExclusiveLock);
	tables = stmt->row && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ?
		find_all_inheritors(relid, ShareRowExclusiveLock, NULL) :
		list_make1_oid(relid);
	foreach(lc, tables)
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		before_replacing(st, rel, stmt->trigname);
		relation_close(rel, NoLock);
	}
}

static void
check_owned(Oid relid)
{
	if (!wtc_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

/*
 * What was made by hand, or is restored: it makes sense, the table had no other
 * attachment, and it fires when it says that it does.
 */
void
wtc_after_create_trigger(const CreateTrigStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	List	   *tables;
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	tables = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ?
		find_all_inheritors(relid, NoLock, NULL) : list_make1_oid(relid);
	foreach(lc, tables)
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);
		const Trigger *trigger = wtc_attachment_trigger(rel);

		if (lfirst_oid(lc) == relid)
			wtc_check_attachment(rel, stmt->trigname);
		if (trigger != NULL)
			keep_mode(rel, trigger);
		relation_close(rel, NoLock);
		wtc_align_triggers(lfirst_oid(lc));
	}
}

/*
 * By attach(), or by hand, or from a dump: this is what all of them do.  Every
 * user can execute the functions, so that the owner of a partitioned table
 * can make partitions; who may make triggers of them is decided here.  A
 * condition alone changes nothing that its owner could not.  The privilege
 * TRIGGER is not enough: conditions run with the rights of the table's owner.
 */
void
wtc_trigger_created(Oid oid, bool own)
{
	/* it is not visible to the statement yet */
	WtcTriggerRow row = wtc_trigger_row(oid, SnapshotSelf);
	List	   *ancestors;

	/* copies for partitions come with their parent's */
	if (!OidIsValid(row.relid) || OidIsValid(row.parent) ||
		(row.function != wtc_capture_function() &&
		 row.function != wtc_truncate_function() &&
		 row.function != wtc_condition_function() &&
		 !wtc_is_document_function(row.function)))
		return;
	if (!own && row.function != wtc_condition_function())
		wtc_check_may_attach(wtc_is_document_function(row.function) ?
							 "attach_document" : "attach");
	if (row.function == wtc_truncate_function() ||
		row.function == wtc_document_truncate_function())
		return;
	check_owned(row.relid);
	ancestors = get_rel_relispartition(row.relid) ?
		get_partition_ancestors(row.relid) : NIL;
	if (ancestors != NIL)
		check_owned(llast_oid(ancestors));
	/* attach() has looked at the key before */
	if (row.function == wtc_capture_function() && row.key != NULL && !own)
		wtc_check_key(row.relid, NULL, row.key);
	if (row.function == wtc_document_function() && !own)
	{
		wtc_check_document_name(oid, row.document);
		if (row.key != NULL)
			wtc_check_key(row.relid, row.document, row.key);
	}
	if (row.function == wtc_capture_function() ||
		row.function == wtc_document_function())
		wtc_claim_prefix();
	if (row.function == wtc_part_function())
		wtc_part_created(row.document);
}
