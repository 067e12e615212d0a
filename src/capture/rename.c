/*-------------------------------------------------------------------------
 *
 * rename.c
 *	  Attachments that follow renamings.
 *
 * Templates and lists name columns; conditions are texts that name columns,
 * functions, types, the values of enums and more.  A condition is parsed
 * before the statement, which finds what its names mean, and written anew
 * after it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "capture/condition.h"
#include "capture/rename.h"
#include "capture/shape.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"

WtcRenaming *
wtc_renaming_begin(Relation rel, const Trigger *trigger,
				   const char *from, const char *to)
{
	WtcRenaming *renaming = palloc0(sizeof(WtcRenaming));

	renaming->relid = RelationGetRelid(rel);
	renaming->from = from;
	renaming->to = to;
	renaming->condition = wtc_condition_of(rel, trigger, true);
	if (renaming->condition != NULL)
		renaming->text = wtc_condition_deparse(rel, renaming->condition);
	return renaming;
}

List *
wtc_renaming_begin_conditions(Oid type)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, wtc_attached_tables(true))
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel;
		const Trigger *trigger;

		if (OidIsValid(type) && !wtc_columns_reach(relid, type))
			continue;
		rel = try_relation_open(relid, AccessShareLock);
		trigger = rel ? wtc_attachment_trigger(rel) : NULL;
		if (trigger != NULL)
		{
			WtcRenaming *renaming = wtc_renaming_begin(rel, trigger, NULL, NULL);

			if (renaming->condition != NULL)
				result = lappend(result, renaming);
		}
		if (rel != NULL)
			relation_close(rel, NoLock);
	}
	return result;
}

/* The condition as it is to be from now on; NULL: it stays what it is. */
static char *
renamed_condition(const WtcRenaming *renaming, Relation rel)
{
	char	   *text;

	if (renaming->condition == NULL)
		return NULL;
	text = wtc_condition_deparse(rel, renaming->condition);
	return strcmp(text, renaming->text) == 0 ? NULL : text;
}

/* An argument as it is to be from now on. */
static char *
renamed_argument(const WtcRenaming *renaming, const char *condition,
				 const char *arg)
{
	const char *value = strchr(arg, '=') + 1;
	char	   *name = pnstrdup(arg, value - arg);

	if (strcmp(name, "condition=") == 0 && condition != NULL)
		return psprintf("%s%s", name, condition);
	if (renaming->from == NULL)
		return pstrdup(arg);
	if (strcmp(name, "key=") == 0 || strcmp(name, "tag=") == 0 ||
		strcmp(name, "invalidate=") == 0)
		return psprintf("%s%s", name,
						wtc_template_rename(value, renaming->from, renaming->to));
	if (strcmp(name, "column=") == 0 && strcmp(value, renaming->from) == 0)
		return psprintf("%s%s", name, renaming->to);
	return pstrdup(arg);
}

/*
 * Changes the trigger in the catalog: CREATE OR REPLACE TRIGGER would need
 * privileges that whoever may rename the column need not have.
 */
static void
update_arguments(Oid trigger, const char *args, int len)
{
	Relation	triggers = table_open(TriggerRelationId, RowExclusiveLock);
	Datum		values[Natts_pg_trigger] = {0};
	bool		nulls[Natts_pg_trigger] = {0};
	bool		replaces[Natts_pg_trigger] = {0};
	bytea	   *bytes = palloc(VARHDRSZ + len);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	SET_VARSIZE(bytes, VARHDRSZ + len);
	memcpy(VARDATA(bytes), args, len);
	values[Anum_pg_trigger_tgargs - 1] = PointerGetDatum(bytes);
	replaces[Anum_pg_trigger_tgargs - 1] = true;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find trigger %u", trigger);
	tuple = heap_modify_tuple(tuple, RelationGetDescr(triggers),
							  values, nulls, replaces);
	CatalogTupleUpdate(triggers, &tuple->t_self, tuple);
	systable_endscan(scan);
	table_close(triggers, RowExclusiveLock);
}

static void
rewrite(const WtcRenaming *renaming, Relation rel, const char *condition)
{
	const Trigger *trigger = wtc_attachment_trigger(rel);
	StringInfoData args;
	bool		changed = false;

	initStringInfo(&args);
	for (int i = 0; trigger != NULL && i < trigger->tgnargs; i++)
	{
		char	   *arg = renamed_argument(renaming, condition,
										   trigger->tgargs[i]);

		changed |= strcmp(arg, trigger->tgargs[i]) != 0;
		appendBinaryStringInfo(&args, arg, strlen(arg) + 1);
	}
	if (!changed)
		return;
	if (renaming->to != NULL && strpbrk(renaming->to, "{}") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot rename column \"%s\" to \"%s\" because wtcache needs it",
						renaming->from, renaming->to),
				 errdetail("Templates cannot name a column with a brace in its name.")));
	update_arguments(trigger->tgoid, args.data, args.len);
	CacheInvalidateRelcache(rel);
	CommandCounterIncrement();
}

void
wtc_renaming_end(const WtcRenaming *renaming)
{
	Relation	rel = try_relation_open(renaming->relid, NoLock);
	char	   *condition;

	if (rel == NULL)
		return;
	condition = renamed_condition(renaming, rel);
	/* a writer must not read the old text with the new names */
	if (condition != NULL)
		LockRelationOid(renaming->relid, ShareRowExclusiveLock);
	if (condition != NULL || renaming->from != NULL)
		rewrite(renaming, rel, condition);
	relation_close(rel, NoLock);
}
