/*-------------------------------------------------------------------------
 *
 * twophase.c
 *	  Noticing the commands that prepare transactions and end those that are.
 *
 * No callback tells of a prepared transaction's commit, only the command
 * itself does.  The messages of the transaction are with the worker; the
 * session waits for it, but not in this hook: the command still has a
 * transaction around it, which ends at once, and whose end is the right place
 * to wait for Redis, see xact.c.  There the prepared transaction's locks are
 * gone, this one holds no snapshot and no lock, statement_timeout is off, and
 * a cancel cannot make a committed transaction look like a failure.
 *
 * Counting needs the gid, which no callback tells either: of a transaction about
 * to be prepared, and of one that has been committed or rolled back.  What has
 * been prepared without the command (by logical replication's apply) is not
 * counted.  Nothing here raises an error once the command has been executed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "shared/stats.h"
#include "txn/twophase.h"
#include "txn/xact.h"
#include "utility.h"
#include "utils/timestamp.h"

static ProcessUtility_hook_type prev_utility = NULL;

/* what the next transaction to be prepared is called; "": not known */
static char preparing[GIDSIZE];

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

static void
count_committed(const char *gid)
{
	WtcPrepared kept;
	TimestampTz now = GetCurrentTimestamp();

	if (!wtc_prepared_take(gid, &kept))
		return;
	for (int i = 0; i < kept.ntables; i++)
		wtc_table_note(kept.tables[i].relid, kept.tables[i].n, now);
	wtc_count(WTC_UNLISTED, kept.unlisted);
}

static void
count_rolled_back(const char *gid)
{
	WtcPrepared kept;

	if (!wtc_prepared_take(gid, &kept))
		return;
	wtc_count(WTC_ROLLBACKS, 1);
	wtc_count(WTC_DISCARDED, kept.operations);
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *qc)
{
	TransactionStmt *stmt = IsA(pstmt->utilityStmt, TransactionStmt) ?
	(TransactionStmt *) pstmt->utilityStmt : NULL;
	TransactionStmtKind kind = stmt == NULL ? TRANS_STMT_BEGIN : stmt->kind;

	if (kind == TRANS_STMT_PREPARE)
		strlcpy(preparing, stmt->gid, sizeof(preparing));
	wtc_pass_on(prev_utility, pstmt, query_string, read_only_tree, context,
				params, query_env, dest, qc);
	if (kind == TRANS_STMT_COMMIT_PREPARED)
	{
		count_committed(stmt->gid);
		wtc_xact_resolved();
	}
	else if (kind == TRANS_STMT_ROLLBACK_PREPARED)
		count_rolled_back(stmt->gid);
}

void
wtc_twophase_init(void)
{
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
