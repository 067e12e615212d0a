/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  wtcache.verify() and verify_summary(): comparing the cache with a table.
 *
 * Redis and the table cannot be read at one moment, and what has been
 * committed reaches Redis a little later.  So a difference that is seen in
 * passing is only a suspicion.  It is looked into when the cache has caught up
 * with what was committed, and counts if nothing has been changed between the
 * two readings of the table on either side of the reading of Redis.
 *
 * The functions run inside the caller's transaction and see the table as it is
 * now, with snapshots of their own, whatever the isolation level is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xlog.h"
#include "bulk/verify_orphans.h"
#include "bulk/verify_rows.h"
#include "bulk/verify_run.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/attachment_cache.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "shared/filled.h"
#include "sql.h"
#include "txn/pending.h"
#include "txn/prefix.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include <math.h>

PG_FUNCTION_INFO_V1(wtcache_verify);
PG_FUNCTION_INFO_V1(wtcache_verify_summary);

/*
 * The call
 */

static void
refuse(bool wrong, int code, const char *what)
{
	if (wrong)
		ereport(ERROR,
				(errcode(code),
				 errmsg_internal("%s", what)));
}

static void
check_state(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("The cache is compared with the primary server, which writes it.")));
	refuse(wtc_url[0] == '\0', ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
		   "wtcache.url is empty: there is no cache to verify");
	refuse(!wtc_enabled, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
		   "wtcache.enabled is off: the cache is not to hold any rows");
	wtc_check_prefix();
	if (wtc_pending_spilled())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this transaction has changed too much to tell what the cache should hold"),
				 errhint("Verify in a transaction of its own.")));
}

static void
take_options(FunctionCallInfo fcinfo, WtcVerify *run, bool *orphans)
{
	static const char *const nulls[] = {
		"relation must not be null", "repair must not be null", NULL,
		"orphans must not be null", "timeout must not be null"
	};

	for (int i = 0; i < lengthof(nulls); i++)
		refuse(nulls[i] != NULL && PG_ARGISNULL(i),
			   ERRCODE_NULL_VALUE_NOT_ALLOWED, nulls[i]);
	run->repair = PG_GETARG_BOOL(1);
	run->sample = PG_ARGISNULL(2) ? 1 : PG_GETARG_FLOAT8(2) / 100;
	refuse(!(run->sample > 0 && run->sample <= 1),
		   ERRCODE_INVALID_PARAMETER_VALUE,
		   "sample must be a percentage between 0 and 100");
	*orphans = PG_GETARG_BOOL(3) && run->sample == 1;
	run->patience_us = wtc_timeout_us(PG_GETARG_INTERVAL_P(4));
	if (run->repair)
		PreventCommandIfReadOnly("wtcache.verify() with repair");
}

static void
check_rights(Relation rel, bool repair)
{
	wtc_check_may_read(RelationGetRelid(rel));
	if (repair)
		wtc_check_owner(rel);
	wtc_check_row_security(rel, "wtcache.verify()");
}

static void
verify_part(WtcVerify *run, Relation root, Oid relid)
{
	WtcWarmPart part = {.root = root};
	WtcEntered	entered;
	const Trigger *trigger;

	part.rel = table_open(relid, RowExclusiveLock);
	trigger = wtc_attached_trigger(part.rel);
	if (run->repair)
		wtc_check_firing(part.rel, trigger);
	part.att = wtc_attachment_get(part.rel, trigger);
	if (part.att->no_images != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of \"%s\" cannot be cached",
						RelationGetRelationName(part.rel)),
				 errdetail("There can be no images: %s.",
						   part.att->no_images)));
	wtc_enter(part.att, &entered);
	PG_TRY();
	{
		wtc_verify_rows(run, &part);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	table_close(part.rel, NoLock);
}

static void
verify_keys(WtcVerify *run, Relation root)
{
	WtcAttachment *att = wtc_attachment_get(root, wtc_attached_trigger(root));
	WtcEntered	entered;

	wtc_enter_as_owner(att->root, &entered);
	PG_TRY();
	{
		wtc_verify_orphans(run, root, att);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
}

static void
verify(FunctionCallInfo fcinfo, WtcVerify *run)
{
	TimestampTz begun_at = GetCurrentTimestamp();
	bool		orphans;
	Relation	root;
	ListCell   *lc;

	take_options(fcinfo, run, &orphans);
	check_state();

	/* the lock of a writer: it stays attached as it is */
	root = relation_open(PG_GETARG_OID(0), RowExclusiveLock);
	(void) wtc_attached_trigger(root);
	check_rights(root, run->repair);
	SPI_connect();
	foreach(lc, wtc_tables_with_rows(root))
		verify_part(run, root, lfirst_oid(lc));
	/* other partitions have keys of the same form */
	if (orphans && !root->rd_rel->relispartition)
		verify_keys(run, root);
	SPI_finish();
	if (run->sample == 1 && run->found[WTC_DIFF_MISSING] == 0)
		wtc_filled_note(RelationGetRelid(root), begun_at);
	relation_close(root, NoLock);
}

Datum
wtcache_verify(PG_FUNCTION_ARGS)
{
	WtcVerify	run = {0};

	InitMaterializedSRF(fcinfo, 0);
	run.result = (ReturnSetInfo *) fcinfo->resultinfo;
	verify(fcinfo, &run);
	return (Datum) 0;
}

/*
 * The summary
 */

/* Rounded down, so that 100 stands for all and nothing else. */
static char *
percentage(int64 differing, int64 checked)
{
	double		percent = 100.0 * (checked - differing) / checked;
	int			digits = 2;

	if (differing == 0)
		return "100 %";
	while (digits < 10 && percent > 100 - pow(10, -digits))
		digits++;
	return psprintf("%.*f %%", digits,
					floor(percent * pow(10, digits)) / pow(10, digits));
}

Datum
wtcache_verify_summary(PG_FUNCTION_ARGS)
{
	WtcVerify	run = {0};
	TupleDesc	desc;
	Datum		values[11];
	bool		nulls[11] = {0};
	int			col = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	verify(fcinfo, &run);

	values[col++] = Int64GetDatum(run.checked);
	values[col++] = Int64GetDatum(run.differing);
	for (int i = 0; i < WTC_DIFF_COUNT; i++)
		values[col++] = Int64GetDatum(run.found[i]);
	values[col++] = Int64GetDatum(run.repaired);
	nulls[col] = nulls[col + 1] = run.checked == 0;
	if (run.checked > 0)
	{
		values[col] = CStringGetTextDatum(percentage(run.differing,
													 run.checked));
		values[col + 1] = Float8GetDatum(run.differing == 0 ?
										 get_float8_infinity() :
										 -log10((double) run.differing /
												run.checked));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}
