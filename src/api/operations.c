/*-------------------------------------------------------------------------
 *
 * operations.c
 *	  wtcache.set(), delete(), invalidate_tags(), get(), get_text() and
 *	  get_bytea().
 *
 * What they change is pending like a captured row: it reaches Redis if the
 * transaction commits, and is gone with a rollback to a savepoint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "api/content.h"
#include "api/operations.h"
#include "capture/image.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "read/ask.h"
#include "read/answer.h"
#include "redis/keys.h"
#include "shared/debug.h"
#include "sql.h"
#include "txn/pending.h"
#include "txn/prefix.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(wtcache_set);
PG_FUNCTION_INFO_V1(wtcache_set_text);
PG_FUNCTION_INFO_V1(wtcache_set_bytea);
PG_FUNCTION_INFO_V1(wtcache_delete);
PG_FUNCTION_INFO_V1(wtcache_invalidate_tags);
PG_FUNCTION_INFO_V1(wtcache_get);
PG_FUNCTION_INFO_V1(wtcache_get_text);
PG_FUNCTION_INFO_V1(wtcache_get_bytea);
PG_FUNCTION_INFO_V1(wtcache_debug_release);

/* A complete name in Redis from what the user called it. */
static WtcSpan
complete(const char *text, const char *what,
		 bool (*completer) (const char *, WtcSpan *))
{
	WtcSpan		span;

	if (text[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", what)));
	if (!completer(text, &span))
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("%s cannot be written in UTF-8", what)));
	return span;
}

static void
refuse_reserved(bool reserved, const char *key)
{
	if (reserved)
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("key \"%s\" is reserved", key),
				 errdetail("Keys that begin with \"wtcache:\" or with wtcache.tag_prefix name records and tags of wtcache, and those with a prefix of another database belong to that one.")));
}

/* The same for a key that is to be written. */
static WtcSpan
complete_key(const char *text)
{
	refuse_reserved(wtc_key_is_reserved(text), text);
	return complete(text, "key", wtc_complete_key);
}

/* The elements of an array as text; those of other types as they are written. */
static Datum *
elements(ArrayType *array, const char *what, int *n)
{
	Oid			type = ARR_ELEMTYPE(array);
	Datum	   *elems;
	int16		len;
	bool		byval;
	char		align;
	Oid			output;
	bool		varlena;

	if (array_contains_nulls(array))
		wtc_refuse_null(what);
	get_typlenbyvalalign(type, &len, &byval, &align);
	deconstruct_array(array, type, len, byval, align, &elems, NULL, n);
	if (type == TEXTOID)
		return elems;
	getTypeOutputInfo(type, &output, &varlena);
	for (int i = 0; i < *n; i++)
		elems[i] = CStringGetTextDatum(OidOutputFunctionCall(output, elems[i]));
	return elems;
}

static WtcList
tag_list(ArrayType *array)
{
	WtcList		list = {0};
	StringInfoData buf;
	int			n;
	Datum	   *elems = elements(array, "tag", &n);

	if (n > WTC_MAX_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a key cannot carry more than %d tags", WTC_MAX_TAGS)));
	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
	{
		WtcSpan		tag = complete(TextDatumGetCString(elems[i]), "tag",
								   wtc_complete_tag);

		if (!wtc_list_has(&list, tag))
		{
			wtc_put_string(&buf, tag.data, tag.len);
			list.count++;
		}
		list.bytes.data = buf.data;
		list.bytes.len = buf.len;
	}
	return list;
}

/*
 * No template tells that a key is ours, so that is noted for each, in a set that
 * is kept like those of tags.
 */
static void
list_value(WtcList *tags)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, tags->bytes.data, tags->bytes.len);
	wtc_put_string(&buf, WTC_KEY_VALUES, strlen(WTC_KEY_VALUES));
	tags->count++;
	tags->bytes.data = buf.data;
	tags->bytes.len = buf.len;
}

void
wtc_storing_arguments(FunctionCallInfo fcinfo, WtcOperation *op)
{
	op->key = complete_key(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (PG_ARGISNULL(2))
	{
		op->ttl_ms = (uint64) wtc_default_ttl * 1000;
		wtc_spread_ttl(op);
	}
	else
		op->ttl_ms = wtc_interval_ms(PG_GETARG_INTERVAL_P(2));
	if (!PG_ARGISNULL(3))
		op->tags = tag_list(PG_GETARG_ARRAYTYPE_P(3));
	wtc_render_patterns(NULL, op);
	list_value(&op->tags);
}

/* What of the arguments is the same for all types of value. */
static void
check_set(FunctionCallInfo fcinfo)
{
	PreventCommandIfReadOnly("wtcache.set()");
	if (PG_ARGISNULL(0))
		wtc_refuse_null("key");
	if (PG_ARGISNULL(1))
		wtc_refuse_null("value");
}

static Datum
set(FunctionCallInfo fcinfo, WtcSpan value)
{
	WtcChange	change = {.op = {.kind = WTC_OP_SET,.value = value}};

	if (value.len > (uint64) wtc_max_image_size * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value is too large for the cache"),
				 errdetail("It has %u bytes, and \"%s\" is %d kB.",
						   value.len, "wtcache.max_image_size",
						   wtc_max_image_size)));
	wtc_storing_arguments(fcinfo, &change.op);
	if (!wtc_enabled)
		change.op.kind = WTC_OP_DELETE;
	wtc_pending_add(&change);
	PG_RETURN_VOID();
}

static WtcSpan
value_in_utf8(const char *string, int len)
{
	WtcSpan		value;

	if (!wtc_to_utf8(string, len, &value))
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("value cannot be written in UTF-8")));
	return value;
}

Datum
wtcache_set(PG_FUNCTION_ARGS)
{
	char	   *json;

	check_set(fcinfo);
	json = DatumGetCString(DirectFunctionCall1(jsonb_out,
											   PG_GETARG_DATUM(1)));
	return set(fcinfo, value_in_utf8(json, strlen(json)));
}

/* text, and json, which is the same in memory */
Datum
wtcache_set_text(PG_FUNCTION_ARGS)
{
	text	   *value;

	check_set(fcinfo);
	value = PG_GETARG_TEXT_PP(1);
	return set(fcinfo, value_in_utf8(VARDATA_ANY(value),
									 VARSIZE_ANY_EXHDR(value)));
}

Datum
wtcache_set_bytea(PG_FUNCTION_ARGS)
{
	bytea	   *bytes;
	WtcSpan		value;

	check_set(fcinfo);
	bytes = PG_GETARG_BYTEA_PP(1);
	value.data = VARDATA_ANY(bytes);
	value.len = VARSIZE_ANY_EXHDR(bytes);
	return set(fcinfo, value);
}

Datum
wtcache_delete(PG_FUNCTION_ARGS)
{
	int			n;
	Datum	   *keys = elements(PG_GETARG_ARRAYTYPE_P(0), "key", &n);

	PreventCommandIfReadOnly("wtcache.delete()");
	for (int i = 0; i < n; i++)
	{
		WtcChange	change = {.op = {.kind = WTC_OP_DELETE}};

		change.op.key = complete_key(TextDatumGetCString(keys[i]));
		wtc_pending_add(&change);
	}
	PG_RETURN_VOID();
}

Datum
wtcache_invalidate_tags(PG_FUNCTION_ARGS)
{
	int			n;
	Datum	   *tags = elements(PG_GETARG_ARRAYTYPE_P(0), "tag", &n);

	PreventCommandIfReadOnly("wtcache.invalidate_tags()");
	for (int i = 0; i < n; i++)
	{
		WtcChange	change = {.op = {.kind = WTC_OP_INVALIDATE}};

		change.op.key = complete(TextDatumGetCString(tags[i]), "tag",
								 wtc_complete_tag);
		wtc_pending_add(&change);
	}
	PG_RETURN_VOID();
}

/*
 * Has this transaction done something to the key?  Then that is the answer.
 * If some of what it has done is no longer in memory, it may have: a miss.
 */
static bool
get_pending(WtcSpan key, const WtcReturnedAs *as, Datum *result, bool *isnull)
{
	WtcOperation op;

	if (!wtc_pending_find(key, &op))
	{
		*isnull = wtc_pending_spilled();
		return *isnull;
	}
	*isnull = op.kind == WTC_OP_DELETE;
	if (!*isnull)
		*result = wtc_return_operation(&op, as);
	return true;
}

static void
check_read(WtcStatus status)
{
	if (status == WTC_FAIL_WRONGTYPE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("key is neither a string nor a hash in Redis")));
	wtc_check_answer(status);
}

/* Does the key carry a tag that this transaction has invalidated? */
static bool
carries_tag(WtcSpan tag, void *arg)
{
	WtcSpan    *key = arg;
	bool		member;

	check_read(wtc_read_is_member(tag.data, tag.len, key->data, key->len,
								  &member));
	return member;
}

/* What the cache holds under a key; *isnull: nothing. */
static Datum
get(WtcSpan key, const WtcReturnedAs *as, bool *isnull)
{
	WtcValue	value;
	Datum		result = (Datum) 0;

	if (get_pending(key, as, &result, isnull))
		return result;

	check_read(wtc_read_get(key.data, key.len, &value));
	if (value.kind == WTC_VALUE_NONE || wtc_pending_any_tag(carries_tag, &key))
	{
		*isnull = true;
		return (Datum) 0;
	}

	*isnull = !wtc_return_value(&value, as, &result);
	return result;
}

static Datum
get_as(FunctionCallInfo fcinfo, const WtcReturnedAs *as)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	WtcSpan		key = complete(name, "key", wtc_complete_key);
	WtcNamedKey named;
	bool		isnull = false;
	Datum		result;

	wtc_check_prefix();
	refuse_reserved(wtc_key_of_other_database(name), name);
	wtc_name_key(&named, name);
	result = get(key, as, &isnull);
	wtc_unname_key(&named);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

Datum
wtcache_get(PG_FUNCTION_ARGS)
{
	return get_as(fcinfo, &wtc_as_jsonb);
}

Datum
wtcache_get_text(PG_FUNCTION_ARGS)
{
	return get_as(fcinfo, &wtc_as_text);
}

Datum
wtcache_get_bytea(PG_FUNCTION_ARGS)
{
	return get_as(fcinfo, &wtc_as_bytea);
}

/* For tests only; no extension script declares it. */
Datum
wtcache_debug_release(PG_FUNCTION_ARGS)
{
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser")));
	PG_RETURN_BOOL(wtc_debug_release());
}
