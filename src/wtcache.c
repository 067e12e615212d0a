/*-------------------------------------------------------------------------
 *
 * wtcache.c
 *	  The entrance, the map of the house, and its vocabulary.
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
 *	document/	Documents, which several tables make: what a change of a row
 *				touches, and building them at the end of the transaction.  May
 *				raise errors.
 *	txn/		Collects the operations of a transaction, apart for each
 *				savepoint, and hooks into its commit: xact.c says when what
 *				happens.  May raise errors until COMMIT.
 *	push/		The operations as one batch, and the batch as requests to
 *				Redis, sent by a deadline.  The push itself stands on the far
 *				side of the commit record and never raises an error.
 *	read/		Reading Redis on behalf of SQL.  May raise errors.
 *	redis/		URL, connection, protocol, scripts.  Returns a status; knows
 *				nothing of PostgreSQL.
 *	shared/		Shared memory.  Each file has a part of it, which only its own
 *				functions reach: slots of processes, what is left to the
 *				worker, what the worker says, circuit breaker, statistics.
 *	worker/		The background worker: pushes from WAL what backends could not or
 *				did not, and notes how far everything is in Redis.
 *	bulk/		Many rows at once: warm, verify, clear.  May raise errors.
 *	api/		The other SQL functions.
 *
 * Directly in src/ is what all of them but redis/ may include: the settings
 * (guc.c), what differs between versions of the server (compat.h), intervals and
 * rows of SQL (sql.c), positions in WAL (walpos.h).
 *
 * Includes go one way: api to all; bulk and schema to document to capture to txn to
 * push to redis and shared; bulk and worker to read to push; all to change.  Within a
 * folder no files call each other in a circle, and a header declares what its own
 * .c defines.  "make check-style" checks that.
 *
 * The words that are our own, in the order of a change's way.  Each means one
 * thing.  Where a file is named, the rules are there.
 *
 *	attachment	How a table is mirrored: the arguments of its capture trigger.
 *				A table that has such a trigger is attached.
 *	template	A text with {column} placeholders, of which each row makes a
 *				key or a tag.
 *	image		What the cache holds of a row: JSON text, or the fields of a
 *				hash.
 *	tag			A name that keys are put under, so that all of them can be
 *				deleted at once, without knowing them: to invalidate the tag.
 *	left tag	A tag that the key was under before the operation and is not
 *				after it; the key is taken out of the tag's set.
 *	document	What a query makes of a row, its root, and of rows of other tables,
 *				its parts (document/document.h).  To touch a document: to change a
 *				row that is in it.
 *	operation	What is to be done to one key or tag: store or delete the key,
 *				or invalidate the tag.
 *	pending		Operations of the transaction that runs, at most one for each
 *				key and tag (txn/pending.c).
 *	batch		Operations of one transaction, as bytes (change/batch.h).
 *	message		A batch in WAL, with what authenticates it (change/message.h).
 *	to spill	To write the pending operations to WAL while the transaction
 *				still runs, because they need more than wtcache.batch_memory.
 *	version		Of an operation: the end of its message.  Of two operations on
 *				a key, the one of the higher version is the newer.
 *	place of the commit
 *				The end of the transaction's commit record.  Invalidations are
 *				ordered by it, and not by versions: see worker/order.h.
 *	slot		What one process has in shared memory, written by no other one
 *				(shared/slots.h).  In worker/slot.h: the replication slot
 *				"wtcache".
 *	in-flight mark
 *				In a slot: the position at or after which the process has a
 *				batch whose push is not settled.
 *	push		Bringing operations to Redis after their commit.  It is
 *				settled when it has been done, or has been left to the worker.
 *	chunk		As many operations as go to Redis in one request
 *				(push/chunk.h).
 *	token		The value of wtcache:token in Redis: which server lifetime may
 *				write.  A request takes effect only while the token is the one
 *				that it was sent under (push/token.h).
 *	reader's token
 *				What wtcache.token() returns: a position in WAL that standbys and
 *				Redis can be held against (api/reached.c).  Nothing to do with the
 *				token.
 *	closed, open
 *				Redis is open while shared memory has a token; while it is
 *				closed, backends push nothing.  (Of the circuit breaker,
 *				closed is the normal state.)
 *	in doubt	A request that was sent, and may or may not have been
 *				executed, or may yet be.  It closes Redis until there is
 *				another token.
 *	superseded	This server, once another one has set its token: it stands
 *				back, and writes to Redis no more.
 *	mark		Of a key, in the version table: a process has the key under
 *				way, and no other one may send anything for it
 *				(push/versions.h).
 *	overtaken	An operation when a higher version of its key has been sent.
 *	floor		Of a bucket of the version table: for a key that is not found
 *				there, versions up to the floor may have been sent.
 *	unsure		An operation that may have been overtaken: the table does not
 *				know its key any more, or one of its tags.
 *	hold		An invalidation that has been pushed keeps the watermark
 *				before its message until all that was committed earlier is
 *				settled (shared/holds.h).
 *	outbox		WAL, for what backends have left to the worker
 *				(shared/outbox.h).
 *	replay		Pushing from WAL what backends have not pushed; done in
 *				rounds.
 *	round		One pass of the replay: WAL is read up to its end, and of each
 *				key the last operation is pushed (worker/round.h).
 *	dead		A batch whose transaction was rolled back, or that is of no
 *				use since the cache was emptied.  A dead member of a tag's
 *				set: a key that has expired.
 *	parked		A batch whose transaction was in progress, or prepared, when a
 *				round read it: it is looked at again (worker/parked.h).
 *	carried		A parked batch that has been written to WAL again, further on,
 *				so that WAL before it can go.
 *	watermark	Every batch whose message starts before it is in Redis, or
 *				dead.
 *	position in Redis
 *				The watermark as it was last stored there, with its server and
 *				timeline (worker/position.h).  A replay begins there.
 *	gap			WAL that is to be replayed is gone, or cannot be read.
 *	cold		What becomes of the cache when it is not known which of its
 *				content is wrong, after a gap for one: it is emptied
 *				(WtcColdReason).
 *	journal		A list in Redis of what was stored lately, for the promotion
 *				of a standby (worker/journal.h).
 *	sweep		Deleting what, by the journal, transactions have stored that
 *				the promoted server does not have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "guc.h"
#include "change/key.h"
#include "document/build.h"
#include "miscadmin.h"
#include "push/prune.h"
#include "push/token.h"
#include "push/versions.h"
#include "schema/ddl.h"
#include "shared/breaker.h"
#include "shared/debug.h"
#include "shared/failures.h"
#include "shared/filled.h"
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
				 errhint("Add wtcache to \"shared_preload_libraries\" in postgresql.conf and restart the server.  To do without it, DROP EXTENSION wtcache CASCADE, and SELECT pg_drop_replication_slot('wtcache'), which keeps WAL.")));

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
	wtc_documents_init();
	wtc_ddl_init();
	wtc_worker_register();
}
