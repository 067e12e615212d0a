/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  wtcache.fetch() and fetch_many(): the images of rows, from Redis, else
 *	  from the table.
 *
 * What is filled is what the trigger would have pushed: the image is made in
 * the same way, as the table's owner.  The row is looked for as the caller, who
 * needs SELECT on the table, because an image in Redis is shown without a look
 * at it.  The table alone is asked where Redis would be no answer: where row
 * security applies to the caller, where the transaction has a snapshot that it
 * keeps, and of a row that the transaction has changed itself.
 *
 * The snapshot is taken after the lease, so a transaction that it does not see
 * pushes after that, and voids the lease.  Before a row is filled, the commit of
 * the transaction that wrote it is made durable.
 *
 * All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "api/content.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/attachment_cache.h"
#include "capture/image.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "read/through.h"
#include "shared/state.h"
#include "txn/pending.h"
#include "txn/prefix.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(wtcache_fetch);
PG_FUNCTION_INFO_V1(wtcache_fetch_many);

/* An attached table, and how its rows are found. */
typedef struct Table
{
	Relation	rel;
	WtcAttachment *att;
	int			ncolumns;		/* that the key names, in that order */
	AttrNumber *columns;
	TupleTableSlot *slot;		/* for the key of a row */
	bool		past;			/* Redis is not asked */
	MemoryContext cxt;			/* of what is to be returned */
} Table;

/* A row that is asked for. */
typedef struct Row
{
	WtcReading	reading;		/* the first member */
	bool		keyed;			/* it can have a key */
	Datum	   *values;			/* of the columns that the key names */
	WtcOperation image;			/* if it was read from the table */
	WtcImage	made;			/* ... and whether there is one */
	const char *no_images;		/* why not */
	bool		absent;
} Row;

/* --- the table --- */

static void
find_columns(Table *table)
{
	const WtcTemplate *key = table->att->key;

	table->columns = palloc(sizeof(AttrNumber) * key->nparts);
	table->ncolumns = 0;
	for (int i = 0; i < key->nparts; i++)
	{
		AttrNumber	attno = key->parts[i].attno;
		bool		known = attno == 0;

		for (int c = 0; c < table->ncolumns; c++)
			known |= table->columns[c] == attno;
		if (!known)
			table->columns[table->ncolumns++] = attno;
	}
}

static void
open_table(Table *table, Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	const Trigger *trigger;

	wtc_check_may_read(relid);
	trigger = wtc_attached_trigger(rel);
	table->rel = rel;
	table->att = wtc_attachment_get(rel, trigger);
	table->cxt = CurrentMemoryContext;
	table->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel),
										   &TTSOpsVirtual);
	find_columns(table);
	table->past = IsolationUsesXactSnapshot() || !wtc_attachment_fires(trigger) ||
		!wtc_prefix_is_ours() ||
		check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED;
}

static void
close_table(Table *table)
{
	ExecDropSingleTupleTableSlot(table->slot);
	relation_close(table->rel, AccessShareLock);
}

/* --- the rows asked for --- */

static Form_pg_attribute
column(const Table *table, int i)
{
	return TupleDescAttr(RelationGetDescr(table->rel), table->columns[i] - 1);
}

/*
 * A value of any type as one of a column, by way of text if need be: the key has
 * it as the column writes it.
 */
static Datum
column_value(const Table *table, int i, Oid type, Datum value)
{
	Form_pg_attribute attr = column(table, i);
	Oid			function;
	Oid			param;
	bool		varlena;
	char	   *text;

	if (type == attr->atttypid && attr->atttypmod < 0)
		return value;
	if (type == UNKNOWNOID)
		text = DatumGetCString(value);
	else
	{
		getTypeOutputInfo(type, &function, &varlena);
		text = OidOutputFunctionCall(function, value);
	}
	getTypeInputInfo(attr->atttypid, &function, &param);
	return OidInputFunctionCall(function, text, param, attr->atttypmod);
}

/* Makes the key of a row. */
static void
make_key(const Table *table, Row *row)
{
	TupleTableSlot *slot = table->slot;
	WtcEntered	entered;

	ExecClearTuple(slot);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
		slot->tts_isnull[i] = true;
	for (int i = 0; i < table->ncolumns; i++)
	{
		slot->tts_values[table->columns[i] - 1] = row->values[i];
		slot->tts_isnull[table->columns[i] - 1] = false;
	}
	ExecStoreVirtualTuple(slot);
	wtc_enter(table->att, &entered);
	PG_TRY();
	{
		row->keyed = wtc_render_key(table->att, slot, &row->reading.key);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
}

/*
 * Its values are those of the columns, of one type or (InvalidOid) of theirs;
 * without one of them there is no row.
 */
static void
ask_for(const Table *table, Row *row, Oid type, const Datum *values,
		const bool *nulls)
{
	memset(row, 0, sizeof(*row));
	row->absent = true;
	row->values = palloc(sizeof(Datum) * table->ncolumns);
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (nulls[i])
			return;
		row->values[i] = OidIsValid(type) ?
			column_value(table, i, type, values[i]) : values[i];
	}
	row->absent = false;
	make_key(table, row);
}

/* --- reading the table --- */

static char *
query_for(const Table *table)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT t.tableoid, t.ctid FROM %s%s t WHERE ",
					 table->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
					 "" : "ONLY ",
					 wtc_qualified_name(RelationGetRelid(table->rel)));
	for (int i = 0; i < table->ncolumns; i++)
	{
		Form_pg_attribute attr = column(table, i);
		TypeCacheEntry *type = lookup_type_cache(attr->atttypid,
												 TYPECACHE_EQ_OPR);

		if (!OidIsValid(type->eq_opr))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("could not identify an equality operator for type %s",
							format_type_be(attr->atttypid))));
		if (i > 0)
			appendStringInfoString(&sql, " AND ");
		generate_operator_clause(&sql,
								 psprintf("t.%s", quote_identifier(NameStr(attr->attname))),
								 attr->atttypid, type->eq_opr,
								 psprintf("$%d", i + 1), attr->atttypid);
	}
	return sql.data;
}

static SPIPlanPtr
prepare(const Table *table)
{
	Oid		   *types = palloc(sizeof(Oid) * table->ncolumns);
	char	   *sql = query_for(table);
	SPIPlanPtr	plan;

	for (int i = 0; i < table->ncolumns; i++)
		types[i] = column(table, i)->atttypid;
	plan = SPI_prepare(sql, table->ncolumns, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Has this transaction written the row?  If not, the one that has is made
 * durable, which it may not be if it did not wait for that.
 */
static bool
is_own(TupleTableSlot *slot)
{
	bool		mine;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &mine);
	TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);
	XLogRecPtr	commit;

	if (TransactionIdIsCurrentTransactionId(xmin))
		return true;
	if (TransactionIdIsNormal(xmin) && !RecoveryInProgress())
	{
		commit = TransactionIdGetCommitLSN(xmin);
		if (!XLogRecPtrIsInvalid(commit))
			XLogFlush(commit);
	}
	return false;
}

static void
render(WtcAttachment *att, TupleTableSlot *slot, Row *row, WtcFill *fill)
{
	WtcEntered	entered;
	WtcRendered rendered = {0};

	wtc_enter(att, &entered);
	PG_TRY();
	{
		wtc_render_row(att, slot, &rendered);
		row->made = wtc_render_image(att, slot, &row->image);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	row->no_images = att->no_images;
	fill->kind = WTC_FILL_NOT;
	if (row->made != WTC_IMAGE_MADE || !rendered.cached ||
		rendered.untaggable || !wtc_enabled ||
		!wtc_span_equal(rendered.key, row->reading.key))
		return;
	row->image.key = rendered.key;
	row->image.tags = rendered.tags;
	wtc_spread_ttl(&row->image);
	wtc_render_patterns(&att->patterns, &row->image);
	fill->op = row->image;
	fill->kind = WTC_FILL_VALUE;
}

/* The row that the query has found. */
static void
take_row(const Table *table, Row *row, WtcFill *fill, Oid relid,
		 ItemPointer tid)
{
	Relation	part = table_open(relid, AccessShareLock);
	const Trigger *trigger = wtc_attached_trigger(part);
	TupleTableSlot *slot = table_slot_create(part, NULL);

	if (!table_tuple_fetch_row_version(part, tid, GetActiveSnapshot(), slot))
		elog(ERROR, "could not fetch a row that was found");
	render(wtc_attachment_get(part, trigger), slot, row, fill);
	if (!wtc_attachment_fires(trigger) || is_own(slot))
		fill->kind = WTC_FILL_NOT;
	ExecDropSingleTupleTableSlot(slot);
	table_close(part, AccessShareLock);
}

static void
load_row(const Table *table, SPIPlanPtr plan, Row *row, WtcFill *fill)
{
	int			result = SPI_execute_plan(plan, row->values, NULL, true, 1);
	SPITupleTable *found = SPI_tuptable;
	MemoryContext old;
	bool		isnull;

	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read \"%s\": %s",
			 RelationGetRelationName(table->rel),
			 SPI_result_code_string(result));
	row->reading.found = WTC_FOUND_ELSEWHERE;
	row->absent = SPI_processed == 0;
	/* unless this transaction has deleted it, with its trigger disabled */
	fill->kind = TransactionIdIsValid(GetTopTransactionIdIfAny()) ?
		WTC_FILL_NOT : WTC_FILL_ABSENCE;
	if (!row->absent)
	{
		Datum		relid = SPI_getbinval(found->vals[0], found->tupdesc, 1,
										  &isnull);
		Datum		tid = SPI_getbinval(found->vals[0], found->tupdesc, 2,
										&isnull);

		old = MemoryContextSwitchTo(table->cxt);
		take_row(table, row, fill, DatumGetObjectId(relid),
				 (ItemPointer) DatumGetPointer(tid));
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(found);
}

/* A WtcLoader. */
static XLogRecPtr
load_rows(void *arg, WtcReading *const *readings, WtcFill *fills, int n)
{
	const Table *table = arg;
	XLogRecPtr	mark = InvalidXLogRecPtr;
	SPIPlanPtr	plan;

	SPI_connect();
	plan = prepare(table);
	PushActiveSnapshot(IsolationUsesXactSnapshot() ? GetTransactionSnapshot() :
					   GetLatestSnapshot());
	for (int i = 0; i < n; i++)
		load_row(table, plan, (Row *) readings[i], &fills[i]);
	PopActiveSnapshot();
	if (!RecoveryInProgress())
		mark = GetXLogInsertRecPtr();
	SPI_finish();
	return mark;
}

/* Has this transaction changed the row, or may it have? */
static bool
is_pending(const Row *row)
{
	WtcOperation op;

	return wtc_pending_find(row->reading.key, &op) || wtc_pending_spilled();
}

static void
fetch(Table *table, Row *rows, int n)
{
	WtcReading **ask = palloc(sizeof(WtcReading *) * (n + 1));
	WtcReading **past = palloc(sizeof(WtcReading *) * (n + 1));
	int			nask = 0;
	int			npast = 0;

	for (int i = 0; i < n; i++)
	{
		if (rows[i].absent)
			continue;
		if (table->past || !rows[i].keyed || is_pending(&rows[i]))
			past[npast++] = &rows[i].reading;
		else
			ask[nask++] = &rows[i].reading;
	}
	wtc_read_past(past, npast, load_rows, table);
	wtc_read_through(ask, nask, wtc_enabled && wtc_lease_ms() > 0, load_rows,
					 table);
}

/* The key as text, in the server's encoding. */
static char *
key_text(const Row *row)
{
	WtcSpan		key = row->reading.key;

	return pg_any_to_server(pnstrdup(key.data, key.len), (int) key.len,
							PG_UTF8);
}

/* The image of a row of the table, as it was filled if it was. */
static Datum
own_image(const Table *table, const Row *row)
{
	WtcOperation op = row->image;

	if (row->made != WTC_IMAGE_MADE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row of \"%s\" has no image",
						RelationGetRelationName(table->rel)),
				 row->made == WTC_IMAGE_TOO_LARGE ?
				 errdetail("It is larger than wtcache.max_image_size.") :
				 row->no_images != NULL ?
				 errdetail("There can be no images: %s.", row->no_images) :
				 errdetail("It cannot be written in UTF-8."),
				 errhint("Read the table.")));
	/* otherwise its version is not known: what is pushed later could be less */
	if (row->reading.filled != InvalidXLogRecPtr && op.kind == WTC_OP_SET)
		op.value = wtc_lease_value(&op, row->reading.filled);
	return wtc_return_operation(&op, &wtc_as_jsonb);
}

/* False: there is no row. */
static bool
image_of(const Table *table, const Row *row, Datum *image)
{
	WtcNamedKey named;
	bool		any;

	if (row->absent || row->reading.found == WTC_FOUND_ABSENCE)
		return false;
	if (row->reading.found == WTC_FOUND_ELSEWHERE)
	{
		*image = own_image(table, row);
		return true;
	}
	wtc_name_key(&named, key_text(row));
	any = wtc_return_value(&row->reading.value, &wtc_as_jsonb, image);
	wtc_unname_key(&named);
	return any;
}

/* --- SQL --- */

static void
check_count(const Table *table, int n)
{
	if (n != table->ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key of \"%s\" has %d columns, but %d values were given",
						RelationGetRelationName(table->rel), table->ncolumns,
						n),
				 errhint("Give the values of the columns that the key names, in that order; see wtcache.attachments.")));
}

/* The elements of an array. */
static int
take_array(ArrayType *array, Oid *type, Datum **values, bool **nulls)
{
	int16		len;
	bool		byval;
	char		align;
	int			n;

	*type = ARR_ELEMTYPE(array);
	get_typlenbyvalalign(*type, &len, &byval, &align);
	deconstruct_array(array, *type, len, byval, align, values, nulls, &n);
	return n;
}

/* A value of VARIADIC "any": each has a type of its own. */
static void
ask_for_arguments(const Table *table, Row *row, FunctionCallInfo fcinfo)
{
	Datum	   *values = palloc(sizeof(Datum) * table->ncolumns);
	bool	   *nulls = palloc(sizeof(bool) * table->ncolumns);

	check_count(table, PG_NARGS() - 1);
	for (int i = 0; i < table->ncolumns; i++)
	{
		nulls[i] = PG_ARGISNULL(i + 1);
		if (!nulls[i])
			values[i] = column_value(table, i,
									 get_fn_expr_argtype(fcinfo->flinfo, i + 1),
									 PG_GETARG_DATUM(i + 1));
	}
	ask_for(table, row, InvalidOid, values, nulls);
}

static void
check_relation(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
}

Datum
wtcache_fetch(PG_FUNCTION_ARGS)
{
	Table		table;
	Row			row;
	Datum		image;
	bool		any;

	check_relation(fcinfo);
	open_table(&table, PG_GETARG_OID(0));
	if (get_fn_expr_variadic(fcinfo->flinfo) && !PG_ARGISNULL(1))
	{
		Oid			type;
		Datum	   *values;
		bool	   *nulls;

		check_count(&table, take_array(PG_GETARG_ARRAYTYPE_P(1), &type,
									   &values, &nulls));
		ask_for(&table, &row, type, values, nulls);
	}
	else
		ask_for_arguments(&table, &row, fcinfo);
	fetch(&table, &row, 1);
	any = image_of(&table, &row, &image);
	close_table(&table);
	if (!any)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(image);
}

/* How many values a key has in this array. */
static int
key_width(ArrayType *array)
{
	return ARR_NDIM(array) == 2 ? ARR_DIMS(array)[1] :
		ARR_NDIM(array) > 2 ? 0 : 1;
}

Datum
wtcache_fetch_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Table		table;
	Oid			type;
	Datum	   *elems;
	bool	   *nulls;
	int			nrows = take_array(array, &type, &elems, &nulls);
	Row		   *rows;

	InitMaterializedSRF(fcinfo, 0);
	open_table(&table, PG_GETARG_OID(0));
	if (nrows > 0)
		check_count(&table, key_width(array));
	nrows /= table.ncolumns;
	rows = palloc_extended(sizeof(Row) * Max(nrows, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nrows; i++)
		ask_for(&table, &rows[i], type, elems + i * table.ncolumns,
				nulls + i * table.ncolumns);
	fetch(&table, rows, nrows);
	for (int i = 0; i < nrows; i++)
	{
		Datum		values[3];
		bool		isnull[3] = {0};

		values[0] = Int32GetDatum(i + 1);
		isnull[1] = !rows[i].keyed;
		if (rows[i].keyed)
			values[1] = CStringGetTextDatum(key_text(&rows[i]));
		isnull[2] = !image_of(&table, &rows[i], &values[2]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
							 isnull);
	}
	close_table(&table);
	return (Datum) 0;
}
