/*-------------------------------------------------------------------------
 *
 * query.c
 *	  The query of a document: the body of a function.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "capture/attached.h"
#include "capture/settings.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "document/query.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static bool
find_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) &&
		((FuncExpr *) node)->funcid >= FirstNormalObjectId)
	{
		*(Oid *) context = ((FuncExpr *) node)->funcid;
		return true;
	}
	return expression_tree_walker(node, find_function, context);
}

Oid
wtc_document_function_of(const Trigger *trigger)
{
	Oid			function = InvalidOid;

	if (trigger->tgqual != NULL)
		(void) find_function(stringToNode(trigger->tgqual), &function);
	return function;
}

/* The queries of a function of the standard's form; NIL: it is of another. */
static List *
body_of(HeapTuple proc)
{
	bool		isnull;
	Datum		body = SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_prosqlbody,
									   &isnull);
	Node	   *node;

	if (isnull)
		return NIL;
	node = stringToNode(TextDatumGetCString(body));
	return IsA(node, List) ? linitial_node(List, (List *) node) :
		list_make1(node);
}

static const char *
unfit_query(const Query * query)
{
	int			columns = 0;
	Oid			type = InvalidOid;
	ListCell   *lc;

	if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
		return "the query is no SELECT";
	if (query->hasForUpdate || query->rowMarks != NIL)
		return "the query locks rows";
	foreach(lc, query->targetList)
	{
		if (lfirst_node(TargetEntry, lc)->resjunk)
			continue;
		columns++;
		type = exprType((Node *) lfirst_node(TargetEntry, lc)->expr);
	}
	if (columns != 1)
		return "the query does not have one column";
	if (type != JSONBOID && type != JSONOID)
		return "the column of the query is neither of type jsonb nor json";
	if (contain_volatile_functions((Node *) query))
		return "the query calls a volatile function";
	return NULL;
}

static const char *
unfit_function(const WtcDocument *doc, HeapTuple tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	List	   *body;

	if (proc->prolang != SQLlanguageId || proc->prokind != PROKIND_FUNCTION)
		return "what has its query is no SQL function";
	if (proc->proowner != wtc_relation_owner(doc->root))
		return "the function with its query belongs to another role than the table";
	if (proc->pronargs != doc->nkeys ||
		memcmp(proc->proargtypes.values, doc->types,
			   sizeof(Oid) * doc->nkeys) != 0)
		return "the parameters of its query are not of the types of the primary key";
	body = body_of(tuple);
	if (list_length(body) != 1)
		return "the function has not one query as its body";
	return unfit_query(linitial_node(Query, body));
}

const char *
wtc_document_unfit(const WtcDocument *doc, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const char *why;

	if (!HeapTupleIsValid(tuple))
		return "the function with its query is missing";
	why = unfit_function(doc, tuple);
	ReleaseSysCache(tuple);
	return why;
}

/* The body, without what is around it. */
static char *
strip(char *body)
{
	static const char begin[] = "BEGIN ATOMIC";
	static const char end[] = "END";
	int			len = strlen(body);

	if (strncmp(body, begin, strlen(begin)) != 0 ||
		len < (int) (strlen(begin) + strlen(end)))
		return body;
	body += strlen(begin);
	len -= strlen(begin) + strlen(end);
	while (len > 0 && (isspace((unsigned char) body[len - 1]) ||
					   body[len - 1] == ';'))
		len--;
	body[len] = '\0';
	return body + strspn(body, " \t\n");
}

char *
wtc_document_query_text(Oid function)
{
	WtcPinned	pinned;
	char	   *volatile body = NULL;

	wtc_pin_settings(&pinned, true);
	PG_TRY();
	{
		body = TextDatumGetCString(OidFunctionCall1(F_PG_GET_FUNCTION_SQLBODY,
													ObjectIdGetDatum(function)));
	}
	PG_FINALLY();
	{
		wtc_unpin_settings(&pinned);
	}
	PG_END_TRY();
	return strip(body);
}

void
wtc_document_find_query(WtcDocument *doc, const Trigger *trigger)
{
	const char *why;

	doc->function = wtc_document_function_of(trigger);
	if (!OidIsValid(doc->function))
		why = "the function with its query is missing";
	else
		why = wtc_document_unfit(doc, doc->function);
	if (why != NULL)
		doc->broken = why;
}
