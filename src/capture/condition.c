/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  The conditions of attachments: from text to expression and back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "capture/attached.h"
#include "capture/condition.h"
#include "capture/settings.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

/* Where an error in a condition stands: in its text, not in the statement. */
typedef struct ConditionContext
{
	Relation	rel;
	const char *query;			/* "SELECT " and the condition */
} ConditionContext;

static void
condition_error(void *arg)
{
	ConditionContext *context = arg;
	int			position = geterrposition();
	int			prefix = strlen("SELECT ");

	if (position > 0)
	{
		errposition(0);
		internalerrposition(Max(position - prefix, 1));
		internalerrquery(context->query + prefix);
	}
	errcontext("wtcache condition of table \"%s\"",
			   RelationGetRelationName(context->rel));
}

Node *
wtc_single_expression(const char *query)
{
	List	   *raw = raw_parser(query, RAW_PARSE_DEFAULT);
	SelectStmt *select;
	Node	   *expr;

	if (list_length(raw) != 1)
		return NULL;
	select = (SelectStmt *) linitial_node(RawStmt, raw)->stmt;
	if (!IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
		select->fromClause != NIL || select->whereClause != NULL ||
		select->groupClause != NIL || select->havingClause != NULL ||
		select->sortClause != NIL || select->limitCount != NULL ||
		select->limitOffset != NULL || select->withClause != NULL ||
		select->lockingClause != NIL || select->op != SETOP_NONE ||
		select->distinctClause != NIL || select->windowClause != NIL ||
		select->intoClause != NULL)
		return NULL;
	expr = linitial_node(ResTarget, select->targetList)->val;
	if (IsA(expr, ColumnRef) &&
		IsA(llast(((ColumnRef *) expr)->fields), A_Star))
		return NULL;
	return expr;
}

/* Parses the text of a condition into a boolean expression over the row. */
static Node *
parse_condition_text(Relation rel, const char *condition, const char *query)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;
	Node	   *expr = wtc_single_expression(query);

	if (expr == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a wtcache condition must be a single expression"),
				 errdetail("The condition is \"%s\".", condition)));

	nsitem = addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
										   NULL, false, true);
	addNSItemToQuery(pstate, nsitem, true, true, true);
	/* neither subqueries nor aggregates nor window functions */
	expr = transformExpr(pstate, expr, EXPR_KIND_TRIGGER_WHEN);
	expr = coerce_to_boolean(pstate, expr, "wtcache condition");
	assign_expr_collations(pstate, expr);
	free_parsestate(pstate);
	return expr;
}

static Node *
parse_condition(Relation rel, const char *condition)
{
	char	   *query = psprintf("SELECT %s", condition);
	ConditionContext context = {.rel = rel,.query = query};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = condition_error,
		.arg = &context
	};
	Node	   *expr;

	error_context_stack = &callback;
	expr = parse_condition_text(rel, condition, query);
	error_context_stack = callback.previous;
	return expr;
}

char *
wtc_condition_canonical(Relation rel, const char *condition)
{
	Node	   *expr = parse_condition(rel, condition);
	List	   *vars = pull_var_clause(expr, PVC_RECURSE_AGGREGATES |
									   PVC_RECURSE_WINDOWFUNCS |
									   PVC_RECURSE_PLACEHOLDERS);
	ListCell   *lc;

	foreach(lc, vars)
	{
		if (lfirst_node(Var, lc)->varattno <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("a wtcache condition can only use columns of the table")));
		if (wtc_is_virtual(TupleDescAttr(RelationGetDescr(rel),
										 lfirst_node(Var, lc)->varattno - 1)->attgenerated))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a wtcache condition cannot use virtual generated columns")));
	}
	if (contain_mutable_functions((Node *)
								  expression_planner(copyObject((Expr *) expr))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in a wtcache condition must be marked IMMUTABLE"),
				 errdetail("The cache follows changes of rows, not changes of what a function returns.")));

	return wtc_condition_deparse(rel, expr);
}

char *
wtc_condition_deparse(Relation rel, Node *expr)
{
	List	   *context;
	WtcPinned	pinned;
	char	   *volatile text = NULL;

	/* with this search_path every name outside pg_catalog is qualified */
	wtc_pin_settings(&pinned, true);
	PG_TRY();
	{
		context = deparse_context_for(RelationGetRelationName(rel),
									  RelationGetRelid(rel));
		text = deparse_expression(expr, context, false, false);
	}
	PG_FINALLY();
	{
		wtc_unpin_settings(&pinned);
	}
	PG_END_TRY();
	return text;
}

/*
 * Stored texts
 *
 * They are read in each session that writes the table or changes the schema of
 * anything, and reading can run code: a constant of a composite type runs the
 * checks of the domains in it, and planning runs functions of constants.  So it
 * is done with the rights of the table's owner, by which the table was attached,
 * and which can see the schemas that the text names.
 */
typedef struct Reader
{
	Oid			user;
	int			context;
	int			guc_level;
	WtcPinned	pinned;
} Reader;

/* Of a partition that shares its parent's attachment, that of the topmost. */
static Oid
attached_by(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	const Trigger *trigger = wtc_attachment_trigger(rel);
	List	   *ancestors = NIL;
	HeapTuple	tuple;
	Oid			owner;

	if (trigger != NULL && trigger->tgisclone && rel->rd_rel->relispartition)
		ancestors = get_partition_ancestors(relid);
	if (ancestors == NIL)
		return rel->rd_rel->relowner;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(llast_oid(ancestors)));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u",
			 llast_oid(ancestors));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
begin_reading(Relation rel, Reader *reader)
{
	Oid			owner = attached_by(rel);

	GetUserIdAndSecContext(&reader->user, &reader->context);
	SetUserIdAndSecContext(owner,
						   reader->context | SECURITY_RESTRICTED_OPERATION);
	reader->guc_level = NewGUCNestLevel();
	/* the text was made canonical with this search_path */
	wtc_pin_settings(&reader->pinned, true);
}

static void
end_reading(const Reader *reader)
{
	wtc_unpin_settings(&reader->pinned);
	AtEOXact_GUC(false, reader->guc_level);
	SetUserIdAndSecContext(reader->user, reader->context);
}

Node *
wtc_condition_parse(Relation rel, const char *condition)
{
	Reader		reader;
	Node	   *volatile expr = NULL;

	begin_reading(rel, &reader);
	PG_TRY();
	{
		expr = parse_condition(rel, condition);
	}
	PG_FINALLY();
	{
		end_reading(&reader);
	}
	PG_END_TRY();
	return expr;
}

void
wtc_condition_check(Relation rel, const char *condition)
{
	Reader		reader;

	begin_reading(rel, &reader);
	PG_TRY();
	{
		(void) wtc_condition_canonical(rel, condition);
	}
	PG_FINALLY();
	{
		end_reading(&reader);
	}
	PG_END_TRY();
}

/* It will be evaluated with the rights of the writer, like a CHECK. */
ExprState *
wtc_condition_prepare(Relation rel, const char *condition)
{
	Node	   *expr = wtc_condition_parse(rel, condition);
	WtcPinned	pinned;
	ExprState  *volatile state = NULL;

	wtc_pin_settings(&pinned, true);
	PG_TRY();
	{
		state = ExecInitExpr(expression_planner((Expr *) expr), NULL);
	}
	PG_FINALLY();
	{
		wtc_unpin_settings(&pinned);
	}
	PG_END_TRY();
	return state;
}
