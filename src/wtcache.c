/*-------------------------------------------------------------------------
 *
 * wtcache.c
 *	  The entrance, and the map of the house.
 *
 * wtcache keeps Redis in step with tables.  The way of a change:
 *
 *	change/		A change as bytes: operations, batches, the message in WAL and the
 *				key that authenticates it, and merging two changes of one cache
 *				key.  Includes no other folder.
 *	capture/	Triggers turn changed rows into operations: the key, the image,
 *				the tags.  Runs in the statement; may raise errors.
 *	schema/		Follows changes of the schema: ddl.c has the hooks.  May raise
 *				errors.
 *	txn/		Collects the operations of a transaction, apart for each
 *				savepoint, and hooks into its commit: xact.c says when what
 *				happens.  May raise errors until COMMIT.
 *	push/		The operations as one batch, and the batch as requests to
 *				Redis, sent by a deadline.  The push itself stands on the far
 *				side of the commit record and never raises an error.
 *	read/		Reading Redis on behalf of SQL.  May raise errors.
 *	redis/		URL, connection, protocol, scripts.  Returns a status; knows
 *				nothing of PostgreSQL.
 *	shared/		Shared memory: each file has a part of it, which only its functions
 *				reach: slots of processes, what is left to the worker, what
 *				the worker says, circuit breaker, statistics.
 *	worker/		The background worker: pushes from WAL what backends could not or
 *				did not, and notes how far everything is in Redis.
 *	bulk/		Many rows at once: warm, verify, clear.  May raise errors.
 *	api/		The other SQL functions.
 *
 * Directly in src/ is what all of them but redis/ may include: the settings
 * (guc.c), what differs between versions of the server (compat.h), intervals and
 * rows of SQL (sql.c), positions in WAL (walpos.h).
 *
 * Includes go one way: api to all; bulk and schema to capture to txn to push to
 * redis and shared; bulk and worker to read to push; all to change.  Within a
 * folder no files call each other in a circle, and a header declares what its own
 * .c defines.  "make check-style" checks that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "guc.h"
#include "change/key.h"
#include "miscadmin.h"
#include "push/prune.h"
#include "push/token.h"
#include "push/versions.h"
#include "schema/ddl.h"
#include "shared/breaker.h"
#include "shared/debug.h"
#include "shared/holds.h"
#include "shared/outbox.h"
#include "shared/prepared.h"
#include "shared/rejected.h"
#include "shared/rounds.h"
#include "shared/shmem.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "shared/stats.h"
#include "shared/wake.h"
#include "txn/xact.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("wtcache must be loaded via \"shared_preload_libraries\""),
				 errhint("Add wtcache to \"shared_preload_libraries\" in postgresql.conf and restart the server.")));

	wtc_guc_init();
	wtc_shmem_init();
	wtc_shmem_add(wtc_slots_size, wtc_slots_attach);
	wtc_shmem_add(wtc_outbox_size, wtc_outbox_attach);
	wtc_shmem_add(wtc_wake_size, wtc_wake_attach);
	wtc_shmem_add(wtc_rounds_size, wtc_rounds_attach);
	wtc_shmem_add(wtc_state_size, wtc_state_attach);
	wtc_shmem_add(wtc_breaker_size, wtc_breaker_attach);
	wtc_shmem_add(wtc_debug_size, wtc_debug_attach);
	wtc_shmem_add(wtc_stats_size, wtc_stats_attach);
	wtc_shmem_add(wtc_prepared_size, wtc_prepared_attach);
	wtc_shmem_add(wtc_holds_size, wtc_holds_attach);
	wtc_shmem_add(wtc_failures_size, wtc_failures_attach);
	wtc_shmem_add(wtc_filled_size, wtc_filled_attach);
	wtc_shmem_add(wtc_rejected_size, wtc_rejected_attach);
	wtc_shmem_add(wtc_key_size, wtc_key_attach);
	wtc_token_init();
	wtc_versions_init();
	wtc_prune_init();
	wtc_xact_init();
	wtc_ddl_init();
	wtc_worker_register();
}
