/*-------------------------------------------------------------------------
 *
 * twophase.c
 *	  Noticing COMMIT PREPARED, so that who runs it reads its own write.
 *
 * No callback tells of a prepared transaction's commit, only the command
 * itself does.  The messages of the transaction are with the worker; the
 * session waits for it, but not in this hook: the command still has a
 * transaction around it, which ends at once, and whose end is the right place
 * to wait for Redis, see xact.c.  There the prepared transaction's locks are
 * gone, this one holds no snapshot and no lock, statement_timeout is off, and
 * a cancel cannot make a committed transaction look like a failure.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "txn/twophase.h"
#include "txn/xact.h"
#include "utility.h"

static ProcessUtility_hook_type prev_utility = NULL;

static void
process_utility(PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	bool		commits_prepared = IsA(stmt, TransactionStmt) &&
	((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED;

	wtc_pass_on(prev_utility, pstmt, query_string, read_only_tree, context,
				params, query_env, dest, qc);
	if (commits_prepared)
		wtc_xact_resolved();
}

void
wtc_twophase_init(void)
{
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
