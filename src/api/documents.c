/*-------------------------------------------------------------------------
 *
 * documents.c
 *	  wtcache.attach_document(), attach_part() and how they are undone.
 *
 * A document is its triggers and the function with its query; there is nothing else
 * to keep in step.  All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "api/arguments.h"
#include "api/attach.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "capture/name.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "document/cache.h"
#include "document/find.h"
#include "document/make.h"
#include "document/query.h"
#include "document/touch.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "schema/keys.h"
#include "schema/statement.h"
#include "sql.h"
#include "storage/lmgr.h"
#include "txn/prefix.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(wtcache_attach_document);
PG_FUNCTION_INFO_V1(wtcache_attach_part);
PG_FUNCTION_INFO_V1(wtcache_detach_document);
PG_FUNCTION_INFO_V1(wtcache_detach_part);

/* The trigger's name has the document's behind it. */
#define MAX_NAME	(NAMEDATALEN - (int) sizeof(WTC_DOCUMENT_TRIGGER))

/*
 * What is named
 */

/* The table, locked as by CREATE TRIGGER. */
static Relation
open_own_table(Oid relid)
{
	Relation	rel = relation_open(relid, ShareRowExclusiveLock);

	wtc_check_owner(rel);
	return rel;
}

static Oid
find_document(const char *name)
{
	Oid			trigger = wtc_document_named(name);

	if (!OidIsValid(trigger))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("document \"%s\" does not exist", name)));
	return trigger;
}

/* Its root, locked as the tables of attach() are, and what it is by then. */
static WtcDocument *
open_document(const char *name, Relation *root)
{
	Oid			trigger = find_document(name);
	WtcDocument *doc;

	*root = open_own_table(wtc_trigger_row(trigger, NULL).relid);
	doc = wtc_document_get(trigger);
	if (doc == NULL)
		(void) find_document(name);
	return doc;
}

static void
check_table(Relation rel)
{
	wtc_check_attachable(rel);
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		wtc_refuse(rel, "It is a partitioned table, which can neither be the root of a document nor a part.",
				   NULL);
}

/*
 * Triggers
 */

static char *
trigger_name(const char *prefix, const char *document)
{
	return psprintf("%s%s", prefix, document);
}

static void
create_truncate_trigger(Oid relid)
{
	wtc_run_own(psprintf("CREATE OR REPLACE TRIGGER " WTC_DOCUMENT_TRUNCATE_TRIGGER
						 " BEFORE TRUNCATE ON %s FOR EACH STATEMENT"
						 " EXECUTE FUNCTION wtcache.capture_document_truncate()",
						 wtc_qualified_name(relid)));
}

static void
drop_trigger(Oid relid, const char *name)
{
	wtc_run_own(psprintf("DROP TRIGGER %s ON %s", quote_identifier(name),
						 wtc_qualified_name(relid)));
}

/* A trigger of a document or a part goes, and with the last one that of TRUNCATE. */
static void
drop_triggers(Oid relid, Oid oid)
{
	TriggerDesc *desc = wtc_catalog_triggers(relid);
	const char *truncate = NULL;
	int			others = 0;

	for (int i = 0; i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];

		if (trigger->tgfoid == wtc_document_truncate_function())
			truncate = trigger->tgname;
		else if (trigger->tgoid == oid)
			drop_trigger(relid, trigger->tgname);
		else if (trigger->tgfoid == wtc_document_function() ||
				 trigger->tgfoid == wtc_part_function())
			others++;
	}
	if (others == 0 && truncate != NULL)
		drop_trigger(relid, truncate);
}

/*
 * The query
 */

static void
refuse_query(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("query cannot make a document"),
			 errdetail_internal("%s", detail)));
}

/* One statement, and nothing behind it: it becomes a part of one of ours. */
static char *
single_statement(const char *query)
{
	List	   *raw = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt    *stmt;

	if (list_length(raw) != 1)
		refuse_query("It is not one statement.");
	stmt = linitial_node(RawStmt, raw);
	if (!IsA(stmt->stmt, SelectStmt) ||
		((SelectStmt *) stmt->stmt)->intoClause != NULL)
		refuse_query("It is no SELECT.");
	return stmt->stmt_len > 0 ?
		pnstrdup(query + stmt->stmt_location, stmt->stmt_len) :
		pstrdup(query + stmt->stmt_location);
}

/* jsonb or json. */
static Oid
result_type(const WtcDocument *doc, const char *query)
{
	SPIPlanPtr	plan = SPI_prepare(query, doc->nkeys, doc->types);
	CachedPlanSource *source;
	Oid			type = InvalidOid;

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query,
			 SPI_result_code_string(SPI_result));
	source = linitial(SPI_plan_get_plan_sources(plan));
	if (source->resultDesc != NULL && source->resultDesc->natts == 1)
		type = TupleDescAttr(source->resultDesc, 0)->atttypid;
	if (type != JSONBOID && type != JSONOID)
		refuse_query("It has to have one column, of type jsonb or json.");
	SPI_freeplan(plan);
	return type;
}

static char *
function_name(const WtcDocument *doc, const char *name)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(doc->root)),
									  trigger_name(WTC_DOCUMENT_TRIGGER, name));
}

static char *
type_list(const WtcDocument *doc, const char *before)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < doc->nkeys; i++)
		appendStringInfo(&list, "%s%s%s", i > 0 ? ", " : "", before,
						 format_type_be_qualified(doc->types[i]));
	return list.data;
}

/* Of the table's owner, whichever role makes it. */
static void
create_function(const WtcDocument *doc, const char *name, const char *query)
{
	char	   *statement = single_statement(query);
	char	   *function = function_name(doc, name);
	Oid			owner = wtc_relation_owner(doc->root);

	wtc_run_own(psprintf("CREATE FUNCTION %s(%s) RETURNS %s LANGUAGE sql STABLE"
						 " BEGIN ATOMIC %s\n; END",
						 function, type_list(doc, ""),
						 format_type_be_qualified(result_type(doc, statement)),
						 statement));
	wtc_run_own(psprintf("COMMENT ON FUNCTION %s(%s) IS %s",
						 function, type_list(doc, ""),
						 quote_literal_cstr(psprintf("the query of document \"%s\" of wtcache",
													 name))));
	if (owner != GetUserId())
		wtc_run_own(psprintf("ALTER FUNCTION %s(%s) OWNER TO %s", function,
							 type_list(doc, ""),
							 quote_identifier(GetUserNameFromId(owner, false))));
}

static void
drop_function(Oid function)
{
	wtc_run_own(psprintf("DROP FUNCTION %s",
						 format_procedure_qualified(function)));
}

/*
 * wtcache.attach_document()
 */

static void
check_name(const char *name)
{
	if (name[0] == '\0' || strlen(name) > MAX_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name \"%s\" for a document", name),
				 errdetail("It has from 1 to %d bytes.", MAX_NAME)));
}

static void
add_argument(StringInfo args, const char *name, const char *value)
{
	appendStringInfo(args, "%s%s", args->len > 0 ? ", " : "",
					 quote_literal_cstr(psprintf("%s=%s", name, value)));
}

static void
add_arguments(StringInfo args, const char *name, const char *of,
			  FunctionCallInfo fcinfo, int arg)
{
	char	  **strings;
	int			n;

	if (PG_ARGISNULL(arg))
		return;
	strings = wtc_array_strings(PG_GETARG_ARRAYTYPE_P(arg), of, &n);
	for (int i = 0; i < n; i++)
		add_argument(args, name, strings[i]);
}

/* What the trigger will be given. */
static char *
trigger_arguments(FunctionCallInfo fcinfo, const WtcDocument *doc,
				  const char *name)
{
	StringInfoData args;

	initStringInfo(&args);
	add_argument(&args, "name", name);
	add_argument(&args, "key", PG_ARGISNULL(3) ?
				 wtc_template_default_key(name, doc->desc, doc->keys, doc->nkeys) :
				 text_to_cstring(PG_GETARG_TEXT_PP(3)));
	if (!PG_ARGISNULL(4))
		add_argument(&args, "ttl",
					 psprintf(UINT64_FORMAT,
							  wtc_interval_ms(PG_GETARG_INTERVAL_P(4))));
	add_arguments(&args, "tag", "tag", fcinfo, 5);
	add_arguments(&args, "invalidate", "invalidate", fcinfo, 6);
	return args.data;
}

/* What of the root is needed before there is a trigger. */
static WtcDocument *
sketch(Relation root)
{
	WtcDocument *doc = palloc0(sizeof(WtcDocument));

	doc->root = RelationGetRelid(root);
	doc->desc = RelationGetDescr(root);
	doc->keys = palloc0(sizeof(AttrNumber) * WTC_MAX_KEYS);
	doc->types = palloc0(sizeof(Oid) * WTC_MAX_KEYS);
	doc->nkeys = wtc_catalog_primary_key(doc->root, doc->keys);
	if (doc->nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(root)),
				 errdetail("A document is named by that of its root.")));
	for (int i = 0; i < doc->nkeys; i++)
		doc->types[i] = TupleDescAttr(doc->desc, doc->keys[i] - 1)->atttypid;
	return doc;
}

/* How it was, if it is to be replaced. */
static void
drop_before(const char *name, Relation root, bool replace)
{
	Oid			trigger = wtc_document_named(name);
	WtcDocument *doc;
	Oid			function;

	if (!OidIsValid(trigger))
		return;
	if (!replace)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("document \"%s\" exists already", name),
				 errhint("To replace it, call wtcache.attach_document() with replace => true.")));
	if (wtc_trigger_row(trigger, NULL).relid != RelationGetRelid(root))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("document \"%s\" has another root", name),
				 errhint("Call wtcache.detach_document() first.")));
	doc = wtc_document_get(trigger);
	function = doc->function;
	(void) wtc_document_forget(doc);
	drop_triggers(RelationGetRelid(root), trigger);
	if (OidIsValid(function))
		drop_function(function);
}

/* A root, as an example; false: there is none. */
static bool
first_root(const WtcDocument *doc, WtcSpan *texts)
{
	StringInfoData sql;
	StringInfoData buf;

	initStringInfo(&sql);
	for (int i = 0; i < doc->nkeys; i++)
		appendStringInfo(&sql, "%s%s::pg_catalog.text", i > 0 ? ", " : "SELECT ",
						 quote_identifier(NameStr(TupleDescAttr(doc->desc,
																doc->keys[i] - 1)->attname)));
	appendStringInfo(&sql, " FROM ONLY %s LIMIT 1", wtc_qualified_name(doc->root));
	if (SPI_execute(sql.data, true, 1) != SPI_OK_SELECT || SPI_processed == 0)
		return false;
	initStringInfo(&buf);
	for (int i = 1; i <= doc->nkeys; i++)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, i);

		wtc_put_string(&buf, value, strlen(value));
	}
	texts->data = buf.data;
	texts->len = buf.len;
	return true;
}

/* What can be wrong is to be found now, and not when it is built. */
static void
check_document(Relation root, const char *name)
{
	Oid			trigger = find_document(name);
	WtcDocument *doc;
	WtcSpan		texts;
	WtcMade		made;

	doc = wtc_document_get(trigger);
	if (doc->broken != NULL)
		refuse_query(psprintf("There can be no documents: %s.", doc->broken));
	wtc_check_key_names(root, doc->key);
	wtc_check_key(doc->root, name, doc->key->text);
	PushActiveSnapshot(GetLatestSnapshot());
	if (first_root(doc, &texts))
		wtc_document_try(doc, texts, &made);
	PopActiveSnapshot();
}

Datum
wtcache_attach_document(PG_FUNCTION_ARGS)
{
	char	   *name;
	Relation	root;
	WtcDocument *doc;
	char	   *args;
	bool		replace = !PG_ARGISNULL(7) && PG_GETARG_BOOL(7);

	wtc_check_not_null(fcinfo, 0, "name");
	wtc_check_not_null(fcinfo, 1, "root");
	wtc_check_not_null(fcinfo, 2, "query");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_name(name);
	root = open_own_table(PG_GETARG_OID(1));
	check_table(root);
	wtc_check_prefix();

	SPI_connect();
	drop_before(name, root, replace);
	doc = sketch(root);
	args = trigger_arguments(fcinfo, doc, name);
	create_function(doc, name, text_to_cstring(PG_GETARG_TEXT_PP(2)));
	create_truncate_trigger(doc->root);
	wtc_run_own(psprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s"
						 " FOR EACH ROW WHEN (CASE WHEN false THEN %s(%s) IS NULL"
						 " ELSE true END) EXECUTE FUNCTION wtcache.capture_document(%s)",
						 quote_identifier(trigger_name(WTC_DOCUMENT_TRIGGER, name)),
						 wtc_qualified_name(doc->root),
						 function_name(doc, name), type_list(doc, "NULL::"), args));
	check_document(root, name);
	SPI_finish();
	relation_close(root, NoLock);
	PG_RETURN_VOID();
}

/*
 * wtcache.attach_part()
 */

/* Columns by commas, in double quotes where need be, as arguments of the trigger. */
static int
split_columns(const char *list, StringInfo args, char **columns)
{
	const char *p = list;
	int			n = 0;

	for (;;)
	{
		char	   *column;

		p += strspn(p, " ");
		column = wtc_name_read(&p, ',');
		if (column == NULL || n == WTC_MAX_KEYS ||
			(p[strspn(p, " ")] != ',' && p[strspn(p, " ")] != '\0'))
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("invalid root_key \"%s\"", list),
					 errhint("Write the name of a column, or of several with commas between them.")));
		/* bare names may have blanks behind them */
		if (p[-1] != '"')
		{
			for (int i = strlen(column) - 1; i >= 0 && column[i] == ' '; i--)
				column[i] = '\0';
		}
		columns[n++] = column;
		add_argument(args, "root_key", column);
		p += strspn(p, " ");
		if (*p == '\0')
			return n;
		p++;
	}
}

/* A value there has to have the text that the root's has which it is equal to. */
static void
check_columns(const WtcDocument *doc, Relation rel, char *const *columns, int n)
{
	wtc_document_check_key(doc, n);
	for (int i = 0; i < n; i++)
	{
		AttrNumber	attno = get_attnum(RelationGetRelid(rel), columns[i]);
		Form_pg_attribute attr;
		Form_pg_attribute key = TupleDescAttr(doc->desc, doc->keys[i] - 1);

		if (attno <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist",
							columns[i], RelationGetRelationName(rel))));
		attr = TupleDescAttr(RelationGetDescr(rel), attno - 1);
		if (wtc_document_key_kind(attr->atttypid, attr->attcollation) !=
			wtc_document_key_kind(key->atttypid, key->attcollation) ||
			wtc_is_virtual(attr->attgenerated))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of \"%s\" cannot name a root of document \"%s\"",
							columns[i], RelationGetRelationName(rel), doc->name),
					 errdetail("It is of type %s, and \"%s\" of \"%s\" is of type %s.",
							   format_type_be(attr->atttypid),
							   NameStr(key->attname), get_rel_name(doc->root),
							   format_type_be(key->atttypid))));
	}
}

/* The trigger by which a table is a part; or InvalidOid. */
static Oid
part_trigger(const char *document, Oid relid)
{
	ListCell   *lc;

	foreach(lc, wtc_document_parts(document))
	{
		if (wtc_trigger_row(lfirst_oid(lc), NULL).relid == relid)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

Datum
wtcache_attach_part(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			relid = PG_GETARG_OID(1);
	Relation	root;
	WtcDocument *doc = open_document(name, &root);
	Relation	rel = open_own_table(relid);
	StringInfoData args;
	char	   *columns[WTC_MAX_KEYS];
	int			n;

	check_table(rel);
	if (OidIsValid(part_trigger(name, relid)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is a part of document \"%s\" already",
						RelationGetRelationName(rel), name),
				 errhint("Call wtcache.detach_part() first.")));
	initStringInfo(&args);
	add_argument(&args, "document", name);
	n = split_columns(text_to_cstring(PG_GETARG_TEXT_PP(2)), &args, columns);
	check_columns(doc, rel, columns, n);

	/* what has been changed so far has not been followed */
	(void) wtc_document_forget(doc);
	SPI_connect();
	create_truncate_trigger(relid);
	wtc_run_own(psprintf("CREATE TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s"
						 " FOR EACH ROW EXECUTE FUNCTION wtcache.capture_part(%s)",
						 quote_identifier(trigger_name(WTC_PART_TRIGGER, name)),
						 wtc_qualified_name(relid), args.data));
	SPI_finish();
	relation_close(rel, NoLock);
	relation_close(root, NoLock);
	PG_RETURN_VOID();
}

/*
 * Detaching
 */

Datum
wtcache_detach_document(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Relation	root;
	WtcDocument *doc = open_document(name, &root);
	Oid			function = doc->function;
	ListCell   *lc;

	if (PG_GETARG_BOOL(1))
		(void) wtc_document_forget(doc);
	SPI_connect();
	foreach(lc, wtc_document_parts(name))
	{
		Oid			relid = wtc_trigger_row(lfirst_oid(lc), NULL).relid;

		if (OidIsValid(relid))
			drop_triggers(relid, lfirst_oid(lc));
	}
	drop_triggers(doc->root, doc->trigger);
	if (OidIsValid(function))
		drop_function(function);
	SPI_finish();
	relation_close(root, NoLock);
	PG_RETURN_VOID();
}

Datum
wtcache_detach_part(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			relid = PG_GETARG_OID(1);
	Oid			document = wtc_document_named(name);
	Oid			trigger = part_trigger(name, relid);
	WtcDocument *doc;
	Relation	rel;

	if (!OidIsValid(trigger))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is no part of document \"%s\"",
						get_rel_name(relid), name)));
	rel = open_own_table(relid);
	doc = OidIsValid(document) ? wtc_document_get(document) : NULL;
	if (doc != NULL)
		(void) wtc_document_forget(doc);
	SPI_connect();
	drop_triggers(relid, trigger);
	SPI_finish();
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}
