/*-------------------------------------------------------------------------
 *
 * twophase.c
 *	  Counting what prepared transactions do.
 *
 * No callback tells the gid of a transaction about to be prepared, nor that a
 * prepared one has been committed or rolled back: only the command itself does.
 * So the utility hook (schema/ddl.c) calls here before and after it.  What has
 * been prepared without the command (by logical replication's apply) is not
 * counted.  Nothing here raises an error once the command has been executed.
 *
 * The messages of a prepared transaction are with the worker, and the session
 * that runs COMMIT PREPARED waits for it, but not in the hook: the command still
 * has a transaction around it, which ends at once, and whose end is the right
 * place to wait for Redis, see xact.c.  There the prepared transaction's locks
 * are gone, this one holds no snapshot and no lock, statement_timeout is off,
 * and a cancel cannot make a committed transaction look like a failure.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "shared/stats.h"
#include "txn/twophase.h"
#include "utils/timestamp.h"

/* what the next transaction to be prepared is called; "": not known */
static char preparing[GIDSIZE];

void
wtc_twophase_preparing(const char *gid)
{
	strlcpy(preparing, gid, sizeof(preparing));
}

void
wtc_twophase_prepared(WtcTally *tally, uint64 operations)
{
	WtcPrepared kept;

	if (preparing[0] == '\0')
		return;
	strlcpy(kept.gid, preparing, sizeof(kept.gid));
	preparing[0] = '\0';
	kept.operations = operations;
	wtc_tally_list(tally, &kept);
	if (!wtc_prepared_keep(&kept))
		wtc_count(WTC_UNLISTED, operations);
}

void
wtc_twophase_committed(const char *gid)
{
	WtcPrepared kept;
	TimestampTz now = GetCurrentTimestamp();

	if (!wtc_prepared_take(gid, &kept))
		return;
	for (int i = 0; i < kept.ntables; i++)
		wtc_table_note(kept.tables[i].relid, kept.tables[i].n, now);
	wtc_count(WTC_UNLISTED, kept.unlisted);
}

void
wtc_twophase_rolled_back(const char *gid)
{
	WtcPrepared kept;

	if (!wtc_prepared_take(gid, &kept))
		return;
	wtc_count(WTC_ROLLBACKS, 1);
	wtc_count(WTC_DISCARDED, kept.operations);
}
