/*-------------------------------------------------------------------------
 *
 * warm_table.c
 *	  The table that wtcache.warm() reads: may it, and what is there to read.
 *
 * Everything is looked at again for every batch: much can happen between two
 * transactions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "bulk/warm_table.h"
#include "capture/attached.h"
#include "capture/attachment_cache.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"

/* What locking rows with FOR SHARE needs. */
static void
check_rights(Relation rel)
{
	static const AclMode needed[] = {ACL_SELECT, ACL_UPDATE};

	for (int i = 0; i < lengthof(needed); i++)
	{
		if (pg_class_aclcheck(RelationGetRelid(rel), GetUserId(),
							  needed[i]) != ACLCHECK_OK)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for table %s",
							RelationGetRelationName(rel)),
					 errdetail("Warming a table locks its rows, which needs the privileges SELECT and UPDATE on it and on its partitions.")));
	}
}

Relation
wtc_warm_open(Oid relid, const Trigger **trigger)
{
	Relation	rel = try_relation_open(relid, RowExclusiveLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	*trigger = wtc_attached_trigger(rel);
	wtc_check_firing(rel, *trigger);
	check_rights(rel);
	wtc_check_row_security(rel, "wtcache.warm()");
	return rel;
}

void
wtc_warm_open_part(WtcWarmPart *part, Relation root, Oid relid)
{
	const Trigger *trigger;

	part->root = root;
	part->rel = wtc_warm_open(relid, &trigger);
	part->att = wtc_attachment_get(part->rel, trigger);
	if (part->att->no_images != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of \"%s\" cannot be cached",
						RelationGetRelationName(part->rel)),
				 errdetail("There can be no images: %s.",
						   part->att->no_images)));
}

static void
measure(WtcWarmJob *job, Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	BlockNumber pages;
	double		tuples;
	double		visible;

	estimate_rel_size(rel, NULL, &pages, &tuples, &visible);
	job->blocks_total += RelationGetNumberOfBlocks(rel);
	job->rows_total += (int64) tuples;
	table_close(rel, AccessShareLock);
}

bool
wtc_warm_add_parts(WtcWarmJob *job, Relation root)
{
	List	   *added = list_difference_oid(wtc_tables_with_rows(root),
											job->parts);
	MemoryContext old;
	ListCell   *lc;

	list_sort(added, list_oid_cmp);
	foreach(lc, added)
		measure(job, lfirst_oid(lc));
	old = MemoryContextSwitchTo(job->cxt);
	job->parts = list_concat(job->parts, added);
	MemoryContextSwitchTo(old);
	return added != NIL;
}

Oid
wtc_warm_next_part(const WtcWarmJob *job, Relation root)
{
	List	   *there = wtc_tables_with_rows(root);
	bool		behind = !OidIsValid(job->part);
	ListCell   *lc;

	foreach(lc, job->parts)
	{
		if (behind && list_member_oid(there, lfirst_oid(lc)))
			return lfirst_oid(lc);
		behind |= lfirst_oid(lc) == job->part;
	}
	return InvalidOid;
}
