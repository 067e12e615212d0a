/*-------------------------------------------------------------------------
 *
 * make.c
 *	  Making a document: its root row, and what its query returns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "attempt.h"
#include "capture/attached.h"
#include "capture/image.h"
#include "document/make.h"
#include "document/query.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "guc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* longer names of tags are none */
#define MAX_NAME_BYTES	(1024 * 1024)

/*
 * Tags
 */

/* A tag of a row, complete; false: none.  *unfit: it is one, but cannot be. */
static bool
render_tag(WtcDocument *doc, const WtcTemplate *tpl, TupleTableSlot *slot,
		   WtcSpan *tag, bool *unfit)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (!wtc_template_render(tpl, slot, wtc_document_output, doc, &buf) ||
		buf.len == 0)
		return false;
	if (buf.len <= MAX_NAME_BYTES && wtc_complete_tag(buf.data, tag))
		return true;
	*unfit = true;
	return false;
}

void
wtc_document_tags(WtcDocument *doc, TupleTableSlot *slot, WtcMade *made)
{
	StringInfoData list;
	bool		unfit = false;
	bool		ignored;
	WtcSpan		tag;

	initStringInfo(&list);
	for (int i = 0; i < doc->ntags; i++)
	{
		if (!render_tag(doc, doc->tags[i], slot, &tag, &unfit) ||
			wtc_list_has(&made->tags, tag))
			continue;
		wtc_put_string(&list, tag.data, tag.len);
		made->tags.count++;
		made->tags.bytes.data = list.data;
		made->tags.bytes.len = list.len;
	}
	made->exists = !unfit;
	made->invalidates = palloc(sizeof(WtcSpan) * (doc->ninvalidates + 1));
	for (int i = 0; i < doc->ninvalidates; i++)
	{
		if (render_tag(doc, doc->invalidates[i], slot, &tag, &ignored))
			made->invalidates[made->ninvalidates++] = tag;
	}
}

/*
 * Queries
 */

/* A name that no column of the root has. */
static char *
alias_of(const WtcDocument *doc)
{
	char	   *alias = pstrdup("root");

	while (get_attnum(doc->root, alias) != InvalidAttrNumber)
		alias = psprintf("%s_", alias);
	return alias;
}

static SPIPlanPtr
prepare(WtcDocument *doc, bool query)
{
	StringInfoData sql;
	char	   *alias = alias_of(doc);
	SPIPlanPtr	plan;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s", alias);
	if (query)
		appendStringInfo(&sql, ", (%s)::pg_catalog.text",
						 wtc_document_query_text(doc->function));
	appendStringInfo(&sql, " FROM ONLY %s AS %s WHERE ",
					 wtc_qualified_name(doc->root), alias);
	for (int i = 0; i < doc->nkeys; i++)
		appendStringInfo(&sql, "%s%s.%s OPERATOR(pg_catalog.=) $%d",
						 i > 0 ? " AND " : "", alias,
						 quote_identifier(NameStr(TupleDescAttr(doc->desc,
																doc->keys[i] - 1)->attname)),
						 i + 1);
	plan = SPI_prepare(sql.data, doc->nkeys, doc->types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\"", sql.data);
	return plan;
}

static SPIPlanPtr
plan_of(WtcDocument *doc, bool query)
{
	SPIPlanPtr *plan = query ? &doc->plan : &doc->root_plan;

	if (*plan == NULL)
		*plan = prepare(doc, query);
	return *plan;
}

static Datum *
parameters(const WtcDocument *doc, WtcSpan texts)
{
	Datum	   *values = palloc(sizeof(Datum) * doc->nkeys);
	WtcCursor	cursor = {texts.data, texts.data + texts.len};

	for (int i = 0; i < doc->nkeys; i++)
	{
		Oid			input;
		Oid			param;
		WtcSpan		text = {0};

		(void) wtc_get_string(&cursor, &text);
		getTypeInputInfo(doc->types[i], &input, &param);
		values[i] = OidInputFunctionCall(input, pnstrdup(text.data, text.len),
										 param, -1);
	}
	return values;
}

/* The root row that a query has returned, in a slot. */
static TupleTableSlot *
root_slot(const WtcDocument *doc, Datum row)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	HeapTuple	tuple = palloc0(sizeof(HeapTupleData));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(doc->desc,
													&TTSOpsHeapTuple);

	tuple->t_len = HeapTupleHeaderGetDatumLength(header);
	tuple->t_data = header;
	ItemPointerSetInvalid(&tuple->t_self);
	return ExecStoreHeapTuple(tuple, slot, false);
}

typedef struct Making
{
	WtcDocument *doc;
	WtcSpan		texts;
	bool		query;
	WtcMade    *made;
	MemoryContext cxt;			/* of the result */
} Making;

static void
take_value(Making *m, HeapTuple tuple, TupleDesc desc)
{
	WtcMade    *made = m->made;
	uint64		limit = (uint64) Min(wtc_max_image_size, wtc_batch_memory) * 1024;
	bool		isnull;
	text	   *value;
	Datum		datum = SPI_getbinval(tuple, desc, 2, &isnull);

	if (isnull)
	{
		made->exists = false;
		return;
	}
	value = DatumGetTextPP(datum);
	made->exists &= wtc_to_utf8(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
								&made->value);
	if (made->exists && made->value.len > limit)
	{
		made->too_large = true;
		made->exists = false;
	}
	if (made->exists)
	{
		char	   *copy = MemoryContextAllocHuge(m->cxt, made->value.len);

		memcpy(copy, made->value.data, made->value.len);
		made->value.data = copy;
	}
}

static void
run(Making *m)
{
	MemoryContext old;
	TupleTableSlot *slot;
	bool		isnull;
	Datum		row;

	if (SPI_execute_plan(plan_of(m->doc, m->query),
						 parameters(m->doc, m->texts), NULL, true,
						 2) != SPI_OK_SELECT)
		elog(ERROR, "could not make document \"%s\"", m->doc->name);
	if (SPI_processed == 0)
		return;
	m->made->rooted = true;
	row = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	slot = root_slot(m->doc, row);
	old = MemoryContextSwitchTo(m->cxt);
	wtc_document_tags(m->doc, slot, m->made);
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	if (m->query)
		take_value(m, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
}

static void
make_as_owner(void *arg)
{
	Making	   *m = arg;
	WtcEntered	entered;

	wtc_enter_as_owner(m->doc->root, &entered);
	PG_TRY();
	{
		(void) set_config_option("lock_timeout",
								 psprintf("%d", Max(wtc_document_lock_timeout, 1)),
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		SPI_connect();
		run(m);
		SPI_finish();
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
}

/* An error that is about this session, and not about the document. */
static bool
concerns_session(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_OPERATOR_INTERVENTION;
}

void
wtc_document_make(WtcDocument *doc, WtcSpan texts, bool query, WtcMade *made)
{
	Making		m = {doc, texts, query, made, CurrentMemoryContext};
	ErrorData  *error;

	memset(made, 0, sizeof(*made));
	if (doc->broken != NULL)
	{
		made->failed = true;
		return;
	}
	error = wtc_attempt(make_as_owner, &m);
	if (error == NULL)
		return;
	if (concerns_session(error))
		ReThrowError(error);
	memset(made, 0, sizeof(*made));
	made->failed = true;
	made->sqlstate = error->sqlerrcode;
	FreeErrorData(error);
}

void
wtc_document_try(WtcDocument *doc, WtcSpan texts, WtcMade *made)
{
	Making		m = {doc, texts, true, made, CurrentMemoryContext};

	memset(made, 0, sizeof(*made));
	wtc_document_check(doc);
	make_as_owner(&m);
}
