/*-------------------------------------------------------------------------
 *
 * acknowledge.c
 *	  wtcache.acknowledge(): that the cache was emptied is known.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "shared/state.h"

PG_FUNCTION_INFO_V1(wtcache_acknowledge);

Datum
wtcache_acknowledge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(wtc_cold_acknowledge());
}
