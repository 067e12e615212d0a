/*-------------------------------------------------------------------------
 *
 * alter.c
 *	  What is done before and after statements that change the schema, apart
 *	  from what they drop (see drop.c).
 *
 * Before: what will change the shape of rows makes their keys go, and what
 * cannot be followed is refused.  After: what needs the new state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/condition.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_type.h"
#include "schema/alter.h"
#include "schema/documents.h"
#include "schema/firing.h"
#include "schema/keep.h"
#include "schema/keys.h"
#include "schema/rename.h"
#include "schema/shape.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/*
 * What can be cached
 */

/* A table that is, or has become, one with a capture trigger. */
static void
check_fit(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	char		relkind = rel->rd_rel->relkind;

	if (wtc_attachment_trigger(rel) != NULL)
	{
		if (relkind == RELKIND_FOREIGN_TABLE)
			wtc_refuse(rel, "It is a foreign table, and its rows change elsewhere.",
					   NULL);
		if (relkind == RELKIND_RELATION &&
			rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
			wtc_refuse(rel, "It is an unlogged table, which a crash empties.", NULL);
		if (relkind == RELKIND_RELATION &&
			rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
			wtc_refuse(rel, "It is a temporary table, which no other session sees.",
					   NULL);
		if (relkind == RELKIND_RELATION &&
			rel->rd_rel->relam != HEAP_TABLE_AM_OID)
			wtc_refuse(rel, "Its access method is not heap.", NULL);
	}
	relation_close(rel, AccessShareLock);
}

static bool
is_attached(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		attached = wtc_attachment_trigger(rel) != NULL;

	relation_close(rel, AccessShareLock);
	return attached;
}

static bool
has_documents(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		has = wtc_has_documents(rel);

	relation_close(rel, AccessShareLock);
	return has;
}

/* Values of other types may make keys of another table. */
static void
check_rekeyed(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	const Trigger *trigger = wtc_attachment_trigger(rel);

	if (trigger != NULL)
		wtc_check_key(relid, NULL, wtc_attachment_argument(trigger, "key"));
	relation_close(rel, NoLock);
}

/*
 * ALTER TABLE, and ALTER TYPE of composite types
 */

static bool
changes_column(AlterTableType subtype)
{
	return subtype == AT_AlterColumnType || wtc_sets_expression(subtype);
}

static bool
changes_shape(AlterTableType subtype)
{
	return subtype == AT_AddColumn || changes_column(subtype);
}

/* What else is looked at, beforehand or afterwards. */
static bool
concerns_table(AlterTableType subtype)
{
	return subtype == AT_SetUnLogged || subtype == AT_SetAccessMethod ||
		subtype == AT_AttachPartition || subtype == AT_AddInherit;
}

/* The tables that are made of a composite type, and all below them. */
static List *
tables_of_type(Oid type, LOCKMODE lockmode)
{
	Relation	classes;
	ScanKeyData key;
	TableScanDesc scan;
	HeapTuple	tuple;
	List	   *tables = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	if (!OidIsValid(type) || wtc_attached_tables(true) == NIL)
		return NIL;
	classes = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	scan = table_beginscan_catalog(classes, 1, &key);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		tables = lappend_oid(tables, ((Form_pg_class) GETSTRUCT(tuple))->oid);
	table_endscan(scan);
	table_close(classes, AccessShareLock);

	foreach(lc, tables)
	{
		LockRelationOid(lfirst_oid(lc), lockmode);
		if (get_rel_relkind(lfirst_oid(lc)) != '\0')
			result = list_concat_unique_oid(result,
											find_all_inheritors(lfirst_oid(lc),
																lockmode, NULL));
	}
	return result;
}

/* Triggers are enabled and disabled in partitions, not in other children. */
static bool
goes_down(const AlterTableStmt *stmt, Oid relid)
{
	ListCell   *lc;

	if (!stmt->relation->inh ||
		get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		return stmt->relation->inh;
	foreach(lc, stmt->cmds)
	{
		if (changes_shape(lfirst_node(AlterTableCmd, lc)->subtype))
			return true;
	}
	return false;
}

/* A table and all below it, or the tables that are made of a type. */
static List *
tables_changed(const AlterTableStmt *stmt, Oid relid, LOCKMODE lockmode)
{
	if (stmt->objtype == OBJECT_TYPE)
		return tables_of_type(get_rel_type_id(relid), lockmode);
	return goes_down(stmt, relid) ?
		find_all_inheritors(relid, lockmode, NULL) : list_make1_oid(relid);
}

/* One command and one table, before. */
static void
before_command(WtcStatement *st, const AlterTableCmd *cmd, Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	const Trigger *trigger = wtc_attachment_trigger(rel);

	if (trigger == NULL)
		 /* not attached */ ;
	else if (cmd->subtype == AT_AddColumn)
	{
		const char *column = castNode(ColumnDef, cmd->def)->colname;

		if (wtc_image_has_all_columns(trigger) &&
			!(cmd->missing_ok && get_attnum(relid, column) != InvalidAttrNumber))
			wtc_forget(rel);
	}
	else if (changes_column(cmd->subtype))
	{
		WtcColumnUse use = wtc_column_use(rel, trigger, cmd->name);

		if (use.shown || use.text != NULL)
			wtc_forget(rel);
		if (!trigger->tgisclone)
			st->rekeyed = wtc_add_oid(st, st->rekeyed, relid);
	}
	else if (wtc_is_trigger_command(cmd->subtype))
		wtc_before_trigger_command(st, rel, cmd);
	relation_close(rel, NoLock);
}

static void
refuse_unlogged(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot make \"%s\" unlogged while it is attached to wtcache",
					get_rel_name(relid)),
			 errdetail("A crash would empty the table and not the cache."),
			 errhint("Call wtcache.detach() first.")));
}

/* Neither a partition to be nor what is below it may be attached itself. */
static void
refuse_attached_partition(const RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (is_attached(lfirst_oid(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot make \"%s\" a partition while it is attached to wtcache",
							get_rel_name(lfirst_oid(lc))),
					 errdetail("Its rows would have two keys."),
					 errhint("Call wtcache.detach() for it first.")));
	}
}

/*
 * Those that have columns of the row type of a table or type that is about to be
 * locked.  Before it, as sessions that have locked such a table go on to lock the
 * type, to see its shape: writers do, and ANALYZE.
 */
static void
lock_users(Oid relid, bool inherited)
{
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	foreach(lc, inherited ? find_all_inheritors(relid, NoLock, NULL) :
			list_make1_oid(relid))
		(void) wtc_lock_tables_with_type(get_rel_type_id(lfirst_oid(lc)));
}

static void
before_alter_table(WtcStatement *st, AlterTableStmt *stmt)
{
	LOCKMODE	lockmode = AlterTableGetLockLevel(stmt->cmds);
	bool		shape = false;
	bool		type = false;
	bool		other = false;
	Oid			relid;
	List	   *tables = NIL;
	ListCell   *lc;
	ListCell   *table;

	st->adds_partitions = false;
	foreach(lc, stmt->cmds)
	{
		AlterTableType subtype = lfirst_node(AlterTableCmd, lc)->subtype;

		st->adds_partitions |= subtype == AT_AttachPartition;

		type |= changes_shape(subtype) || subtype == AT_DropColumn;
		shape |= changes_shape(subtype) || wtc_is_trigger_command(subtype);
		other |= concerns_table(subtype);
	}
	if (type)
		lock_users(AlterTableLookupRelation(stmt, NoLock), stmt->relation->inh);
	if (!shape && !other)
		return;

	relid = AlterTableLookupRelation(stmt, lockmode);
	if (!OidIsValid(relid))
		return;
	if (shape)
		tables = tables_changed(stmt, relid, lockmode);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		foreach(table, tables)
		{
			before_command(st, cmd, lfirst_oid(table));
			if (changes_column(cmd->subtype))
				wtc_before_retyping(st, lfirst_oid(table), cmd->name);
			if (changes_shape(cmd->subtype))
			{
				wtc_forget_tables_with_type(get_rel_type_id(lfirst_oid(table)));
				wtc_forget_documents_reading(lfirst_oid(table));
			}
		}
		if (cmd->subtype == AT_AddColumn && stmt->objtype == OBJECT_TYPE)
			wtc_forget_tables_with_type(get_rel_type_id(relid));
		if (cmd->subtype == AT_SetUnLogged &&
			(is_attached(relid) || has_documents(relid)))
			refuse_unlogged(relid);
		if (cmd->subtype == AT_AttachPartition && is_attached(relid))
			refuse_attached_partition(castNode(PartitionCmd, cmd->def)->name);
	}
}

/* Rows have come in: their keys are new, the tags they invalidate are not. */
static void
after_attach_partition(const RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, false);
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		check_fit(lfirst_oid(lc));
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
		{
			Relation	rel = relation_open(lfirst_oid(lc), NoLock);
			const Trigger *trigger = wtc_attachment_trigger(rel);

			if (trigger != NULL)
				wtc_forget_rows(rel, trigger);
			relation_close(rel, NoLock);
			wtc_align_triggers(lfirst_oid(lc));
		}
	}
}

static void
notice_inheritance(const RangeVar *parent, const char *child)
{
	Oid			relid = RangeVarGetRelid(parent, NoLock, true);

	if (OidIsValid(relid) && is_attached(relid))
		ereport(NOTICE,
				(errmsg("rows of \"%s\" are not cached with those of \"%s\"",
						child, parent->relname),
				 errdetail("Only partitions share the attachment of their parent.")));
}

static void
after_alter_table(WtcStatement *st, AlterTableStmt *stmt)
{
	ListCell   *lc;
	Oid			relid;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (!concerns_table(cmd->subtype) && !wtc_is_trigger_command(cmd->subtype))
			continue;
		relid = RangeVarGetRelid(stmt->relation, NoLock, true);
		if (!OidIsValid(relid))
			continue;
		if (wtc_is_trigger_command(cmd->subtype))
		{
			List	   *tables = tables_changed(stmt, relid, NoLock);
			ListCell   *table;

			/* said once; a parent that is changed alone has no rows */
			foreach(table, tables)
				wtc_document_triggers_changed(lfirst_oid(table),
											  lfirst_oid(table) == relid);
			foreach(table, tables)
				wtc_after_trigger_command(st, lfirst_oid(table),
										  lfirst_oid(table) == relid &&
										  (stmt->relation->inh ||
										   get_rel_relkind(relid) == RELKIND_RELATION));
		}
		if (cmd->subtype == AT_SetAccessMethod)
			check_fit(relid);
		if (cmd->subtype == AT_AttachPartition && is_attached(relid))
			after_attach_partition(castNode(PartitionCmd, cmd->def)->name);
		if (cmd->subtype == AT_AddInherit)
			notice_inheritance(castNode(RangeVar, cmd->def),
							   stmt->relation->relname);
	}
}

/*
 * Renaming
 */

static void
before_rename_column(WtcStatement *st, RenameStmt *stmt)
{
	Oid			relid;
	WtcRenaming *renaming;
	MemoryContext old;
	List	   *tables;
	ListCell   *lc;

	lock_users(RangeVarGetRelidExtended(stmt->relation, NoLock, RVR_MISSING_OK,
										RangeVarCallbackOwnsRelation, NULL),
			   stmt->relation->inh);
	relid = RangeVarGetRelidExtended(stmt->relation, AccessExclusiveLock,
									 RVR_MISSING_OK,
									 RangeVarCallbackOwnsRelation, NULL);
	if (!OidIsValid(relid))
		return;
	if (stmt->renameType == OBJECT_ATTRIBUTE)
	{
		AlterTableStmt type = {.relation = stmt->relation,.objtype = OBJECT_TYPE};

		tables = tables_changed(&type, relid, AccessExclusiveLock);
		wtc_forget_tables_with_type(get_rel_type_id(relid));
	}
	else
		tables = stmt->relation->inh ?
			find_all_inheritors(relid, AccessExclusiveLock, NULL) :
			list_make1_oid(relid);

	foreach(lc, tables)
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);
		const Trigger *trigger = wtc_attachment_trigger(rel);

		wtc_forget_documents_reading(RelationGetRelid(rel));
		if (trigger != NULL || wtc_has_documents(rel))
		{
			/* keys and tags are made of values and stay what they are */
			if (trigger != NULL &&
				wtc_column_use(rel, trigger, stmt->subname).named)
				wtc_forget(rel);
			old = MemoryContextSwitchTo(st->cxt);
			renaming = palloc(sizeof(WtcRenaming));
			renaming->relid = RelationGetRelid(rel);
			renaming->from = stmt->subname;
			renaming->to = stmt->newname;
			st->renamings = lappend(st->renamings, renaming);
			MemoryContextSwitchTo(old);
		}
		relation_close(rel, NoLock);
		wtc_forget_tables_with_type(get_rel_type_id(lfirst_oid(lc)));
	}
}

/* Our triggers are known by the names of their functions. */
static void
check_own_names(const WtcStatement *st)
{
	if (wtc_capture_function() != st->capture ||
		wtc_truncate_function() != st->truncate ||
		wtc_condition_function() != st->condition ||
		wtc_document_function() != st->document ||
		wtc_part_function() != st->part ||
		wtc_document_truncate_function() != st->document_truncate)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot rename what wtcache finds its triggers by"),
				 errdetail("These are the functions wtcache.capture_row(), wtcache.capture_truncate(), wtcache.capture_condition(), wtcache.capture_document(), wtcache.capture_part() and wtcache.capture_document_truncate().")));
}

/*
 * Other statements
 */

static void
before_alter_enum(AlterEnumStmt *stmt)
{
	Oid			type;

	if (stmt->oldVal == NULL)
		return;
	type = typenameTypeId(NULL, makeTypeNameFromNameList(stmt->typeName));
	if (!wtc_owns_type(type, GetUserId()))
		return;
	wtc_forget_tables_with_type(type);
}

/* Values that have a cast to json are written by it. */
static void
before_create_cast(CreateCastStmt *stmt)
{
	Oid			source = typenameTypeId(NULL, stmt->sourcetype);
	Oid			target = typenameTypeId(NULL, stmt->targettype);

	if (target == JSONOID && (wtc_owns_type(source, GetUserId()) ||
							  wtc_owns_type(target, GetUserId())))
		wtc_forget_tables_with_type(source);
}

/* What CREATE has made or will replace: it does not search for names. */
static Oid
created(const RangeVar *name)
{
	return get_relname_relid(name->relname, RangeVarGetCreationNamespace(name));
}

/* A view that is replaced may have more columns, and so may its row type. */
static void
before_replace_view(ViewStmt *stmt)
{
	Oid			relid = created(stmt->view);

	if (OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_VIEW &&
		wtc_owns_relation(relid, GetUserId()))
		wtc_forget_tables_with_type(get_rel_type_id(relid));
}

static void
after_create(CreateStmt *stmt)
{
	Oid			relid = created(stmt->relation);
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	if (stmt->partbound != NULL)
		check_fit(relid);
	else
	{
		foreach(lc, stmt->inhRelations)
			notice_inheritance(lfirst_node(RangeVar, lc),
							   stmt->relation->relname);
	}
}

void
wtc_before_statement(WtcStatement *st, Node *stmt)
{
	st->capture = wtc_capture_function();
	st->truncate = wtc_truncate_function();
	st->condition = wtc_condition_function();
	st->document = wtc_document_function();
	st->part = wtc_part_function();
	st->document_truncate = wtc_document_truncate_function();
	if (IsA(stmt, AlterTableStmt))
	{
		ObjectType	type = ((AlterTableStmt *) stmt)->objtype;

		if (type == OBJECT_TABLE || type == OBJECT_FOREIGN_TABLE ||
			type == OBJECT_TYPE)
			before_alter_table(st, (AlterTableStmt *) stmt);
	}
	else if (IsA(stmt, RenameStmt))
	{
		ObjectType	type = ((RenameStmt *) stmt)->renameType;

		if (type == OBJECT_COLUMN || type == OBJECT_ATTRIBUTE)
			before_rename_column(st, (RenameStmt *) stmt);
	}
	else if (IsA(stmt, CreateStmt))
		st->adds_partitions = ((CreateStmt *) stmt)->partbound != NULL;
	else if (IsA(stmt, CreateCastStmt))
		before_create_cast((CreateCastStmt *) stmt);
	else if (IsA(stmt, CreateTrigStmt))
		wtc_before_create_trigger(st, (CreateTrigStmt *) stmt);
	else if (IsA(stmt, ViewStmt) && ((ViewStmt *) stmt)->replace)
		before_replace_view((ViewStmt *) stmt);
	else if (IsA(stmt, AlterEnumStmt))
		before_alter_enum((AlterEnumStmt *) stmt);
}

void
wtc_after_statement(WtcStatement *st, Node *stmt)
{
	ListCell   *lc;

	if (IsA(stmt, RenameStmt) || IsA(stmt, AlterObjectSchemaStmt))
		check_own_names(st);
	else if (IsA(stmt, AlterTableStmt))
		after_alter_table(st, (AlterTableStmt *) stmt);
	else if (IsA(stmt, CreateStmt))
		after_create((CreateStmt *) stmt);
	else if (IsA(stmt, CreateTrigStmt))
		wtc_after_create_trigger((CreateTrigStmt *) stmt);
	else if (IsA(stmt, CreateForeignTableStmt))
		after_create(&((CreateForeignTableStmt *) stmt)->base);
	foreach(lc, st->renamings)
		wtc_follow_renaming(lfirst(lc));
	foreach(lc, st->retypings)
		wtc_after_retyping(lfirst(lc));
	foreach(lc, st->rekeyed)
		check_rekeyed(lfirst_oid(lc));
}
