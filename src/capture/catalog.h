/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  What the catalogs say of a table, without a lock on it.
 *
 * For what must not wait for a table: views that watch, and looking at the tables
 * of others.  The table may be changed or dropped meanwhile, so that two
 * answers need not fit together.  Everything here may raise an error and
 * belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_CATALOG_H
#define WTC_CAPTURE_CATALOG_H

#include "access/tupdesc.h"
#include "nodes/pg_list.h"
#include "utils/reltrigger.h"
#include "utils/snapshot.h"

/* Its columns; NULL: there is no such table any more. */
extern TupleDesc wtc_catalog_columns(Oid relid);

/*
 * Its triggers, none if there is no such table: what Trigger has of names, OIDs,
 * arguments, WHEN clause, and when they fire.
 */
extern TriggerDesc * wtc_catalog_triggers(Oid relid);

/*
 * The columns of its primary key, in the order of that, into keys, which has room
 * for those of an index; returns how many.
 */
extern int	wtc_catalog_primary_key(Oid relid, AttrNumber *keys);

/* What is known of a trigger by its OID; InvalidOid if there is none. */
typedef struct WtcTriggerRow
{
	Oid			relid;
	Oid			function;
	Oid			parent;
	char	   *key;			/* the argument of this name, or NULL */
	char	   *document;		/* the name of a document, or of a part's */
} WtcTriggerRow;

/* As the snapshot sees it; NULL: as the catalog is. */
extern WtcTriggerRow wtc_trigger_row(Oid trigger, Snapshot snapshot);

/* All triggers that have this function, those of partitions too. */
extern List *wtc_triggers_of(Oid function);

#endif							/* WTC_CAPTURE_CATALOG_H */
