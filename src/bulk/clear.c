/*-------------------------------------------------------------------------
 *
 * clear.c
 *	  wtcache.clear(): taking a table's rows out of the cache.
 *
 * The keys are those of the rows that are there.  They are deleted like any
 * other, when the transaction commits and with its version.  The rows are locked
 * until then.  A row that another transaction is changing is left to that
 * transaction, and so may be in the cache afterwards, as the table is attached.
 * Where that must not be, the caller locks the table, as detaching does.
 *
 * All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "bulk/clear.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"

PG_FUNCTION_INFO_V1(wtcache_clear);

uint64
wtc_clear(Relation rel, LOCKMODE lockmode)
{
	uint64		keys = 0;
	ListCell   *lc;

	foreach(lc, wtc_tables_with_rows(rel))
	{
		Relation	part = table_open(lfirst_oid(lc), lockmode);
		const Trigger *trigger = wtc_attachment_trigger(part);

		if (trigger != NULL)
			keys += wtc_capture_clear(wtc_attachment_get(part, trigger), part,
									  lockmode == RowExclusiveLock);
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
	/* the lock of a writer: the table is not detached meanwhile */
	rel = relation_open(PG_GETARG_OID(0), RowExclusiveLock);
	wtc_check_owner(rel);
	(void) wtc_attached_trigger(rel);
	keys = wtc_clear(rel, RowExclusiveLock);
	relation_close(rel, NoLock);
	PG_RETURN_INT64((int64) keys);
}
