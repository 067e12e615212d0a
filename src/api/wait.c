/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  wtcache.wait(): waiting until Redis holds what has been committed.
 *
 * May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "read/wait.h"
#include "redis/conn.h"
#include "sql.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(wtcache_wait);

Datum
wtcache_wait(PG_FUNCTION_ARGS)
{
	int64		timeout = wtc_timeout_us(PG_GETARG_INTERVAL_P(0));

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("wtcache.wait() cannot be executed during recovery: only the primary server pushes.")));

	PG_RETURN_BOOL(wtc_wait_until_pushed(wtc_clock_us() + timeout));
}
