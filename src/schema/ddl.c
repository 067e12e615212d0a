/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  Following changes of the schema, which fire no row triggers (F33).
 *
 * What must not happen is that an image of a shape that rows no longer have,
 * or of a row that is no longer in the table, stays in the cache.  So the keys
 * of all rows of the table are deleted, as by TRUNCATE: by a scan, which has to
 * come before the change, since keys are made from the old shape.  They are
 * pending operations like any other: ROLLBACK undoes them.  Two hooks see what
 * is about to happen:
 *
 * - The utility hook sees a statement before the server runs it.  It takes
 *	 the lock that the statement will take, in the way in which the statement
 *	 will take it, which checks the same permission.  It also looks afterwards
 *	 whether what has become of the table can still be cached.
 *
 * - The object access hook sees what is about to be dropped, whatever the
 *	 reason: DROP TABLE or SCHEMA, CASCADE, DROP OWNED, DETACH PARTITION.  A
 *	 table leaves wtcache when it loses its capture trigger, which is dropped
 *	 before the table is.  Its TOAST table may be dropped before that.
 *
 * By both ways the server holds (or is about to take) a lock on the table
 * that keeps writers away until the transaction ends; those who come after it
 * see the new shape.  Changes of a type take no lock on the tables that have
 * columns of it, so we do.
 *
 * All of this is before the commit record and may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "capture/attached.h"
#include "schema/ddl.h"
#include "schema/shape.h"
#include "schema/statement.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utility.h"

bool		wtc_ddl_own = false;

static ProcessUtility_hook_type prev_utility = NULL;
static object_access_hook_type prev_object_access = NULL;
static Statement *current = NULL;

/*
 * Keys
 */

List *
wtc_add_oid(Statement *st, List *list, Oid oid)
{
	MemoryContext old = MemoryContextSwitchTo(st->cxt);

	list = list_append_unique_oid(list, oid);
	MemoryContextSwitchTo(old);
	return list;
}

/* The table that somebody has attached: of partitions the topmost. */
Oid
wtc_attached_as(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	List	   *ancestors = NIL;

	/* of one that is being detached there may be none already */
	if (rel->rd_rel->relispartition)
		ancestors = get_partition_ancestors(relid);
	return ancestors != NIL ? llast_oid(ancestors) : relid;
}

/* The keys of all rows go, once for each statement. */
void
wtc_forget(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	const Trigger *trigger;

	/*
	 * rows of temporary tables are never cached, and other sessions' not to
	 * be read
	 */
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return;
	trigger = wtc_attachment_trigger(rel);
	if (trigger == NULL)
		return;
	if (current == NULL)
		wtc_forget_rows(rel, trigger);
	else if (!list_member_oid(current->forgotten, relid))
	{
		Oid			table = wtc_attached_as(rel);

		current->rows += wtc_forget_rows(rel, trigger);
		current->tables |= current->forgotten != NIL && current->table != table;
		current->table = table;
		current->forgotten = wtc_add_oid(current, current->forgotten, relid);
	}
}

/* The table is locked already. */
void
wtc_forget_table(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);

	wtc_forget(rel);
	relation_close(rel, NoLock);
}

void
wtc_forget_tables_with_type(Oid type)
{
	ListCell   *lc;

	foreach(lc, wtc_lock_tables_with_type(type))
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		wtc_forget(rel);
		if (current != NULL)
			wtc_retyped(current, rel);
		relation_close(rel, NoLock);
	}
}

static void
report(const Statement *st, Node *stmt)
{
	bool		drops = IsA(stmt, DropOwnedStmt) || (IsA(stmt, DropStmt) &&
													 ((DropStmt *) stmt)->removeType != OBJECT_TRIGGER);
	char	   *name;

	if (st->rows == 0)
		return;
	/* that rows of dropped tables leave the cache surprises nobody */
	name = st->tables ? NULL : get_rel_name(st->table);
	ereport(drops ? DEBUG1 : NOTICE,
			(name == NULL ?
			 errmsg("the keys of %llu rows of several tables are deleted from the cache",
					(unsigned long long) st->rows) :
			 errmsg_plural("the key of %llu row of \"%s\" is deleted from the cache",
						   "the keys of %llu rows of \"%s\" are deleted from the cache",
						   st->rows, (unsigned long long) st->rows, name)));
}

/*
 * What must not be missing afterwards
 */

/* A column is gone: is there still somebody who needs it? */
static void
check_missed(const MissedColumn *missed)
{
	Relation	rel = try_relation_open(missed->relid, AccessShareLock);
	const Trigger *trigger = rel ? wtc_attachment_trigger(rel) : NULL;

	/* not if the table is gone, too, or the attachment was */
	if (trigger != NULL && trigger->tgoid == missed->trigger)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop column \"%s\" of \"%s\" because wtcache needs it",
						missed->column, RelationGetRelationName(rel)),
				 errdetail("The attachment's %s is \"%s\".",
						   missed->use.name, missed->use.text),
				 errhint("Call wtcache.attach() without this column first, or wtcache.detach().")));
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

static void
check_uncovered(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	char		enabled;

	if (rel != NULL && wtc_attachment_trigger(rel) != NULL &&
		wtc_truncate_trigger(rel, &enabled) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop the TRUNCATE trigger of \"%s\" because wtcache needs it",
						RelationGetRelationName(rel)),
				 errhint("Call wtcache.detach() instead.")));
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

/*
 * What is about to be dropped
 */

static void
dropping_trigger(Oid oid)
{
	WtcTriggerRow row = wtc_trigger_row(oid, NULL);

	if (!OidIsValid(row.function))
		return;
	if (row.function == wtc_capture_function())
	{
		/* the lock that dropping a trigger takes */
		LockRelationOid(row.relid, AccessExclusiveLock);
		wtc_forget_table(row.relid);
	}
	else if (row.function == wtc_truncate_function() && current != NULL)
		current->uncovered = wtc_add_oid(current, current->uncovered,
										 row.relid);
}

static void
dropping_column(Oid relid, AttrNumber attno)
{
	char		relkind = get_rel_relkind(relid);
	Relation	rel;
	const Trigger *trigger;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_FOREIGN_TABLE && relkind != RELKIND_COMPOSITE_TYPE)
		return;
	rel = relation_open(relid, AccessExclusiveLock);
	trigger = wtc_attachment_trigger(rel);
	if (trigger != NULL)
	{
		char	   *column = get_attname(relid, attno, false);
		WtcColumnUse use = wtc_column_use(rel, trigger, column);

		if (use.shown || use.text != NULL)
			wtc_forget(rel);
		if (use.text != NULL && !trigger->tgisclone && current != NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(current->cxt);
			MissedColumn *missed = palloc0(sizeof(MissedColumn));

			missed->relid = relid;
			missed->trigger = trigger->tgoid;
			missed->column = pstrdup(column);
			missed->use.name = use.name;
			missed->use.text = pstrdup(use.text);
			current->missed = lappend(current->missed, missed);
			MemoryContextSwitchTo(old);
		}
	}
	relation_close(rel, NoLock);
	wtc_forget_tables_with_type(get_rel_type_id(relid));
}

/*
 * Tags may be made of values in a TOAST table, which may be dropped first, and
 * before it its index.
 */
static void
dropping_toast(Oid toast)
{
	Relation	depend;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			relid = InvalidOid;

	if (get_rel_relkind(toast) == RELKIND_INDEX)
		toast = IndexGetRelation(toast, true);
	if (get_rel_relkind(toast) != RELKIND_TOASTVALUE)
		return;
	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(toast));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->refclassid == RelationRelationId)
			relid = form->refobjid;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);

	if (get_rel_relkind(relid) == RELKIND_RELATION)
	{
		LockRelationOid(relid, AccessExclusiveLock);
		wtc_forget_table(relid);
	}
}

static void
dropping_cast(Oid oid)
{
	Relation	casts = table_open(CastRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			source = InvalidOid;

	ScanKeyInit(&key, Anum_pg_cast_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	scan = systable_beginscan(casts, CastOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		((Form_pg_cast) GETSTRUCT(tuple))->casttarget == JSONOID)
		source = ((Form_pg_cast) GETSTRUCT(tuple))->castsource;
	systable_endscan(scan);
	table_close(casts, AccessShareLock);
	wtc_forget_tables_with_type(source);
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);
	if (access == OAT_POST_CREATE && class == TriggerRelationId &&
		OidIsValid(wtc_capture_function()))
		wtc_trigger_created(object);
	if (access != OAT_DROP || (current != NULL && current->own) ||
		(class != TriggerRelationId && class != RelationRelationId &&
		 class != CastRelationId) ||
		!OidIsValid(wtc_capture_function()))
		return;

	if (class == TriggerRelationId)
		dropping_trigger(object);
	else if (class == CastRelationId)
		dropping_cast(object);
	else if (sub > 0)
		dropping_column(object, (AttrNumber) sub);
	else if (current != NULL)	/* not by REINDEX */
		dropping_toast(object);
}

/*
 * The statements
 */

static bool
is_followed(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
		case T_RenameStmt:
		case T_AlterEnumStmt:
		case T_AlterObjectSchemaStmt:
		case T_CreateStmt:
		case T_CreateCastStmt:
		case T_CreateForeignTableStmt:
		case T_CreateSchemaStmt:
		case T_CreateTrigStmt:
		case T_DropStmt:
		case T_DropOwnedStmt:
		case T_ViewStmt:
			return !XactReadOnly && !RecoveryInProgress() &&
				OidIsValid(wtc_capture_function());
		default:
			return false;
	}
}

/* What a statement has dropped is not to be missed by what it has left. */
static void
check_dropped(const Statement *st)
{
	ListCell   *lc;

	foreach(lc, st->missed)
		check_missed(lfirst(lc));
	foreach(lc, st->uncovered)
		check_uncovered(lfirst_oid(lc));
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	bool		own = wtc_ddl_own;
	Statement	st = {.outer = current,.cxt = CurrentMemoryContext,
	.own = own,.adds_partitions = !own};

	if (!own && !is_followed(stmt))
	{
		wtc_pass_on(prev_utility, pstmt, query_string, read_only_tree, context,
					params, query_env, dest, qc);
		return;
	}

	/* what it runs in its turn, as event triggers do, is not ours */
	wtc_ddl_own = false;
	current = &st;
	PG_TRY();
	{
		if (!own)
			wtc_before_statement(&st, stmt);
		wtc_pass_on(prev_utility, pstmt, query_string, read_only_tree, context,
					params, query_env, dest, qc);
		if (!own)
		{
			CommandCounterIncrement();
			wtc_after_statement(&st, stmt);
			check_dropped(&st);
			report(&st, stmt);
		}
	}
	PG_FINALLY();
	{
		current = st.outer;
		wtc_ddl_own = own;
	}
	PG_END_TRY();
}

bool
wtc_ddl_adds_partitions(void)
{
	return current == NULL || current->adds_partitions;
}

void
wtc_ddl_init(void)
{
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
