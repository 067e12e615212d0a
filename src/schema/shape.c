/*-------------------------------------------------------------------------
 *
 * shape.c
 *	  What a change of the schema does to attached tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "attempt.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/catalog.h"
#include "capture/condition.h"
#include "capture/trigger.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "schema/shape.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/*
 * Attached tables
 */

List *
wtc_attached_roots(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, wtc_triggers_of(wtc_capture_function()))
	{
		WtcTriggerRow row = wtc_trigger_row(lfirst_oid(lc), NULL);

		if (OidIsValid(row.relid) && !OidIsValid(row.parent))
			result = list_append_unique_oid(result, row.relid);
	}
	return result;
}

List *
wtc_attached_tables(bool partitioned)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, wtc_triggers_of(wtc_capture_function()))
	{
		Oid			relid = wtc_trigger_row(lfirst_oid(lc), NULL).relid;
		char		relkind = get_rel_relkind(relid);

		if (relkind == RELKIND_RELATION ||
			(partitioned && relkind == RELKIND_PARTITIONED_TABLE))
			result = list_append_unique_oid(result, relid);
	}
	/* they may be locked, which all sessions have to do in one order */
	list_sort(result, list_oid_cmp);
	return result;
}

/*
 * Types
 */

static bool columns_reach(Oid relid, Oid type);

/* Can a value of a type have one of another type in it? */
static bool
type_reaches(Oid type, Oid target)
{
	Oid			inner;

	if (type == target)
		return true;
	if (type < FirstNormalObjectId)
		return false;
	check_stack_depth();
	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
			return type_reaches(getBaseType(type), target);
		case TYPTYPE_COMPOSITE:
			return columns_reach(get_typ_typrelid(type), target);
		case TYPTYPE_RANGE:
			return type_reaches(get_range_subtype(type), target);
		case TYPTYPE_MULTIRANGE:
			return type_reaches(get_multirange_range(type), target);
		default:
			inner = get_element_type(type);
			return OidIsValid(inner) && type_reaches(inner, target);
	}
}

/* Can there be values of the type in the columns of a table, at any depth? */
static bool
columns_reach(Oid relid, Oid type)
{
	for (AttrNumber attno = 1;; attno++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
											Int16GetDatum(attno));
		Form_pg_attribute attr;
		Oid			atttypid;

		if (!HeapTupleIsValid(tuple))
			return false;
		attr = (Form_pg_attribute) GETSTRUCT(tuple);
		atttypid = attr->attisdropped ? InvalidOid : attr->atttypid;
		ReleaseSysCache(tuple);
		if (OidIsValid(atttypid) && type_reaches(atttypid, type))
			return true;
	}
}

/*
 * Is there anything made of a type but its array type?  The row types of most
 * tables are used by nothing, and the partitions of a table may be many.
 */
static bool
is_used(Oid type)
{
	Oid			array = get_array_type(type);
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		used = false;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(type));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (!used && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		used = form->classid != TypeRelationId || form->objid != array;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return used || (OidIsValid(array) && is_used(array));
}

List *
wtc_lock_tables_with_type(Oid type)
{
	List	   *result = NIL;
	ListCell   *lc;

	/* those of the server never change, and their uses are not recorded */
	if (type < FirstNormalObjectId || !is_used(type))
		return NIL;
	foreach(lc, wtc_attached_tables(false))
	{
		Oid			relid = lfirst_oid(lc);

		if (!columns_reach(relid, type))
			continue;
		LockRelationOid(relid, ShareRowExclusiveLock);
		if (columns_reach(relid, type))
			result = lappend_oid(result, relid);
	}
	return result;
}

/*
 * Attachments
 */

/* What an attachment is built from, and what has been built. */
typedef struct Building
{
	Relation	rel;
	int			nargs;
	char	  **args;
	WtcAttachment *att;			/* NULL: none */
} Building;

static void
build_attachment(void *arg)
{
	Building   *b = arg;

	b->att = wtc_attachment_build(b->rel, b->nargs, b->args, NULL,
								  CurrentMemoryContext);
}

/* How many triggers of the table have this function? *found: one of this name. */
static int
count_triggers(Relation rel, Oid function, const char *name, Trigger **found)
{
	int			n = 0;

	*found = NULL;
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid != function)
			continue;
		n++;
		if (strcmp(trigger->tgname, name) == 0)
			*found = trigger;
	}
	return n;
}

void
wtc_check_attachment(Relation rel, const char *name)
{
	Trigger    *found;
	Node	   *condition;

	if (count_triggers(rel, wtc_condition_function(), name, &found) > 1 &&
		found != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" has a wtcache condition already",
						RelationGetRelationName(rel)),
				 errhint("To change it, call wtcache.alter(relation, condition => ...).")));
	condition = found != NULL ? wtc_condition_stored(rel) : NULL;
	if (condition != NULL)
		wtc_condition_check_columns(rel, condition);
	if (count_triggers(rel, wtc_capture_function(), name, &found) > 1 &&
		found != NULL)
		wtc_refuse_attached(rel);
	if (found != NULL)
		MemoryContextDelete(wtc_attachment_build(rel, found->tgnargs,
												 found->tgargs, NULL,
												 CurrentMemoryContext)->cxt);
}

/*
 * The attachment without its condition: what that calls may be gone already.
 * NULL, with a warning, if the attachment makes no sense: no row could be written
 * with it, and it must be possible to drop it.
 */
static WtcAttachment *
build(Relation rel, const Trigger *trigger)
{
	Building	building = {.rel = rel};
	ErrorData  *error;

	building.args = palloc(sizeof(char *) * (trigger->tgnargs + 1));
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		if (strncmp(trigger->tgargs[i], "condition=", 10) != 0)
			building.args[building.nargs++] = trigger->tgargs[i];
	}
	error = wtc_attempt(build_attachment, &building);
	/* being cancelled is no failure of it */
	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	if (error != NULL)
		ereport(WARNING,
				(errmsg("could not find the keys of \"%s\" in the cache",
						RelationGetRelationName(rel)),
				 errdetail_internal("%s", error->message)));
	return building.att;
}

bool
wtc_image_has_all_columns(const Trigger *trigger)
{
	return wtc_attachment_argument(trigger, "column") == NULL;
}

void
wtc_use_in_templates(WtcColumnUse *use, const char *name,
					 WtcTemplate *const *templates, int n,
					 AttrNumber attno)
{
	for (int i = 0; i < n && use->text == NULL; i++)
	{
		if (bms_is_member(attno, templates[i]->columns))
		{
			use->name = name;
			use->text = pstrdup(templates[i]->text);
		}
	}
}

WtcColumnUse
wtc_column_use(Relation rel, const Trigger *trigger, const char *column)
{
	WtcColumnUse use = {0};
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), column);
	WtcAttachment *att;

	if (attno <= 0)
		return use;
	att = build(rel, trigger);
	if (att == NULL)
		return use;
	wtc_use_in_templates(&use, "key", &att->key, 1, attno);
	wtc_use_in_templates(&use, "tag", att->tags, att->ntags, attno);
	wtc_use_in_templates(&use, "invalidated tag", att->invalidates,
					 att->ninvalidates, attno);
	for (int i = 0; i < att->nfields; i++)
	{
		use.shown |= att->fields[i].attno == attno;
		use.named |= att->fields[i].attno == attno &&
			strcmp(att->fields[i].name, column) == 0;
	}
	if (use.text == NULL && wtc_condition_uses(rel, attno))
	{
		use.name = "condition";
		use.text = wtc_condition_text(RelationGetRelid(rel),
									  wtc_condition_stored(rel));
	}
	if (use.text == NULL && att->version != NULL &&
		att->version->attno == attno)
	{
		use.name = "version";
		use.text = pstrdup(column);
	}
	if (use.text == NULL && use.shown && !att->all_columns)
	{
		use.name = "list of columns";
		use.text = pstrdup(column);
	}
	MemoryContextDelete(att->cxt);
	return use;
}

uint64
wtc_forget_rows(Relation rel, const Trigger *trigger)
{
	WtcAttachment *att = build(rel, trigger);
	uint64		rows = 0;

	if (att != NULL)
	{
		rows = wtc_capture_leaving(att, rel);
		MemoryContextDelete(att->cxt);
	}
	return rows;
}
