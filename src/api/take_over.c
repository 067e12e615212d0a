/*-------------------------------------------------------------------------
 *
 * take_over.c
 *	  wtcache.take_over(): writing to a Redis that another server has taken.
 *
 * May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "shared/rounds.h"
#include "shared/state.h"

PG_FUNCTION_INFO_V1(wtcache_take_over);

Datum
wtcache_take_over(PG_FUNCTION_ARGS)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("wtcache.take_over() cannot be executed during recovery: only the primary server pushes.")));
	if (wtc_worker_state() != WTC_WORKER_SUPERSEDED)
		PG_RETURN_BOOL(false);
	wtc_take_over_ask();
	PG_RETURN_BOOL(true);
}
