/*-------------------------------------------------------------------------
 *
 * acknowledge.c
 *	  wtcache.acknowledge(): that the cache was emptied is known.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "shared/shmem.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(wtcache_acknowledge);

Datum
wtcache_acknowledge(PG_FUNCTION_ARGS)
{
	uint64		cold_at = pg_atomic_read_u64(&wtc_shared->cold_at);
	uint64		before = pg_atomic_exchange_u64(&wtc_shared->cold_known,
												cold_at);

	PG_RETURN_BOOL(cold_at != 0 && before != cold_at);
}
