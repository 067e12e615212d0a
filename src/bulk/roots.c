/*-------------------------------------------------------------------------
 *
 * roots.c
 *	  Reading the roots of a document, some at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "bulk/roots.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "document/cache.h"
#include "document/find.h"
#include "executor/spi.h"
#include "txn/prefix.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

WtcDocument *
wtc_open_document(const char *name, Relation *root)
{
	Oid			trigger = wtc_document_named(name);
	WtcDocument *doc;

	if (!OidIsValid(trigger))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("document \"%s\" does not exist", name)));
	*root = relation_open(wtc_trigger_row(trigger, NULL).relid, RowExclusiveLock);
	wtc_check_owner(*root);
	wtc_check_prefix();
	doc = wtc_document_get(trigger);
	if (doc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("document \"%s\" does not exist", name)));
	return doc;
}

static void
append_columns(StringInfo sql, const WtcDocument *doc, const char *cast)
{
	for (int i = 0; i < doc->nkeys; i++)
		appendStringInfo(sql, "%s%s%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(doc->desc,
																doc->keys[i] - 1)->attname)),
						 cast);
}

static void
append_key(StringInfo sql, const WtcDocument *doc, WtcSpan texts)
{
	WtcCursor	cursor = {texts.data, texts.data + texts.len};
	WtcSpan		value;

	for (int i = 0; i < doc->nkeys && wtc_get_string(&cursor, &value); i++)
		appendStringInfo(sql, "%s%s::%s", i > 0 ? ", " : "",
						 quote_literal_cstr(pnstrdup(value.data, value.len)),
						 format_type_be_qualified(doc->types[i]));
}

static char *
select_roots(const WtcDocument *doc, WtcSpan after, int limit)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, doc, "::pg_catalog.text");
	appendStringInfo(&sql, " FROM ONLY %s", wtc_qualified_name(doc->root));
	if (after.len > 0)
	{
		appendStringInfoString(&sql, " WHERE ROW(");
		append_columns(&sql, doc, "");
		appendStringInfoString(&sql, ") OPERATOR(pg_catalog.>) ROW(");
		append_key(&sql, doc, after);
		appendStringInfoChar(&sql, ')');
	}
	appendStringInfoString(&sql, " ORDER BY ");
	append_columns(&sql, doc, "");
	appendStringInfo(&sql, " LIMIT %d", limit);
	return sql.data;
}

static WtcSpan
key_of(const WtcDocument *doc, HeapTuple row, TupleDesc desc)
{
	StringInfoData texts;

	initStringInfo(&texts);
	for (int i = 1; i <= doc->nkeys; i++)
	{
		char	   *value = SPI_getvalue(row, desc, i);

		wtc_put_string(&texts, value, strlen(value));
	}
	return (WtcSpan)
	{
		texts.data, texts.len
	};
}

WtcSpan *
wtc_read_roots(const WtcDocument *doc, WtcSpan after, int limit, int *n)
{
	SPITupleTable *found;
	WtcSpan    *roots;
	WtcEntered	entered;

	wtc_enter_as_owner(doc->root, &entered);
	PG_TRY();
	{
		if (SPI_execute(select_roots(doc, after, limit), true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read the roots of document \"%s\"", doc->name);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	found = SPI_tuptable;
	*n = (int) SPI_processed;
	roots = palloc(sizeof(WtcSpan) * (*n + 1));
	for (int i = 0; i < *n; i++)
		roots[i] = key_of(doc, found->vals[i], found->tupdesc);
	SPI_freetuptable(found);
	return roots;
}
