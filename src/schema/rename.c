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
#include "capture/attached.h"
#include "capture/condition.h"
#include "capture/template.h"
#include "catalog/pg_trigger.h"
#include "schema/arguments.h"
#include "schema/rename.h"
#include "schema/shape.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"

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
	{
		renaming->text = wtc_condition_deparse(rel, renaming->condition);
		renaming->stored = wtc_attachment_argument(trigger, "condition");
	}
	return renaming;
}

static bool
contains(const bytea *args, const char *text)
{
	const char *data = VARDATA_ANY(args);
	size_t		len = VARSIZE_ANY_EXHDR(args);
	size_t		text_len = strlen(text);

	for (size_t i = 0; i + text_len <= len; i++)
	{
		if (memcmp(data + i, text, text_len) == 0)
			return true;
	}
	return false;
}

/*
 * Can the attachment of a table name something that has this name?  Asked of
 * the text alone, without a lock on the table: a session that renames something
 * else does not wait for those that have locked the table.
 */
static bool
may_name(Oid relid, const char *before, const char *name)
{
	Oid			function = wtc_capture_function();
	char	   *plain = psprintf("%s%s", before, name);
	char	   *quoted = psprintf("%s\"%s\"", before, name);
	Relation	triggers;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	/* in the text these are doubled */
	if (strpbrk(name, "\"'\\") != NULL)
		return true;
	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL,
							  1, &key);
	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		args = heap_getattr(tuple, Anum_pg_trigger_tgargs,
										RelationGetDescr(triggers), &isnull);

		if (((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid == function && !isnull)
		{
			const bytea *text = DatumGetByteaPP(args);

			result = contains(text, plain) || contains(text, quoted);
		}
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return result;
}

List *
wtc_renaming_begin_conditions(const char *before, const char *name)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, wtc_attached_tables(true))
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel;
		const Trigger *trigger;

		if (name != NULL && !may_name(relid, before, name))
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

/* An error if another session has changed the condition since it was read. */
static void
check_unchanged(const WtcRenaming *renaming, Relation rel,
				const Trigger *trigger, const char *condition)
{
	const char *stored = wtc_attachment_argument(trigger, "condition");

	/* by another renaming of this statement it may be what it is to be */
	if (stored == NULL || (strcmp(stored, renaming->stored) != 0 &&
						   strcmp(stored, condition) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the wtcache condition of \"%s\" has been changed meanwhile",
						RelationGetRelationName(rel)),
				 errhint("Try again.")));
}

static void
rewrite(const WtcRenaming *renaming, Relation rel, const char *condition)
{
	const Trigger *trigger = wtc_attachment_trigger(rel);
	char	  **args;
	bool		changed = false;

	if (trigger == NULL)
		return;
	if (condition != NULL)
		check_unchanged(renaming, rel, trigger, condition);

	args = palloc(sizeof(char *) * (trigger->tgnargs + 1));
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		args[i] = renamed_argument(renaming, condition, trigger->tgargs[i]);
		changed |= strcmp(args[i], trigger->tgargs[i]) != 0;
	}
	if (!changed)
		return;
	if (renaming->to != NULL && strpbrk(renaming->to, "{}") != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot rename column \"%s\" to \"%s\" because wtcache needs it",
						renaming->from, renaming->to),
				 errdetail("Templates cannot name a column with a brace in its name.")));
	wtc_set_arguments(rel, trigger, trigger->tgnargs, args);
}

void
wtc_renaming_end(const WtcRenaming *renaming)
{
	Relation	rel = try_relation_open(renaming->relid, AccessShareLock);
	char	   *condition;

	if (rel == NULL)
		return;
	condition = renamed_condition(renaming, rel);
	/* a writer must not read the old text with the new names */
	if (condition != NULL)
		LockRelationOid(renaming->relid, ShareRowExclusiveLock);
	if (condition != NULL || renaming->from != NULL)
		rewrite(renaming, rel, condition);
	relation_close(rel, AccessShareLock);
}
