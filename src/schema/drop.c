/*-------------------------------------------------------------------------
 *
 * drop.c
 *	  What a statement drops: keys that go with it, and what must not be missing.
 *
 * The reason of a drop does not matter: DROP TABLE or SCHEMA, CASCADE, DROP
 * OWNED, DETACH PARTITION.  A table leaves wtcache when it loses its capture
 * trigger, which is dropped before the table is.  Its TOAST table may be dropped
 * before that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "schema/documents.h"
#include "schema/drop.h"
#include "schema/shape.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/*
 * What is about to be dropped
 */

static void
dropping_trigger(Oid oid)
{
	WtcStatement *st = wtc_statement_current();
	WtcTriggerRow row = wtc_trigger_row(oid, NULL);
	bool		truncate = row.function == wtc_truncate_function();
	bool		condition = row.function == wtc_condition_function();

	if (wtc_is_document_function(row.function))
	{
		LockRelationOid(row.relid, AccessExclusiveLock);
		wtc_document_trigger_goes(oid);
		return;
	}
	if (!OidIsValid(row.function) ||
		(row.function != wtc_capture_function() && !truncate && !condition))
		return;
	/* the lock that dropping a trigger takes */
	LockRelationOid(row.relid, AccessExclusiveLock);
	wtc_forget_table(row.relid);
	if (st != NULL && truncate)
		st->uncovered = wtc_add_oid(st, st->uncovered, row.relid);
	if (st != NULL && condition)
		st->unconditional = wtc_add_oid(st, st->unconditional, row.relid);
}

/* That the table has no such trigger any more is to be seen afterwards. */
static void
note_missed(WtcStatement *st, Oid relid, Oid trigger, const char *column,
			const WtcColumnUse *use)
{
	MemoryContext old = MemoryContextSwitchTo(st->cxt);
	WtcMissedColumn *missed = palloc0(sizeof(WtcMissedColumn));

	missed->relid = relid;
	missed->trigger = trigger;
	missed->column = pstrdup(column);
	missed->use.name = use->name;
	missed->use.text = pstrdup(use->text);
	st->missed = lappend(st->missed, missed);
	MemoryContextSwitchTo(old);
}

static void
dropping_column_of_documents(WtcStatement *st, Relation rel, const char *column)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Oid			trigger = rel->trigdesc->triggers[i].tgoid;
		WtcColumnUse use = wtc_document_column_use(trigger, rel, column);

		if (use.text != NULL && st != NULL)
			note_missed(st, RelationGetRelid(rel), trigger, column, &use);
	}
	wtc_forget_documents_reading(RelationGetRelid(rel));
}

static void
dropping_column(Oid relid, AttrNumber attno)
{
	WtcStatement *st = wtc_statement_current();
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
		if (use.text != NULL && !trigger->tgisclone && st != NULL)
			note_missed(st, relid, trigger->tgoid, column, &use);
	}
	dropping_column_of_documents(st, rel, get_attname(relid, attno, false));
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

void
wtc_dropping(Oid class, Oid object, int sub)
{
	if (class == TriggerRelationId)
		dropping_trigger(object);
	else if (class == CastRelationId)
		dropping_cast(object);
	else if (sub > 0)
		dropping_column(object, (AttrNumber) sub);
	else if (wtc_statement_current() != NULL)	/* not by REINDEX */
		dropping_toast(object);
}

/*
 * What must not be missing afterwards
 */

/* A column is gone: does an attachment still need it? */
static void
check_missed(const WtcMissedColumn *missed)
{
	Relation	rel = try_relation_open(missed->relid, AccessShareLock);
	const Trigger *trigger = rel ?
	wtc_trigger_among(rel->trigdesc, missed->trigger) : NULL;

	/* not if the table is gone, too, or the attachment was */
	if (trigger != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop column \"%s\" of \"%s\" because wtcache needs it",
						missed->column, RelationGetRelationName(rel)),
				 errdetail("The attachment's %s is \"%s\".",
						   missed->use.name, missed->use.text),
				 wtc_is_document_function(trigger->tgfoid) ?
				 errhint("Call wtcache.attach_document() with replace => true, wtcache.detach_document() or detach_part().") :
				 errhint("Call wtcache.alter() so that it does without this column, or wtcache.detach().")));
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

/*
 * Without its TRUNCATE trigger a table is not cached.  To refuse the drop would
 * be worse: a dump that is restored with --clean drops both triggers, in either
 * order.
 */
static void
warn_uncovered(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	char		enabled;

	if (rel != NULL && wtc_attachment_trigger(rel) != NULL &&
		wtc_truncate_trigger(rel, &enabled) == NULL)
		ereport(WARNING,
				(errmsg("rows of \"%s\" are no longer stored in the cache",
						RelationGetRelationName(rel)),
				 errdetail("Its TRUNCATE trigger has been dropped."),
				 errhint("Call wtcache.detach(), or wtcache.attach() with replace => true.")));
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

/*
 * By CASCADE a condition goes with a function of another user's, who must not be
 * kept from dropping it.  Nothing is cached then, rather than everything.
 */
static void
warn_unconditional(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	const Trigger *trigger = rel ? wtc_attachment_trigger(rel) : NULL;

	if (trigger != NULL && !trigger->tgisclone &&
		wtc_attachment_is_kept(trigger) &&
		wtc_condition_trigger(rel) == NULL)
		ereport(WARNING,
				(errmsg("rows of \"%s\" are no longer cached",
						RelationGetRelationName(rel)),
				 errdetail("The trigger that kept the condition of the attachment has been dropped."),
				 errhint("Call wtcache.alter() with the condition that it is to have now, or wtcache.detach().")));
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

void
wtc_check_dropped(const WtcStatement *st)
{
	ListCell   *lc;

	foreach(lc, st->missed)
		check_missed(lfirst(lc));
	foreach(lc, st->uncovered)
		warn_uncovered(lfirst_oid(lc));
	foreach(lc, st->unconditional)
		warn_unconditional(lfirst_oid(lc));
}
