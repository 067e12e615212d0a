/*-------------------------------------------------------------------------
 *
 * clear.c
 *	  wtcache.clear(): taking a table's rows out of the cache.
 *
 * The keys are those of the rows that are there.  They are deleted like any
 * other, when the transaction commits and with its version.  The rows are locked
 * until then.  A row that another transaction is changing is left to that
 * transaction, and so may be in the cache afterwards, as the table is attached.
 *
 * All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "capture/attached.h"
#include "capture/attachment_cache.h"
#include "capture/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "txn/prefix.h"

PG_FUNCTION_INFO_V1(wtcache_clear);

/* A table and its partitions, with the lock of a writer. */
static uint64
clear_tables(Relation rel)
{
	uint64		keys = 0;
	ListCell   *lc;

	foreach(lc, wtc_tables_with_rows(rel))
	{
		Relation	part = table_open(lfirst_oid(lc), RowExclusiveLock);
		const Trigger *trigger = wtc_attachment_trigger(part);

		if (trigger != NULL)
			keys += wtc_capture_clear(wtc_attachment_get(part, trigger), part);
		table_close(part, NoLock);
	}
	return keys;
}

Datum
wtcache_clear(PG_FUNCTION_ARGS)
{
	Relation	rel;
	uint64		keys;

	PreventCommandIfReadOnly("wtcache.clear()");
	/* so the table is not detached meanwhile */
	rel = relation_open(PG_GETARG_OID(0), RowExclusiveLock);
	wtc_check_owner(rel);
	(void) wtc_attached_trigger(rel);
	wtc_check_prefix();
	keys = clear_tables(rel);
	relation_close(rel, NoLock);
	PG_RETURN_INT64((int64) keys);
}
