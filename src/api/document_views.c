/*-------------------------------------------------------------------------
 *
 * document_views.c
 *	  wtcache.documents() and preview_document(): what documents there are, and
 *	  what would be written for one.
 *
 * Writes nothing.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "api/arguments.h"
#include "api/shown.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "capture/image.h"
#include "capture/name.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "document/cache.h"
#include "document/find.h"
#include "document/make.h"
#include "document/query.h"
#include "funcapi.h"
#include "guc.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(wtcache_documents);
PG_FUNCTION_INFO_V1(wtcache_preview_document);

static Datum
oid_array(const List *oids)
{
	Datum	   *elems = palloc(sizeof(Datum) * (list_length(oids) + 1));
	ListCell   *lc;

	foreach(lc, oids)
		elems[foreach_current_index(lc)] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(elems, list_length(oids), REGCLASSOID,
										   sizeof(Oid), true, TYPALIGN_INT));
}

/* What of a template list there is. */
static char **
texts_of(WtcTemplate *const *templates, int n)
{
	char	  **texts = palloc(sizeof(char *) * (n + 1));

	for (int i = 0; i < n; i++)
		texts[i] = pstrdup(templates[i]->text);
	return texts;
}

/*
 * The statements that make a document
 */

static void
add_parameter(StringInfo sql, const char *name, const char *value)
{
	appendStringInfo(sql, ", %s => %s", name, quote_literal_cstr(value));
}

static char *
root_key_of(const Trigger *trigger)
{
	StringInfoData list;
	int			n;
	char	  **columns = wtc_argument_values(trigger, "root_key", &n);

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(&list, i > 0 ? "," : "");
		if (strpbrk(columns[i], ",\" ") != NULL)
			wtc_name_quote(&list, columns[i]);
		else
			appendStringInfoString(&list, columns[i]);
	}
	return list.data;
}

static void
add_part(StringInfo sql, const WtcDocument *doc, Oid oid)
{
	Oid			relid = wtc_trigger_row(oid, NULL).relid;
	const Trigger *trigger = wtc_trigger_among(wtc_catalog_triggers(relid), oid);

	if (trigger == NULL)
		return;
	appendStringInfoString(sql, ";\n");
	appendStringInfo(sql, "SELECT wtcache.attach_part(%s, %s, %s)",
					 quote_literal_cstr(doc->name),
					 quote_literal_cstr(wtc_qualified_name(relid)),
					 quote_literal_cstr(root_key_of(trigger)));
}

static char *
definition(const WtcDocument *doc, const char *query, const List *parts)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT wtcache.attach_document(%s, %s, %s",
					 quote_literal_cstr(doc->name),
					 quote_literal_cstr(wtc_qualified_name(doc->root)),
					 quote_literal_cstr(query));
	add_parameter(&sql, "key", doc->key->text);
	if (doc->ttl_ms > 0)
		add_parameter(&sql, "ttl", wtc_ttl_text(doc->ttl_ms));
	if (doc->ntags > 0)
		add_parameter(&sql, "tags", wtc_array_text(texts_of(doc->tags, doc->ntags),
												   doc->ntags));
	if (doc->ninvalidates > 0)
		add_parameter(&sql, "invalidates",
					  wtc_array_text(texts_of(doc->invalidates, doc->ninvalidates),
									 doc->ninvalidates));
	appendStringInfoChar(&sql, ')');
	foreach(lc, parts)
		add_part(&sql, doc, lfirst_oid(lc));
	return sql.data;
}

/*
 * wtcache.documents()
 */

static void
put_document(ReturnSetInfo *rsinfo, const WtcDocument *doc)
{
	Datum		values[11];
	bool		nulls[11] = {0};
	List	   *triggers = wtc_document_parts(doc->name);
	List	   *parts = NIL;
	char	   *query = OidIsValid(doc->function) ?
	wtc_document_query_text(doc->function) : NULL;
	ListCell   *lc;
	int			col = 0;

	foreach(lc, triggers)
		parts = lappend_oid(parts, wtc_trigger_row(lfirst_oid(lc), NULL).relid);
	values[col++] = CStringGetTextDatum(doc->name);
	values[col++] = ObjectIdGetDatum(doc->root);
	nulls[col] = query == NULL;
	values[col++] = query ? CStringGetTextDatum(query) : (Datum) 0;
	values[col++] = CStringGetTextDatum(doc->key->text);
	nulls[col] = doc->ttl_ms == 0;
	values[col++] = wtc_shown_ttl(doc->ttl_ms);
	values[col++] = wtc_shown_texts(texts_of(doc->tags, doc->ntags), doc->ntags);
	values[col++] = wtc_shown_texts(texts_of(doc->invalidates, doc->ninvalidates),
									doc->ninvalidates);
	values[col++] = oid_array(parts);
	values[col++] = oid_array(list_difference_oid(wtc_document_reads(doc->function),
												  lappend_oid(list_copy(parts), doc->root)));
	nulls[col] = doc->broken == NULL;
	values[col++] = doc->broken ? CStringGetTextDatum(doc->broken) : (Datum) 0;
	nulls[col] = query == NULL;
	values[col++] = query ?
		CStringGetTextDatum(definition(doc, query, triggers)) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
wtcache_documents(PG_FUNCTION_ARGS)
{
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, wtc_triggers_of(wtc_document_function()))
	{
		WtcDocument *doc = wtc_document_get(lfirst_oid(lc));

		if (doc != NULL)
			put_document((ReturnSetInfo *) fcinfo->resultinfo, doc);
	}
	return (Datum) 0;
}

/*
 * wtcache.preview_document()
 */

static Datum
invalidated_array(const WtcMade *made)
{
	char	  **strings = palloc(sizeof(char *) * (made->ninvalidates + 1));

	for (int i = 0; i < made->ninvalidates; i++)
		strings[i] = wtc_span_string(made->invalidates[i]);
	return wtc_shown_texts(strings, made->ninvalidates);
}

/* The values of a key, each as its type writes it. */
static WtcSpan
key_texts(const WtcDocument *doc, ArrayType *array)
{
	int			n;
	char	  **given = wtc_array_strings(array, "root_key", &n);
	StringInfoData texts;

	wtc_document_check_key(doc, n);
	initStringInfo(&texts);
	for (int i = 0; i < n; i++)
	{
		Oid			input;
		Oid			param;
		Oid			output;
		bool		varlena;
		char	   *text;

		getTypeInputInfo(doc->types[i], &input, &param);
		getTypeOutputInfo(doc->types[i], &output, &varlena);
		text = OidOutputFunctionCall(output,
									 OidInputFunctionCall(input, given[i], param, -1));
		wtc_put_string(&texts, text, strlen(text));
	}
	return (WtcSpan)
	{
		texts.data, texts.len
	};
}

/*
 * It reads tables with the rights of the root's owner, so it is for roles that have
 * these.
 */
Datum
wtcache_preview_document(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			trigger = wtc_document_named(name);
	WtcDocument *doc = OidIsValid(trigger) ? wtc_document_get(trigger) : NULL;
	Relation	root;
	TupleDesc	desc;
	WtcSpan		texts;
	WtcSpan		key;
	WtcMade		made;
	bool		named;
	bool		stored;
	Datum		values[6] = {0};
	bool		nulls[6] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (doc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("document \"%s\" does not exist", name)));
	root = relation_open(doc->root, AccessShareLock);
	wtc_check_owner(root);
	texts = key_texts(doc, PG_GETARG_ARRAYTYPE_P(1));
	named = wtc_document_key(doc, texts, &key);
	PushActiveSnapshot(GetLatestSnapshot());
	wtc_document_try(doc, texts, &made);
	PopActiveSnapshot();
	relation_close(root, AccessShareLock);
	stored = named && made.exists && wtc_enabled;

	values[0] = CStringGetTextDatum(!named ? "none" : stored ? "set" : "delete");
	nulls[1] = !named;
	if (named)
		values[1] = wtc_shown_span(key);
	nulls[2] = nulls[3] = !stored;
	if (stored)
	{
		values[2] = wtc_shown_span(made.value);
		values[3] = wtc_shown_ttl(doc->ttl_ms > 0 ? doc->ttl_ms :
								  (uint64) wtc_default_ttl * 1000);
	}
	values[4] = wtc_shown_list(&made.tags);
	values[5] = invalidated_array(&made);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}
