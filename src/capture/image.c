/*-------------------------------------------------------------------------
 *
 * image.c
 *	  From a row to its key, its tags and its image.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "attempt.h"
#include "capture/extent.h"
#include "capture/image.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "txn/prefix.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* longer names of keys and tags are none */
#define MAX_NAME_BYTES	(1024 * 1024)

/* no text takes more than so many times what wtc_extent() says */
#define MOST_GROWTH		64

bool
wtc_to_utf8(const char *text, int len, WtcSpan *out)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding == PG_SQL_ASCII &&
		!pg_verify_mbstr(PG_UTF8, text, len, true))
		return false;
	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII)
	{
		Oid			proc = FindDefaultConversionProc(encoding, PG_UTF8);
		Size		room = ((Size) len + 2) * MAX_CONVERSION_GROWTH;
		char	   *buf;

		if (!OidIsValid(proc) || room > PG_INT32_MAX)
			return false;
		buf = MemoryContextAllocHuge(CurrentMemoryContext, room);
		if (pg_do_encoding_conversion_buf(proc, encoding, PG_UTF8,
										  (unsigned char *) text, len,
										  (unsigned char *) buf, room,
										  true) != len)
			return false;
		text = buf;
		len = strlen(buf);
	}
	out->data = text;
	out->len = len;
	return true;
}

bool
wtc_key_is_reserved(const char *text)
{
	static const char own[] = "wtcache:";
	const char *name = wtc_key_prefix[0] == '\0' ? text :
	psprintf("%s%s", wtc_key_prefix, text);

	return strncmp(name, own, strlen(own)) == 0 ||
		(wtc_tag_prefix[0] != '\0' &&
		 strncmp(text, wtc_tag_prefix, strlen(wtc_tag_prefix)) == 0) ||
		wtc_key_of_other_database(text);
}

bool
wtc_complete_key(const char *text, WtcSpan *key)
{
	char	   *name = psprintf("%s%s", wtc_key_prefix, text);

	return wtc_to_utf8(name, strlen(name), key);
}

bool
wtc_complete_tag(const char *text, WtcSpan *tag)
{
	char	   *name = psprintf("%s%s%s", wtc_key_prefix, wtc_tag_prefix, text);

	return wtc_to_utf8(name, strlen(name), tag);
}

/* Are the values that a template names too long for a name? */
static bool
names_too_much(WtcAttachment *att, const WtcTemplate *tpl,
			   TupleTableSlot *slot)
{
	for (int i = 0; i < tpl->nparts; i++)
	{
		AttrNumber	attno = tpl->parts[i].attno;
		Form_pg_attribute attr;
		bool		isnull;
		Datum		value;

		if (attno == 0)
			continue;
		attr = TupleDescAttr(att->desc, attno - 1);
		if (attr->attlen != -1)
			continue;
		value = slot_getattr(slot, attno, &isnull);
		if (!isnull &&
			wtc_extent_matters(toast_raw_datum_size(value), MAX_NAME_BYTES) &&
			wtc_extent(attr->atttypid, value, MAX_NAME_BYTES) > MAX_NAME_BYTES)
			return true;
	}
	return false;
}

/* A template's text for a row; false if there is none. */
static bool
render(WtcAttachment *att, const WtcTemplate *tpl, TupleTableSlot *slot,
	   char **text)
{
	StringInfoData buf;

	if (names_too_much(att, tpl, slot))
		return false;
	initStringInfo(&buf);
	if (!wtc_template_render(tpl, slot, wtc_attachment_output, att, &buf))
		return false;
	*text = buf.data;
	return buf.len > 0;
}

static bool
condition_holds(WtcAttachment *att, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value;

	if (att->condition == NULL)
		return true;
	ResetExprContext(att->econtext);
	att->econtext->ecxt_scantuple = slot;
	value = ExecEvalExprSwitchContext(att->condition, att->econtext,
									  &isnull);
	att->econtext->ecxt_scantuple = NULL;
	return !isnull && DatumGetBool(value);
}

bool
wtc_render_key(WtcAttachment *att, TupleTableSlot *slot, WtcSpan *key)
{
	char	   *text;

	return render(att, att->key, slot, &text) &&
		!wtc_key_is_reserved(text) && wtc_complete_key(text, key);
}

void
wtc_render_row(WtcAttachment *att, TupleTableSlot *slot, WtcRendered *row)
{
	StringInfoData list;
	char	   *text;

	memset(row, 0, sizeof(*row));
	if (!condition_holds(att, slot) ||
		!wtc_render_key(att, slot, &row->key))
		return;
	row->cached = true;

	if (att->ntags == 0)
		return;
	initStringInfo(&list);
	for (int i = 0; i < att->ntags; i++)
	{
		WtcSpan		tag;

		row->tags.bytes.data = list.data;
		row->tags.bytes.len = list.len;
		if (!render(att, att->tags[i], slot, &text))
		{
			row->untaggable |= names_too_much(att, att->tags[i], slot);
			continue;
		}
		if (!wtc_complete_tag(text, &tag))
			row->untaggable = true;
		else if (!wtc_list_has(&row->tags, tag))
		{
			wtc_put_string(&list, tag.data, tag.len);
			row->tags.count++;
		}
	}
	row->tags.bytes.data = list.data;
	row->tags.bytes.len = list.len;
}

bool
wtc_render_invalidated(WtcAttachment *att, int i, TupleTableSlot *slot,
					   WtcSpan *tag)
{
	char	   *text;

	return render(att, att->invalidates[i], slot, &text) &&
		wtc_complete_tag(text, tag);
}

/* What is written of a field, of the type of that. */
static Datum
field_value(WtcAttachment *att, TupleTableSlot *slot, WtcField *field,
			bool *isnull)
{
	Datum		value;

	if (field->attno != 0)
		value = slot_getattr(slot, field->attno, isnull);
	else
	{
		att->econtext->ecxt_scantuple = slot;
		value = ExecEvalExprSwitchContext(field->state, att->econtext, isnull);
		att->econtext->ecxt_scantuple = NULL;
	}
	return *isnull ? value : wtc_field_value(field, value);
}

/* The row, or the fields that are wanted of it, as a composite value. */
static Datum
row_datum(WtcAttachment *att, TupleTableSlot *slot)
{
	bool		mine;
	HeapTuple	tuple;
	Datum	   *values;
	bool	   *nulls;

	if (att->image_desc == NULL)
	{
		tuple = ExecFetchSlotHeapTuple(slot, false, &mine);
		return heap_copy_tuple_as_datum(tuple, att->desc);
	}

	values = palloc(sizeof(Datum) * att->nfields);
	nulls = palloc(sizeof(bool) * att->nfields);
	for (int i = 0; i < att->nfields; i++)
		values[i] = field_value(att, slot, &att->fields[i], &nulls[i]);
	tuple = heap_form_tuple(att->image_desc, values, nulls);
	return heap_copy_tuple_as_datum(tuple, att->image_desc);
}

/* {"version":7 without the brace that closes it. */
static text *
version_head(WtcAttachment *att, Datum version, bool isnull)
{
	HeapTuple	tuple;
	text	   *json;

	if (!isnull)
		version = wtc_field_value(att->version, version);
	tuple = heap_form_tuple(att->version_desc, &version, &isnull);
	json = DatumGetTextP(DirectFunctionCall1(row_to_json,
											 heap_copy_tuple_as_datum(tuple,
																	  att->version_desc)));
	SET_VARSIZE(json, VARSIZE(json) - 1);
	return json;
}

char *
wtc_render_version(WtcAttachment *att, Datum version, bool isnull)
{
	return text_to_cstring(version_head(att, version, isnull)) +
		strlen(WTC_VERSION_HEAD);
}

/* Puts the version beside the image. */
static text *
envelope(WtcAttachment *att, TupleTableSlot *slot, text * json)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (att->version_is_lsn)
		appendStringInfoString(&buf, WTC_VERSION_NONE);
	else
	{
		bool		isnull;
		Datum		version = slot_getattr(slot, att->version->attno, &isnull);
		text	   *head = version_head(att, version, isnull);

		appendBinaryStringInfo(&buf, VARDATA_ANY(head),
							   VARSIZE_ANY_EXHDR(head));
	}
	appendStringInfoString(&buf, ",\"data\":");
	appendBinaryStringInfo(&buf, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
	appendStringInfoChar(&buf, '}');
	return cstring_to_text_with_len(buf.data, buf.len);
}

static bool
json_image(WtcAttachment *att, TupleTableSlot *slot, WtcSpan *image)
{
	text	   *json = DatumGetTextPP(DirectFunctionCall1(row_to_json,
														  row_datum(att, slot)));

	if (att->enveloped)
		json = envelope(att, slot, json);
	return wtc_to_utf8(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json), image);
}

/* Appends a string in UTF-8; false if it cannot be. */
static bool
put_utf8(StringInfo buf, const char *string)
{
	WtcSpan		span;

	if (!wtc_to_utf8(string, strlen(string), &span))
		return false;
	wtc_put_string(buf, span.data, span.len);
	return true;
}

/* A field's value in its output form. */
static char *
field_output(WtcAttachment *att, WtcField *field, Datum value)
{
	if (field->writing == WTC_AS_IS && field->attno == 0)
		return OutputFunctionCall(&field->output, value);
	if (field->writing == WTC_AS_IS)
		return wtc_attachment_output(att, field->attno, value);
	if (OidIsValid(field->element))
		return OidOutputFunctionCall(F_ARRAY_OUT, value);
	return TextDatumGetCString(value);
}

/* Name and output form of every field that is not NULL. */
static bool
hash_image(WtcAttachment *att, TupleTableSlot *slot, WtcList *fields)
{
	StringInfoData buf;

	initStringInfo(&buf);
	fields->count = 0;
	for (int i = 0; i < att->nfields; i++)
	{
		WtcField   *field = &att->fields[i];
		bool		isnull;
		Datum		value = field_value(att, slot, field, &isnull);

		if (isnull)
			continue;
		if (!put_utf8(&buf, field->name) ||
			!put_utf8(&buf, field_output(att, field, value)))
			return false;
		fields->count += 2;
	}
	fields->bytes.data = buf.data;
	fields->bytes.len = buf.len;
	return fields->count > 0;
}

/* How large an image may be. */
static uint64
image_limit(void)
{
	return (uint64) Min(wtc_max_image_size, wtc_batch_memory) * 1024;
}

/* How much the values of varying length take together, by one measure. */
static uint64
sum_values(WtcAttachment *att, TupleTableSlot *slot, uint64 limit,
		   uint64 (*measure) (Oid type, Datum value, uint64 limit))
{
	uint64		sum = 0;

	for (int i = 0; i < att->nfields && sum <= limit; i++)
	{
		AttrNumber	attno = att->fields[i].attno;
		Form_pg_attribute attr;
		bool		isnull;
		Datum		value;

		/* what an expression makes is looked at when it is made */
		if (attno == 0)
			continue;
		attr = TupleDescAttr(att->desc, attno - 1);
		if (attr->attlen != -1)
			continue;
		value = slot_getattr(slot, attno, &isnull);
		if (!isnull)
			sum += measure(attr->atttypid, value, limit);
	}
	return sum;
}

static uint64
stored_size(Oid type, Datum value, uint64 limit)
{
	return toast_raw_datum_size(value);
}

/*
 * Will the image be larger than it may be?  Asked before it is made: what the
 * values take in memory, and their texts, is not to be bounded by the row.
 * *extent becomes about its size.
 */
static bool
is_too_large(WtcAttachment *att, TupleTableSlot *slot, uint64 *extent)
{
	uint64		limit = image_limit();

	*extent = sum_values(att, slot, limit, stored_size);
	if (*extent <= limit && wtc_extent_matters(*extent, limit))
		*extent = sum_values(att, slot, limit, wtc_extent);
	return *extent > limit;
}

static bool
make_image(WtcAttachment *att, TupleTableSlot *slot, WtcOperation *op)
{
	op->versioned = att->version_is_lsn;
	if (att->econtext != NULL)
		ResetExprContext(att->econtext);
	return op->kind == WTC_OP_HASH ? hash_image(att, slot, &op->fields) :
		json_image(att, slot, &op->value);
}

typedef struct Making
{
	WtcAttachment *att;
	TupleTableSlot *slot;
	WtcOperation *op;
	bool		made;
} Making;

static void
make(void *arg)
{
	Making	   *making = arg;

	making->made = make_image(making->att, making->slot, making->op);
}

/*
 * The same where the text might become so long that it cannot be made; which
 * takes a setting far above the default.
 */
static WtcImage
try_image(WtcAttachment *att, TupleTableSlot *slot, WtcOperation *op)
{
	Making		making = {att, slot, op};
	ErrorData  *error = wtc_attempt(make, &making);

	if (error == NULL)
		return making.made ? WTC_IMAGE_MADE : WTC_IMAGE_NONE;
	/* "invalid memory alloc request size" is an internal error */
	if (error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED &&
		error->sqlerrcode != ERRCODE_OUT_OF_MEMORY &&
		error->sqlerrcode != ERRCODE_INTERNAL_ERROR)
		ReThrowError(error);
	FreeErrorData(error);
	return WTC_IMAGE_TOO_LARGE;
}

WtcImage
wtc_render_image(WtcAttachment *att, TupleTableSlot *slot, WtcOperation *op)
{
	WtcImage	result;
	uint64		extent;

	if (att->no_images != NULL)
		return WTC_IMAGE_NONE;
	if (is_too_large(att, slot, &extent))
		return WTC_IMAGE_TOO_LARGE;
	op->ttl_ms = att->ttl_ms > 0 ? att->ttl_ms :
		(uint64) wtc_default_ttl * 1000;
	op->kind = att->format == WTC_FORMAT_HASH ? WTC_OP_HASH : WTC_OP_SET;
	if (extent > MaxAllocSize / MOST_GROWTH && !IsInParallelMode())
		result = try_image(att, slot, op);
	else
		result = make_image(att, slot, op) ? WTC_IMAGE_MADE : WTC_IMAGE_NONE;
	if (result == WTC_IMAGE_MADE &&
		(uint64) op->value.len + op->fields.bytes.len > image_limit())
		result = WTC_IMAGE_TOO_LARGE;
	return result;
}

void
wtc_spread_ttl(WtcOperation *op)
{
	uint32		hash = hash_bytes((const unsigned char *) op->key.data,
								  op->key.len);

	/* with 16 bits of it the product fits */
	op->ttl_ms -= op->ttl_ms * wtc_ttl_jitter * (hash >> 16) /
		(UINT64CONST(100) << 16);
}

/*
 * Patterns
 */

static void
append_escaped(StringInfo buf, const char *text)
{
	for (const char *c = text; *c; c++)
	{
		if (strchr("*?[]\\", *c) != NULL)
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *c);
	}
}

static void
append_glob(StringInfo buf, const WtcTemplate *tpl)
{
	append_escaped(buf, wtc_key_prefix);
	for (int i = 0; i < tpl->nparts; i++)
	{
		if (tpl->parts[i].attno == 0)
			append_escaped(buf, tpl->parts[i].literal);
		else
			appendStringInfoChar(buf, '*');
	}
}

char *
wtc_key_glob(const WtcTemplate *tpl)
{
	StringInfoData buf;
	WtcSpan		pattern;

	initStringInfo(&buf);
	append_glob(&buf, tpl);
	if (!wtc_to_utf8(buf.data, buf.len, &pattern))
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("key template \"%s\" cannot be written in UTF-8",
						tpl->text)));
	return pnstrdup(pattern.data, pattern.len);
}

/* The pattern of the sets of all tags. */
static WtcSpan
sets_glob(void)
{
	StringInfoData buf;
	WtcSpan		pattern;

	initStringInfo(&buf);
	append_escaped(&buf, wtc_key_prefix);
	append_escaped(&buf, wtc_tag_prefix);
	appendStringInfoChar(&buf, '*');
	/* then there is no tag, either */
	if (!wtc_to_utf8(buf.data, buf.len, &pattern))
		pattern = (WtcSpan)
	{
		"*", 1
	};
	return pattern;
}

static void
make_patterns(WtcPatterns *patterns)
{
	MemoryContext old;
	char	   *keys;

	if (patterns->key_prefix != NULL &&
		strcmp(patterns->key_prefix, wtc_key_prefix) == 0 &&
		strcmp(patterns->tag_prefix, wtc_tag_prefix) == 0)
		return;
	patterns->key_prefix = NULL;
	old = MemoryContextSwitchTo(patterns->cxt);
	keys = wtc_key_glob(patterns->key);
	patterns->keys.data = keys;
	patterns->keys.len = strlen(keys);
	patterns->sets = sets_glob();
	patterns->tag_prefix = pstrdup(wtc_tag_prefix);
	patterns->key_prefix = pstrdup(wtc_key_prefix);
	MemoryContextSwitchTo(old);
}

/* The pattern, as what it does not share with a string that it matches. */
static WtcPattern
pattern_beside(WtcSpan pattern, WtcSpan string)
{
	WtcPattern	result = {0};

	while (result.shared < Min(pattern.len, string.len) &&
		   pattern.data[result.shared] == string.data[result.shared])
		result.shared++;
	result.rest.data = pattern.data + result.shared;
	result.rest.len = pattern.len - result.shared;
	return result;
}

void
wtc_render_patterns(WtcPatterns *patterns, WtcOperation *op)
{
	if (patterns != NULL)
	{
		make_patterns(patterns);
		op->keys = pattern_beside(patterns->keys, op->key);
	}
	if (op->tags.count > 0)
		op->sets = pattern_beside(patterns != NULL ? patterns->sets :
								  sets_glob(),
								  wtc_list_first(&op->tags));
}
