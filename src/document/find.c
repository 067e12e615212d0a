/*-------------------------------------------------------------------------
 *
 * find.c
 *	  What the catalogs say of documents.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "document/find.h"
#include "document/query.h"
#include "utils/fmgroids.h"

Oid
wtc_document_named(const char *name)
{
	ListCell   *lc;

	foreach(lc, wtc_triggers_of(wtc_document_function()))
	{
		WtcTriggerRow row = wtc_trigger_row(lfirst_oid(lc), NULL);

		if (row.document != NULL && strcmp(row.document, name) == 0)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

List *
wtc_document_parts(const char *name)
{
	List	   *parts = NIL;
	ListCell   *lc;

	foreach(lc, wtc_triggers_of(wtc_part_function()))
	{
		WtcTriggerRow row = wtc_trigger_row(lfirst_oid(lc), NULL);

		if (row.document != NULL && strcmp(row.document, name) == 0)
			parts = lappend_oid(parts, lfirst_oid(lc));
	}
	return parts;
}

List *
wtc_document_reads(Oid function)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *relids = NIL;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(function));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->refclassid == RelationRelationId)
			relids = list_append_unique_oid(relids, form->refobjid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return relids;
}

static const Trigger *
trigger_of(Oid oid)
{
	return wtc_trigger_among(wtc_catalog_triggers(wtc_trigger_row(oid, NULL).relid),
							 oid);
}

List *
wtc_documents_reading(Oid relid)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, wtc_triggers_of(wtc_document_function()))
	{
		const Trigger *trigger = trigger_of(lfirst_oid(lc));

		if (trigger != NULL &&
			list_member_oid(wtc_document_reads(wtc_document_function_of(trigger)),
							relid))
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

bool
wtc_document_has_tags(Oid trigger)
{
	const Trigger *found = trigger_of(trigger);

	return found != NULL && wtc_attachment_argument(found, "tag") != NULL;
}
