/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  What the catalogs say of a table, without a lock on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "capture/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

TupleDesc
wtc_catalog_columns(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	TupleDesc	desc;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	desc = CreateTemplateTupleDesc(((Form_pg_class) GETSTRUCT(tuple))->relnatts);
	ReleaseSysCache(tuple);
	for (int i = 0; i < desc->natts; i++)
	{
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
								Int16GetDatum(i + 1));
		if (!HeapTupleIsValid(tuple))
			return NULL;
		memcpy(TupleDescAttr(desc, i), GETSTRUCT(tuple),
			   ATTRIBUTE_FIXED_PART_SIZE);
		ReleaseSysCache(tuple);
	}
	return desc;
}

/* As the relcache does it. */
static void
read_trigger(Relation triggers, HeapTuple tuple, Trigger *trigger)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		isnull;
	Datum		value;
	const char *arg;

	trigger->tgoid = form->oid;
	trigger->tgname = pstrdup(NameStr(form->tgname));
	trigger->tgfoid = form->tgfoid;
	trigger->tgenabled = form->tgenabled;
	trigger->tgisclone = OidIsValid(form->tgparentid);
	trigger->tgnargs = form->tgnargs;
	trigger->tgargs = palloc(sizeof(char *) * (form->tgnargs + 1));
	value = heap_getattr(tuple, Anum_pg_trigger_tgargs,
						 RelationGetDescr(triggers), &isnull);
	arg = isnull ? NULL : VARDATA_ANY(DatumGetByteaPP(value));
	for (int i = 0; i < form->tgnargs; i++)
	{
		trigger->tgargs[i] = pstrdup(arg);
		arg += strlen(arg) + 1;
	}
	value = heap_getattr(tuple, Anum_pg_trigger_tgqual,
						 RelationGetDescr(triggers), &isnull);
	trigger->tgqual = isnull ? NULL : TextDatumGetCString(value);
}

TriggerDesc *
wtc_catalog_triggers(Oid relid)
{
	TriggerDesc *desc = palloc0(sizeof(TriggerDesc));
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	int			room = 8;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	desc->triggers = palloc0(sizeof(Trigger) * room);
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (desc->numtriggers == room)
		{
			room *= 2;
			desc->triggers = repalloc(desc->triggers, sizeof(Trigger) * room);
		}
		read_trigger(triggers, tuple, &desc->triggers[desc->numtriggers++]);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return desc;
}

int
wtc_catalog_primary_key(Oid relid, AttrNumber *keys)
{
	Relation	constraints = table_open(ConstraintRelationId, AccessShareLock);
	int			n = 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true,
							  NULL, 1, &key);
	while (n == 0 && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		columns;
		ArrayType  *array;

		if (((Form_pg_constraint) GETSTRUCT(tuple))->contype != CONSTRAINT_PRIMARY)
			continue;
		columns = heap_getattr(tuple, Anum_pg_constraint_conkey,
							   RelationGetDescr(constraints), &isnull);
		if (isnull)
			continue;
		array = DatumGetArrayTypeP(columns);
		n = Min(ARR_DIMS(array)[0], INDEX_MAX_KEYS);
		memcpy(keys, ARR_DATA_PTR(array), sizeof(AttrNumber) * n);
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return n;
}

/* The value of an argument in the catalog's form of them, or NULL. */
static char *
argument_in(const bytea *args, const char *name)
{
	const char *arg = VARDATA_ANY(args);
	const char *end = arg + VARSIZE_ANY_EXHDR(args);

	for (; arg < end; arg += strlen(arg) + 1)
	{
		if (strncmp(arg, name, strlen(name)) == 0)
			return pstrdup(arg + strlen(name));
	}
	return NULL;
}

WtcTriggerRow
wtc_trigger_row(Oid trigger, Snapshot snapshot)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	WtcTriggerRow row = {0};

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, snapshot, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		Datum		args;
		bool		isnull;

		row.relid = form->tgrelid;
		row.function = form->tgfoid;
		row.parent = form->tgparentid;
		args = heap_getattr(tuple, Anum_pg_trigger_tgargs,
							RelationGetDescr(triggers), &isnull);
		if (!isnull)
		{
			row.key = argument_in(DatumGetByteaPP(args), "key=");
			row.document = argument_in(DatumGetByteaPP(args), "name=");
			if (row.document == NULL)
				row.document = argument_in(DatumGetByteaPP(args), "document=");
		}
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return row;
}

/* Every trigger depends on its function, also a partition's copy of one. */
List *
wtc_triggers_of(Oid function)
{
	Relation	depend;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *triggers = NIL;

	if (!OidIsValid(function))
		return NIL;
	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(function));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->classid == TriggerRelationId)
			triggers = lappend_oid(triggers, form->objid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return triggers;
}
