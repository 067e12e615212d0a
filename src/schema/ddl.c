/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  The hooks by which changes of the schema are followed.
 *
 * Changes of the schema fire no row triggers, but no image of a shape that rows
 * no longer have, or of a row that is no longer in the table, may stay in the
 * cache.  So the keys of all rows of the table are deleted, as by TRUNCATE: by a
 * scan, which has to come before the change, since keys are made from the old
 * shape.  They are pending operations like any other: ROLLBACK undoes them.  Two
 * hooks see what is about to happen:
 *
 * - The utility hook sees a statement before the server runs it.  It takes
 *	 the lock that the statement will take, in the way in which the statement
 *	 will take it, which checks the same permission.  It also looks afterwards
 *	 whether what has become of the table can still be cached.  It is our only
 *	 utility hook, so it also tells txn/ of commands about prepared
 *	 transactions, which no callback does.
 *
 * - The object access hook sees what is about to be dropped, whatever the
 *	 reason (see drop.c).
 *
 * By both ways the server holds (or is about to take) a lock on the table
 * that keeps writers away until the transaction ends; the next writer sees the
 * new shape.  Changes of a type take no lock on the tables that have columns of
 * it, so we do.
 *
 * All of this is before the commit record and may raise errors, but for what
 * run_statement() does after COMMIT PREPARED.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "capture/attached.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "schema/alter.h"
#include "schema/ddl.h"
#include "schema/drop.h"
#include "schema/firing.h"
#include "schema/statement.h"
#include "tcop/utility.h"
#include "txn/prefix.h"
#include "txn/twophase.h"
#include "txn/xact.h"
#include "utils/lsyscache.h"

static ProcessUtility_hook_type prev_utility = NULL;
static object_access_hook_type prev_object_access = NULL;

/* Does a database lose the extension by this drop? */
static bool
takes_wtcache(Oid class, Oid object)
{
	if (class == DatabaseRelationId)
		return wtc_prefix_claimed(object);
	return class == ExtensionRelationId &&
		object == get_extension_oid("wtcache", true);
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub,
			  void *arg)
{
	WtcStatement *st = wtc_statement_current();

	if (prev_object_access)
		prev_object_access(access, class, object, sub, arg);
	if (access == OAT_POST_CREATE && class == TriggerRelationId &&
		OidIsValid(wtc_capture_function()))
		wtc_trigger_created(object, st != NULL && st->own);
	if (access == OAT_DROP && takes_wtcache(class, object))
		wtc_xact_leaves();
	if (access != OAT_DROP || (st != NULL && st->own) ||
		(class != TriggerRelationId && class != RelationRelationId &&
		 class != CastRelationId) ||
		!OidIsValid(wtc_capture_function()))
		return;

	wtc_dropping(class, object, sub);
}

/*
 * The statements
 */

static bool
is_followed(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
		case T_RenameStmt:
		case T_AlterEnumStmt:
		case T_AlterObjectSchemaStmt:
		case T_CreateStmt:
		case T_CreateCastStmt:
		case T_CreateForeignTableStmt:
		case T_CreateSchemaStmt:
		case T_CreateTrigStmt:
		case T_DropStmt:
		case T_DropOwnedStmt:
		case T_ViewStmt:
			return !XactReadOnly && !RecoveryInProgress() &&
				OidIsValid(wtc_capture_function());
		default:
			return false;
	}
}

static void
report(const WtcStatement *st, Node *stmt)
{
	bool		drops = IsA(stmt, DropOwnedStmt) || (IsA(stmt, DropStmt) &&
													 ((DropStmt *) stmt)->removeType != OBJECT_TRIGGER);
	char	   *name;

	if (st->rows == 0)
		return;
	/* that rows of dropped tables leave the cache is expected */
	name = st->tables ? NULL : get_rel_name(st->table);
	ereport(drops ? DEBUG1 : NOTICE,
			(name == NULL ?
			 errmsg("the keys of %llu rows of several tables are deleted from the cache",
					(unsigned long long) st->rows) :
			 errmsg_plural("the key of %llu row of \"%s\" is deleted from the cache",
						   "the keys of %llu rows of \"%s\" are deleted from the cache",
						   st->rows, (unsigned long long) st->rows, name)));
}

/*
 * Runs a statement, as if there were no hook of ours but for the commands about
 * prepared transactions.  Those come here in any database, and COMMIT PREPARED
 * has committed when it is over: no catalog may be looked at, and nothing after
 * the statement may raise an error.
 */
static void
run_statement(PlannedStmt *pstmt, const char *query_string,
			  bool read_only_tree, ProcessUtilityContext context,
			  ParamListInfo params, QueryEnvironment *query_env,
			  DestReceiver *dest, QueryCompletion *qc)
{
	TransactionStmt *stmt = IsA(pstmt->utilityStmt, TransactionStmt) ?
	(TransactionStmt *) pstmt->utilityStmt : NULL;
	TransactionStmtKind kind = stmt == NULL ? TRANS_STMT_BEGIN : stmt->kind;

	if (kind == TRANS_STMT_PREPARE)
		wtc_twophase_preparing(stmt->gid);
	(prev_utility ? prev_utility : standard_ProcessUtility)
		(pstmt, query_string, read_only_tree, context, params, query_env,
		 dest, qc);
	if (kind == TRANS_STMT_COMMIT_PREPARED)
	{
		wtc_twophase_committed(stmt->gid);
		wtc_xact_resolved();
	}
	else if (kind == TRANS_STMT_ROLLBACK_PREPARED)
		wtc_twophase_rolled_back(stmt->gid);
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *stmt = pstmt->utilityStmt;
	bool		own = wtc_ddl_own;
	WtcStatement st = {.own = own,.adds_partitions = !own};

	if (IsA(stmt, AlterDatabaseSetStmt))
		wtc_check_prefix_setting((AlterDatabaseSetStmt *) stmt);
	if (!own && !is_followed(stmt))
	{
		run_statement(pstmt, query_string, read_only_tree, context,
					  params, query_env, dest, qc);
		if (IsA(stmt, AlterDatabaseSetStmt) || IsA(stmt, DropdbStmt))
			wtc_prefixes_changed();
		return;
	}

	/* what it runs in its turn, as event triggers do, is not ours */
	wtc_ddl_own = false;
	wtc_statement_begin(&st);
	PG_TRY();
	{
		if (!own)
			wtc_before_statement(&st, stmt);
		run_statement(pstmt, query_string, read_only_tree, context,
					  params, query_env, dest, qc);
		if (!own)
		{
			CommandCounterIncrement();
			wtc_after_statement(&st, stmt);
			wtc_check_dropped(&st);
			report(&st, stmt);
		}
	}
	PG_FINALLY();
	{
		wtc_statement_end(&st);
		wtc_ddl_own = own;
	}
	PG_END_TRY();
}

bool
wtc_ddl_adds_partitions(void)
{
	const WtcStatement *st = wtc_statement_current();

	return st == NULL || st->adds_partitions;
}

void
wtc_ddl_init(void)
{
	prev_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}
