/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  wtcache.attachments(), definition() and preview(): what is attached, and
 *	  what would be written for a row.
 *
 * Reads the triggers; writes nothing.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "api/arguments.h"
#include "api/shown.h"
#include "attempt.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/attachment_cache.h"
#include "capture/catalog.h"
#include "capture/condition.h"
#include "capture/image.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "schema/shape.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(wtcache_attachments);
PG_FUNCTION_INFO_V1(wtcache_definition);
PG_FUNCTION_INFO_V1(wtcache_preview);

/*
 * What is attached
 */

/* What there is to say of an attached table. */
typedef struct Description
{
	Oid			relid;
	const char *name;
	const char *table;			/* qualified */
	const Trigger *trigger;		/* NULL: not attached */
	const Trigger *keeper;		/* of what it has of these */
	WtcKeptText kept;
} Description;

static void
describe_kept(void *arg)
{
	Description *d = arg;
	Node	   *kept = wtc_condition_of(d->keeper);
	Node	   *condition = wtc_kept_condition(kept);
	ListCell   *lc;

	if (condition != NULL &&
		wtc_attachment_argument(d->trigger, "condition") != NULL)
		d->kept.condition = wtc_condition_text(d->relid, condition);
	foreach(lc, wtc_kept_expressions(kept))
		d->kept.expressions = lappend(d->kept.expressions,
									  wtc_condition_text(d->relid, lfirst(lc)));
}

/*
 * Without a lock on the table, which would be waited for.  So it, and what a
 * condition or an expression names, may be dropped meanwhile.  False: there is no
 * such table any more.
 */
static bool
describe(Oid relid, Description *d)
{
	TriggerDesc *triggers = wtc_catalog_triggers(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	ErrorData  *error;

	memset(d, 0, sizeof(*d));
	d->relid = relid;
	d->name = get_rel_name(relid);
	if (d->name == NULL || schema == NULL)
		return false;
	d->table = quote_qualified_identifier(schema, d->name);
	d->trigger = wtc_attachment_among(triggers);
	if (d->trigger == NULL || !wtc_attachment_is_kept(d->trigger))
		return true;
	d->keeper = wtc_condition_among(triggers);
	if (d->keeper == NULL)
		return true;
	error = wtc_attempt(describe_kept, d);
	if (error == NULL)
		return true;

	/*
	 * it goes together with what it names; then there is another state to
	 * read
	 */
	if (OidIsValid(wtc_trigger_row(d->keeper->tgoid, NULL).relid))
		ReThrowError(error);
	CHECK_FOR_INTERRUPTS();
	return describe(relid, d);
}

static void
put_attachment(ReturnSetInfo *rsinfo, const Description *d)
{
	const Trigger *trigger = d->trigger;
	Datum		values[14];
	bool		nulls[14] = {0};
	char	   *definition = wtc_definition(d->table, trigger, &d->kept);
	char	  **v;
	uint64		ttl_ms = 0;
	int			n;
	int			col = 0;

	values[col++] = ObjectIdGetDatum(d->relid);
	v = wtc_argument_values(trigger, "key", &n);
	nulls[col] = n == 0;
	values[col++] = n > 0 ? CStringGetTextDatum(v[0]) : (Datum) 0;
	v = wtc_argument_values(trigger, "ttl", &n);
	nulls[col] = n == 0 || !wtc_ttl_decode(v[0], &ttl_ms);
	values[col++] = wtc_shown_ttl(ttl_ms);
	v = wtc_argument_values(trigger, "tag", &n);
	values[col++] = wtc_shown_texts(v, n);
	v = wtc_argument_values(trigger, "invalidate", &n);
	values[col++] = wtc_shown_texts(v, n);
	v = wtc_columns_shown(trigger, &d->kept, &n);
	nulls[col] = n == 0;
	values[col++] = wtc_shown_texts(v, n);
	nulls[col] = d->kept.condition == NULL;
	values[col++] = d->kept.condition == NULL ? (Datum) 0 :
		CStringGetTextDatum(d->kept.condition);
	v = wtc_argument_values(trigger, "format", &n);
	values[col++] = CStringGetTextDatum(n > 0 ? v[0] : "json");
	v = wtc_argument_values(trigger, "shape", &n);
	values[col++] = wtc_shown_texts(v, n);
	v = wtc_argument_values(trigger, "version", &n);
	nulls[col] = n == 0;
	values[col++] = n > 0 ? CStringGetTextDatum(v[0]) : (Datum) 0;
	v = wtc_argument_values(trigger, "envelope", &n);
	nulls[col] = n == 0;
	values[col++] = n > 0 ? CStringGetTextDatum(v[0]) : (Datum) 0;
	values[col++] = BoolGetDatum(trigger->tgenabled != TRIGGER_DISABLED);
	values[col++] = BoolGetDatum(wtc_attachment_mode(trigger) == TRIGGER_FIRES_ALWAYS);
	nulls[col] = definition == NULL;
	values[col++] = definition ? CStringGetTextDatum(definition) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
wtcache_attachments(PG_FUNCTION_ARGS)
{
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, wtc_attached_roots())
	{
		Description d;

		if (describe(lfirst_oid(lc), &d) && d.trigger != NULL)
			put_attachment((ReturnSetInfo *) fcinfo->resultinfo, &d);
	}
	return (Datum) 0;
}

Datum
wtcache_definition(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Description d;
	char	   *sql;

	if (!describe(relid, &d))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	wtc_check_own_attachment(d.trigger, d.name);
	sql = wtc_definition(d.table, d.trigger, &d.kept);
	if (sql == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(sql));
}

/*
 * What would be written
 */

static Datum
invalidated_array(WtcAttachment *att, TupleTableSlot *slot)
{
	char	  **strings = palloc(sizeof(char *) * (att->ninvalidates + 1));
	int			n = 0;

	for (int i = 0; i < att->ninvalidates; i++)
	{
		WtcSpan		tag;

		if (wtc_render_invalidated(att, i, slot, &tag))
			strings[n++] = wtc_span_string(tag);
	}
	return wtc_shown_texts(strings, n);
}

/* Columns: operation, key, value, ttl, tags, invalidates. */
static void
preview_row(WtcAttachment *att, TupleTableSlot *slot, Datum *values,
			bool *nulls)
{
	WtcRendered row;
	WtcOperation op = {0};
	bool		stored = false;

	wtc_render_row(att, slot, &row);
	if (row.cached)
		stored = wtc_enabled && !row.untaggable &&
			wtc_render_image(att, slot, &op) == WTC_IMAGE_MADE;

	values[0] = CStringGetTextDatum(!row.cached ? "none" :
									!stored ? "delete" : "set");
	nulls[1] = !row.cached;
	if (row.cached)
		values[1] = wtc_shown_span(row.key);
	nulls[2] = nulls[3] = !stored;
	if (stored)
	{
		values[2] = op.kind == WTC_OP_SET ? wtc_shown_span(op.value) :
			OidFunctionCall2(F_ARRAY_TO_STRING_ANYARRAY_TEXT,
							 wtc_shown_list(&op.fields),
							 CStringGetTextDatum(" "));
		values[3] = wtc_shown_ttl(op.ttl_ms);
	}
	values[4] = wtc_shown_list(&row.tags);
	values[5] = invalidated_array(att, slot);
}

static TupleTableSlot *
slot_of_row(Relation rel, HeapTupleHeader header)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel),
													&TTSOpsHeapTuple);
	HeapTuple	tuple = palloc0(sizeof(HeapTupleData));

	if (HeapTupleHeaderGetTypeId(header) != rel->rd_rel->reltype)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("row is not of the row type of \"%s\"",
						RelationGetRelationName(rel)),
				 errhint("Pass a whole row, such as in SELECT wtcache.preview('t', t) FROM t.")));
	tuple->t_len = HeapTupleHeaderGetDatumLength(header);
	tuple->t_data = header;
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_tableOid = RelationGetRelid(rel);
	return ExecStoreHeapTuple(tuple, slot, false);
}

/*
 * What the owner's functions make of a row, with the owner's rights, is for roles
 * that may see rows.
 */
Datum
wtcache_preview(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(1);
	Relation	rel;
	WtcAttachment *att;
	WtcEntered	entered;
	TupleDesc	desc;
	TupleTableSlot *slot;
	Datum		values[6] = {0};
	bool		nulls[6] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	wtc_check_may_read(relid);
	rel = relation_open(relid, AccessShareLock);
	att = wtc_attachment_get(rel, wtc_attached_trigger(rel));
	slot = slot_of_row(rel, header);
	wtc_enter(att, &entered);
	PG_TRY();
	{
		preview_row(att, slot, values, nulls);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	ExecDropSingleTupleTableSlot(slot);
	relation_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}
