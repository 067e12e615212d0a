/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  The conditions of attachments: from text to expression and back.
 *
 * A condition is kept as PostgreSQL keeps a CHECK: as an expression tree whose
 * names were resolved once.  The tree is the WHEN clause of a trigger, because
 * there pg_dump writes it, its dependencies are recorded, renamings need not be
 * followed, and partitions get a copy for their own columns.  The capture
 * trigger itself cannot have it: it has to see rows that leave the condition,
 * and the WHEN clause of a trigger for INSERT and DELETE may name no row at all.
 * So there is a second trigger, on DELETE, whose clause is
 *
 *	  CASE WHEN false THEN condition END
 *
 * The planner reduces that to NULL before it looks at the condition.  So the
 * trigger never fires, in whatever mode it is enabled, and runs nothing.
 * Expressions that are fields of the image follow, each as
 *
 *	  WHEN false THEN expression IS NULL
 *
 * with NULL as condition where there is none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "capture/condition.h"
#include "capture/settings.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

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
parse_condition_text(Relation rel, const char *condition, const char *query,
					 bool boolean)
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
	if (boolean)
		expr = coerce_to_boolean(pstate, expr, "wtcache condition");
	else if (exprType(expr) == UNKNOWNOID)
		expr = coerce_type(pstate, expr, UNKNOWNOID, TEXTOID, -1,
						   COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
	assign_expr_collations(pstate, expr);
	free_parsestate(pstate);
	return expr;
}

static Node *
parse(Relation rel, const char *condition, bool boolean)
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
	expr = parse_condition_text(rel, condition, query, boolean);
	error_context_stack = callback.previous;
	return expr;
}

/* The row that it names is the one to be cached. */
void
wtc_condition_check_columns(Relation rel, Node *expr)
{
	List	   *vars = pull_var_clause(expr, PVC_RECURSE_AGGREGATES |
									   PVC_RECURSE_WINDOWFUNCS |
									   PVC_RECURSE_PLACEHOLDERS);
	ListCell   *lc;

	foreach(lc, vars)
	{
		if (lfirst_node(Var, lc)->varattno <= 0 ||
			lfirst_node(Var, lc)->varno != PRS2_OLD_VARNO)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("a wtcache condition can only use columns of the table")));
		if (wtc_is_virtual(TupleDescAttr(RelationGetDescr(rel),
										 lfirst_node(Var, lc)->varattno - 1)->attgenerated))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a wtcache condition cannot use virtual generated columns")));
	}
}

static void
check_immutable(Node *expr)
{
	if (expr != NULL && contain_mutable_functions(wtc_condition_plan(expr)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in a wtcache condition must be marked IMMUTABLE"),
				 errdetail("The cache follows changes of rows, not changes of what a function returns.")));
}

Node *
wtc_condition_parse(Relation rel, const char *condition)
{
	Node	   *expr = parse(rel, condition, true);
	ListCell   *lc;

	wtc_condition_check_columns(rel, expr);
	check_immutable(wtc_kept_condition(expr));
	foreach(lc, wtc_kept_expressions(expr))
		check_immutable(lfirst(lc));
	return expr;
}

Node *
wtc_expression_parse(Relation rel, const char *text)
{
	Node	   *expr = parse(rel, text, false);

	wtc_condition_check_columns(rel, expr);
	check_immutable(expr);
	return expr;
}

static CaseWhen *
make_when(Node *result)
{
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = (Expr *) makeBoolConst(false, false);
	when->result = (Expr *) result;
	return when;
}

Node *
wtc_kept(Node *condition, List *expressions)
{
	CaseExpr   *choice = makeNode(CaseExpr);
	ListCell   *lc;

	if (expressions == NIL)
		return condition;
	if (condition == NULL)
		condition = (Node *) makeNullConst(BOOLOID, -1, InvalidOid);
	choice->casetype = BOOLOID;
	choice->args = list_make1(make_when(condition));
	choice->defresult = (Expr *) makeNullConst(BOOLOID, -1, InvalidOid);
	foreach(lc, expressions)
	{
		NullTest   *test = makeNode(NullTest);

		test->arg = lfirst(lc);
		test->nulltesttype = IS_NULL;
		test->argisrow = type_is_rowtype(exprType(lfirst(lc)));
		choice->args = lappend(choice->args, make_when((Node *) test));
	}
	return (Node *) choice;
}

List *
wtc_kept_expressions(Node *kept)
{
	CaseExpr   *choice = (CaseExpr *) kept;
	List	   *result = NIL;

	if (kept == NULL || !IsA(kept, CaseExpr) || choice->arg != NULL)
		return NIL;
	for (int i = 0; i < list_length(choice->args); i++)
	{
		CaseWhen   *when = list_nth_node(CaseWhen, choice->args, i);

		if (!IsA(when->expr, Const) || ((Const *) when->expr)->constisnull ||
			DatumGetBool(((Const *) when->expr)->constvalue) ||
			(i > 0 && !IsA(when->result, NullTest)))
			return NIL;
		if (i > 0)
			result = lappend(result, ((NullTest *) when->result)->arg);
	}
	return result;
}

Node *
wtc_kept_condition(Node *kept)
{
	Node	   *condition;

	if (wtc_kept_expressions(kept) == NIL)
		return kept;
	condition = (Node *) linitial_node(CaseWhen, ((CaseExpr *) kept)->args)->result;
	return IsA(condition, Const) && ((Const *) condition)->constisnull ?
		NULL : condition;
}

/*
 * What variables are called.  Not by deparse_context_for(), which opens the table:
 * the text is for views as well, which must not wait for it.
 */
static List *
deparse_names(Oid relid, const char *row)
{
	TupleDesc	desc = wtc_catalog_columns(relid);
	PlannedStmt *stmt = makeNode(PlannedStmt);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List	   *columns = NIL;

	if (desc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		/* no name says that it is dropped */
		columns = lappend(columns,
						  makeString(attr->attisdropped ? "" :
									 NameStr(attr->attname)));
	}
	/* of the kinds that have columns, one that is not looked up */
	rte->rtekind = RTE_VALUES;
	rte->eref = makeAlias(row, columns);
	stmt->rtable = list_make1(rte);
	return deparse_context_for_plan_tree(stmt, list_make1(pstrdup(row)));
}

/* With the names of columns as they are, or behind the name of the row. */
static char *
deparse(Oid relid, Node *expr, const char *row)
{
	List	   *names = deparse_names(relid, row ? row : "row");
	WtcPinned	pinned;
	char	   *volatile text = NULL;

	/* with this search_path every name outside pg_catalog is qualified */
	wtc_pin_settings(&pinned, true);
	PG_TRY();
	{
		text = deparse_expression(expr, names, row != NULL, false);
	}
	PG_FINALLY();
	{
		wtc_unpin_settings(&pinned);
	}
	PG_END_TRY();
	return text;
}

char *
wtc_condition_text(Oid relid, Node *expr)
{
	return deparse(relid, expr, NULL);
}

char *
wtc_condition_clause(Oid relid, Node *expr)
{
	return psprintf(wtc_kept_expressions(expr) == NIL ?
					"CASE WHEN false THEN %s END" : "%s",
					deparse(relid, expr, "old"));
}

/* The condition in such a clause; one made by hand may do without CASE. */
static Node *
condition_in(Node *clause)
{
	CaseExpr   *choice = (CaseExpr *) clause;
	CaseWhen   *first;

	if (!IsA(clause, CaseExpr) || choice->arg != NULL ||
		wtc_kept_expressions(clause) != NIL)
		return clause;
	first = linitial_node(CaseWhen, choice->args);
	if (!IsA(first->expr, Const) || ((Const *) first->expr)->constisnull ||
		DatumGetBool(((Const *) first->expr)->constvalue))
		return clause;
	return (Node *) first->result;
}

Node *
wtc_condition_of(const Trigger *trigger)
{
	if (trigger == NULL || trigger->tgqual == NULL)
		return NULL;
	return condition_in(stringToNode(trigger->tgqual));
}

Node *
wtc_condition_stored(Relation rel)
{
	return wtc_condition_of(wtc_condition_trigger(rel));
}

bool
wtc_condition_uses(Relation rel, AttrNumber attno)
{
	Node	   *expr = wtc_condition_stored(rel);
	Bitmapset  *columns = NULL;

	if (expr == NULL)
		return false;
	pull_varattnos(expr, PRS2_OLD_VARNO, &columns);
	return bms_is_member(attno - FirstLowInvalidHeapAttributeNumber, columns);
}

/*
 * Whose code it runs
 */

static bool
is_foreign_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/*
 * A type's functions may be called by those of the server: to compare arrays and
 * rows, or to check a domain.
 */
static bool
is_foreign_type(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		type = element;
	return type >= FirstNormalObjectId && get_typtype(type) != TYPTYPE_ENUM;
}

static bool
is_foreign(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_foreign_function, context))
		return true;
	if (!IsA(node, List) && is_foreign_type(exprType(node)))
		return true;
	return expression_tree_walker(node, is_foreign, context);
}

/*
 * An immutable function of the server computes and does nothing else.  Others may
 * run what their arguments say (query_to_xml()), read files or write them; and a
 * condition that was made by hand may call them.
 */
bool
wtc_condition_is_foreign(Node *expr)
{
	return contain_mutable_functions(expr) || is_foreign(expr, NULL);
}

typedef struct Denial
{
	Oid			user;
	Oid			function;		/* that the user may not execute */
} Denial;

static bool
is_denied_function(Oid function, void *context)
{
	Denial	   *denial = context;

	if (wtc_may_execute(function, denial->user))
		return false;
	denial->function = function;
	return true;
}

static bool is_denied(Node *node, void *context);

static bool
is_denied_domain(Oid type, void *context)
{
	DomainConstraintRef *ref = palloc0(sizeof(DomainConstraintRef));
	ListCell   *lc;

	InitDomainConstraintRef(type, ref, CurrentMemoryContext, false);
	foreach(lc, ref->constraints)
	{
		if (is_denied((Node *) lfirst_node(DomainConstraintState, lc)->check_expr,
					  context))
			return true;
	}
	return false;
}

static bool
is_denied(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain) &&
		is_denied_domain(((CoerceToDomain *) node)->resulttype, context))
		return true;
	return check_functions_in_node(node, is_denied_function, context) ||
		expression_tree_walker(node, is_denied, context);
}

Oid
wtc_condition_denied(Node *expr, Oid user)
{
	Denial		denial = {.user = user};

	(void) is_denied(expr, &denial);
	return denial.function;
}

Node *
wtc_condition_plan(Node *expr)
{
	return (Node *) expression_planner(copyObject((Expr *) expr));
}
