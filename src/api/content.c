/*-------------------------------------------------------------------------
 *
 * content.c
 *	  What the cache holds, as values of SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/content.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

/* UTF-8 from outside, as a string in the server's encoding. */
static char *
from_utf8(const char *data, size_t len)
{
	char	   *copy = palloc(len + 1);

	/* with all its bytes, so that a NUL among them is found and refused */
	memcpy(copy, data, len);
	copy[len] = '\0';
	return pg_any_to_server(copy, (int) len, PG_UTF8);
}

static Datum
jsonb_of(const char *data, size_t len)
{
	return DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(from_utf8(data, len)));
}

static Datum
text_of(const char *data, size_t len)
{
	return CStringGetTextDatum(from_utf8(data, len));
}

static Datum
bytea_of(const char *data, size_t len)
{
	return PointerGetDatum(cstring_to_text_with_len(data, (int) len));
}

const WtcReturnedAs wtc_as_jsonb = {jsonb_of, true};
const WtcReturnedAs wtc_as_text = {text_of, false};
const WtcReturnedAs wtc_as_bytea = {bytea_of, false};

static void
check_hash(const WtcReturnedAs *as)
{
	if (!as->hashes)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("key holds a hash, not a string"),
				 errhint("Use wtcache.get(), which returns it as an object.")));
}

/* A jsonb object of text values from pairs of strings. */
static Datum
object_of(char *const *strings, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		elems[i] = CStringGetTextDatum(strings[i]);
	return DirectFunctionCall1(jsonb_object,
							   PointerGetDatum(construct_array(elems, n,
															   TEXTOID, -1, false,
															   TYPALIGN_INT)));
}

static Datum
object_of_list(const WtcList *list)
{
	WtcCursor	cursor = wtc_list_cursor(list);
	char	  **strings = palloc(sizeof(char *) * (list->count + 1));
	WtcSpan		string;
	int			n = 0;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &string))
		strings[n++] = from_utf8(string.data, string.len);
	return object_of(strings, n);
}

static Datum
object_of_value(const WtcValue *value)
{
	char	  **strings = palloc(sizeof(char *) * (value->len / sizeof(uint32) + 1));
	const char *p = value->data;
	const char *end = value->data + value->len;
	int			n = 0;

	while (p < end)
	{
		uint32		len;

		memcpy(&len, p, sizeof(len));
		strings[n++] = from_utf8(p + sizeof(len), len);
		p += sizeof(len) + len;
	}
	return object_of(strings, n);
}

bool
wtc_return_value(const WtcValue *value, const WtcReturnedAs *as,
				 Datum *result)
{
	switch (value->kind)
	{
		case WTC_VALUE_NONE:
		case WTC_VALUE_NUMBER:
			break;
		case WTC_VALUE_STRING:
			*result = as->string(value->data, value->len);
			return true;
		case WTC_VALUE_HASH:
			if (value->len == 0)
				break;
			check_hash(as);
			*result = object_of_value(value);
			return true;
	}
	return false;
}

Datum
wtc_return_operation(const WtcOperation *op, const WtcReturnedAs *as)
{
	if (op->kind == WTC_OP_SET)
		return as->string(op->value.data, op->value.len);
	check_hash(as);
	return object_of_list(&op->fields);
}

static void
name_key(void *arg)
{
	if (ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_DATA_EXCEPTION)
		errhint("wtcache.get_text() returns values that are not JSON, wtcache.get_bytea() also those that are not text.");
	errcontext("value of key \"%s\" in the cache", (const char *) arg);
}

void
wtc_name_key(WtcNamedKey *named, const char *key)
{
	named->context.previous = error_context_stack;
	named->context.callback = name_key;
	named->context.arg = unconstify(char *, key);
	error_context_stack = &named->context;
}

void
wtc_unname_key(const WtcNamedKey *named)
{
	error_context_stack = named->context.previous;
}
