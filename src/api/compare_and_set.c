/*-------------------------------------------------------------------------
 *
 * compare_and_set.c
 *	  wtcache.compare_and_set(): changes a row that has the version that its
 *	  reader has seen.
 *
 * It is an UPDATE with the version in its WHERE clause, with all rights of the
 * caller: the table decides, and the cache follows by the capture trigger.  If
 * no row has been updated, a query finds out why.  Under READ COMMITTED it sees
 * what the UPDATE may have waited for; in higher isolation levels the UPDATE
 * fails by itself.
 *
 * The function counts the version up if it is a number or a time; otherwise a
 * trigger of the table has to change it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/attachment_cache.h"
#include "capture/image.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "sql.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(wtcache_compare_and_set);

typedef struct Comparing
{
	Relation	rel;
	WtcAttachment *att;
	Jsonb	   *pk;
	Jsonb	   *expected;
	Jsonb	   *changes;
} Comparing;

static const char *
column_name(const Comparing *c, AttrNumber attno)
{
	return NameStr(TupleDescAttr(c->att->desc, attno - 1)->attname);
}

static char *
type_name(Oid type, int32 typmod)
{
	return format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN |
								FORMAT_TYPE_FORCE_QUALIFY);
}

/* The operator by which the type's values are equal, with its schema. */
static char *
equality(Oid type)
{
	Oid			operator = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple;
	Form_pg_operator form;
	char	   *name;

	if (!OidIsValid(operator))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an equality operator for type %s",
						format_type_be(type))));
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

/* Appends that a column has a value, given as an expression of type text. */
static void
append_equal(StringInfo sql, const Comparing *c, AttrNumber attno,
			 const char *value)
{
	Oid			type = TupleDescAttr(c->att->desc, attno - 1)->atttypid;

	appendStringInfo(sql, "t.%s %s (%s)::%s",
					 quote_identifier(column_name(c, attno)), equality(type),
					 value, type_name(type, -1));
}

/* The whole of a parameter as a text. */
#define SCALAR(param)	"($" param " OPERATOR(pg_catalog.#>>) '{}')"

/* Appends the WHERE clause: the row is the one that is meant. */
static void
append_where(StringInfo sql, const Comparing *c)
{
	const Bitmapset *columns = c->att->key->columns;
	int			attno = -1;

	appendStringInfoString(sql, " WHERE ");
	if (JB_ROOT_IS_SCALAR(c->pk) && bms_num_members(columns) == 1)
	{
		append_equal(sql, c, bms_singleton_member(columns), SCALAR("1"));
		return;
	}
	while ((attno = bms_next_member(columns, attno)) >= 0)
	{
		const char *name = column_name(c, attno);
		JsonbValue	value;

		if (!JB_ROOT_IS_OBJECT(c->pk) ||
			JB_ROOT_COUNT(c->pk) != bms_num_members(columns) ||
			getKeyJsonValueFromContainer(&c->pk->root, name, strlen(name),
										 &value) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("pk does not name a row of \"%s\"",
							RelationGetRelationName(c->rel)),
					 errdetail("The key of the attachment is \"%s\".",
							   c->att->key->text),
					 errhint("Give an object with a value for each column of the key, or just the value if it has one column.")));
		append_equal(sql, c, attno,
					 psprintf("$1 OPERATOR(pg_catalog.->>) %s",
							  quote_literal_cstr(name)));
		appendStringInfoString(sql, " AND ");
	}
	sql->len -= strlen(" AND ");
	sql->data[sql->len] = '\0';
}

/*
 * What the function makes of a version; NULL: nothing.  Clocks may go back, and
 * two changes may fall into one microsecond.
 */
static const char *
next_version(const Comparing *c)
{
	const char *column = quote_identifier(column_name(c, c->att->version->attno));
	Oid			type = getBaseType(c->att->version->type);

	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
			return psprintf("t.%s OPERATOR(pg_catalog.+) 1", column);
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return psprintf("GREATEST(pg_catalog.clock_timestamp()::%s, t.%s OPERATOR(pg_catalog.+) '1 microsecond'::pg_catalog.interval)",
							type_name(type, -1), column);
		default:
			return NULL;
	}
}

/* A column that is to be changed. */
static Form_pg_attribute
changed_column(const Comparing *c, const JsonbValue * key)
{
	char	   *name = pnstrdup(key->val.string.val, key->val.string.len);
	AttrNumber	attno = get_attnum(RelationGetRelid(c->rel), name);

	if (attno == c->att->version->attno)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("changes must not have the version")));
	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						name, RelationGetRelationName(c->rel))));
	return TupleDescAttr(c->att->desc, attno - 1);
}

/* Appends the assignments, and to record the columns that they take. */
static void
append_changes(StringInfo sql, StringInfo record, const Comparing *c)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	const char *next = next_version(c);
	const char *separator = "";

	if (!JB_ROOT_IS_OBJECT(c->changes) || JB_ROOT_COUNT(c->changes) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("changes must be an object of columns and their new values")));
	it = JsonbIteratorInit(&c->changes->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		Form_pg_attribute attr;
		const char *column;

		if (token != WJB_KEY)
			continue;
		attr = changed_column(c, &v);
		column = quote_identifier(NameStr(attr->attname));
		appendStringInfo(sql, "%s%s = r.%s", separator, column, column);
		appendStringInfo(record, "%s%s %s", separator, column,
						 type_name(attr->atttypid, attr->atttypmod));
		separator = ", ";
	}
	if (next != NULL)
		appendStringInfo(sql, ", %s = %s",
						 quote_identifier(column_name(c, c->att->version->attno)),
						 next);
}

/* Runs a statement over the row; what it says of it is in SPI_tuptable. */
static bool
run(const Comparing *c, const char *sql)
{
	Oid			types[] = {JSONBOID, JSONBOID, JSONBOID};
	Datum		values[] = {
		JsonbPGetDatum(c->pk), JsonbPGetDatum(c->expected),
		JsonbPGetDatum(c->changes)
	};

	if (SPI_execute_with_args(sql, 3, types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", sql);
	return SPI_processed > 0;
}

/* The version that it says, and whether that is the expected one. */
static Datum
said_version(bool *isnull, bool *same)
{
	bool		same_isnull;

	*same = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 2,
									   &same_isnull));
	*same &= !same_isnull;
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						 isnull);
}

/* A version as JSON, as the envelope has it. */
static char *
version_json(const Comparing *c, Datum version, bool isnull)
{
	WtcEntered	entered;
	char	   *volatile json = NULL;

	wtc_enter(c->att, &entered);
	PG_TRY();
	{
		json = wtc_render_version(c->att, version, isnull);
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	return json;
}

/* The table; an attachment is not that of children which inherit from it. */
static char *
table_name(const Comparing *c)
{
	return psprintf("%s%s",
					c->rel->rd_rel->relkind == RELKIND_RELATION ? "ONLY " : "",
					wtc_qualified_name(RelationGetRelid(c->rel)));
}

/* No row has been updated: raises the error that says why. */
static void
refuse(const Comparing *c, const char *version, const char *equal)
{
	StringInfoData sql;
	bool		isnull;
	bool		same;
	Datum		current;
	char	   *expected = JsonbToCString(NULL, &c->expected->root,
										  VARSIZE(c->expected));

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s, %s FROM %s t", version, equal,
					 table_name(c));
	append_where(&sql, c);
	if (!run(c, sql.data))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("row of \"%s\" has another version",
						RelationGetRelationName(c->rel)),
				 errdetail("The expected version is %s, and there is no such row.",
						   expected)));
	current = said_version(&isnull, &same);
	if (same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row of \"%s\" has not been updated",
						RelationGetRelationName(c->rel)),
				 errdetail("It has the expected version: a row security policy or a trigger has kept it.")));
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("row of \"%s\" has another version",
					RelationGetRelationName(c->rel)),
			 errdetail("The expected version is %s, that of the row is %s.",
					   expected, version_json(c, current, isnull))));
}

/* Returns the new version as JSON, in the memory of the caller. */
static char *
compare_and_set(const Comparing *c, MemoryContext cxt)
{
	StringInfoData sql;
	StringInfoData record;
	StringInfoData equal;
	char	   *version = psprintf("t.%s", quote_identifier(column_name(c, c->att->version->attno)));
	bool		isnull;
	bool		same;
	Datum		datum;

	initStringInfo(&sql);
	initStringInfo(&record);
	initStringInfo(&equal);
	append_equal(&equal, c, c->att->version->attno, SCALAR("2"));
	appendStringInfo(&sql, "UPDATE %s t SET ", table_name(c));
	append_changes(&sql, &record, c);
	appendStringInfo(&sql, " FROM pg_catalog.jsonb_to_record($3) r(%s)",
					 record.data);
	append_where(&sql, c);
	appendStringInfo(&sql, " AND %s", equal.data);
	appendStringInfo(&sql, " RETURNING %s, %s", version, equal.data);
	if (!run(c, sql.data))
		refuse(c, version, equal.data);
	datum = said_version(&isnull, &same);
	if (same || isnull)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("version of \"%s\" has not been changed",
						RelationGetRelationName(c->rel)),
				 errhint("A trigger has to set column \"%s\" in each UPDATE, unless it is a number or a time.",
						 column_name(c, c->att->version->attno))));
	return MemoryContextStrdup(cxt, version_json(c, datum, isnull));
}

static Jsonb *
given(FunctionCallInfo fcinfo, int i, const char *name)
{
	wtc_check_not_null(fcinfo, i, name);
	return i == 0 ? NULL : PG_GETARG_JSONB_P(i);
}

Datum
wtcache_compare_and_set(PG_FUNCTION_ARGS)
{
	MemoryContext cxt = CurrentMemoryContext;
	Comparing	c;
	char	   *version;

	(void) given(fcinfo, 0, "relation");
	c.pk = given(fcinfo, 1, "pk");
	c.expected = given(fcinfo, 2, "expected");
	c.changes = given(fcinfo, 3, "changes");
	c.rel = relation_open(PG_GETARG_OID(0), RowExclusiveLock);
	c.att = wtc_attachment_get(c.rel, wtc_attached_trigger(c.rel));
	if (c.att->version == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" has no column of versions for wtcache",
						RelationGetRelationName(c.rel)),
				 errhint("Call wtcache.alter(relation, version => 'column').")));
	SPI_connect();
	version = compare_and_set(&c, cxt);
	SPI_finish();
	relation_close(c.rel, NoLock);
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(version)));
}
