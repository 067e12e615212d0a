/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  Giving the trigger of an attachment other arguments.
 *
 * In the catalog: CREATE OR REPLACE TRIGGER would need privileges that a user
 * who may rename a column need not have, and would enable what is disabled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "lib/stringinfo.h"
#include "schema/arguments.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"

void
wtc_set_arguments(Relation rel, const Trigger *trigger, int n,
				  char *const *args)
{
	Relation	triggers = table_open(TriggerRelationId, RowExclusiveLock);
	Datum		values[Natts_pg_trigger] = {0};
	bool		nulls[Natts_pg_trigger] = {0};
	bool		replaces[Natts_pg_trigger] = {0};
	StringInfoData bytes;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	initStringInfo(&bytes);
	appendStringInfoSpaces(&bytes, VARHDRSZ);
	for (int i = 0; i < n; i++)
		appendBinaryStringInfo(&bytes, args[i], strlen(args[i]) + 1);
	SET_VARSIZE(bytes.data, bytes.len);
	values[Anum_pg_trigger_tgargs - 1] = PointerGetDatum(bytes.data);
	replaces[Anum_pg_trigger_tgargs - 1] = true;
	values[Anum_pg_trigger_tgnargs - 1] = Int16GetDatum((int16) n);
	replaces[Anum_pg_trigger_tgnargs - 1] = true;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger->tgoid));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find trigger %u", trigger->tgoid);
	tuple = heap_modify_tuple(tuple, RelationGetDescr(triggers),
							  values, nulls, replaces);
	CatalogTupleUpdate(triggers, &tuple->t_self, tuple);
	systable_endscan(scan);
	table_close(triggers, RowExclusiveLock);

	CacheInvalidateRelcache(rel);
	CommandCounterIncrement();
}
