/*-------------------------------------------------------------------------
 *
 * field.c
 *	  The fields of an image: their notation, and values that are written in
 *	  another way than PostgreSQL does.
 *
 * Such a value becomes a text, and an array of them an array of texts of the
 * same dimensions.  Values inside of composite values, ranges and jsonb stay
 * as they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/field.h"
#include "capture/name.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/*
 * Notation
 */

static char *
read_name(const char **p, char end)
{
	char	   *name = wtc_name_read(p, end);

	return name == NULL || name[0] == '\0' ? NULL : name;
}

bool
wtc_field_parse(const char *text, WtcFieldText *parts)
{
	const char *p = text;

	memset(parts, 0, sizeof(*parts));
	parts->name = parts->column = read_name(&p, '=');
	if (parts->name == NULL)
		return false;
	if (*p == '\0')
		return true;
	if (*p++ != '=')
		return false;
	parts->renamed = true;
	if (*p == '(')
	{
		size_t		len = strlen(p);

		parts->column = NULL;
		parts->expression = pnstrdup(p + 1, len - Min(len, 2));
		return p[len - 1] == ')';
	}
	parts->column = read_name(&p, '\0');
	return parts->column != NULL && *p == '\0';
}

static void
append_name(StringInfo buf, const char *name)
{
	if (name[0] != '"' && name[0] != '(' && strchr(name, '=') == NULL)
		appendStringInfoString(buf, name);
	else
		wtc_name_quote(buf, name);
}

char *
wtc_field_text(const WtcFieldText *parts)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (parts->renamed)
	{
		append_name(&buf, parts->name);
		appendStringInfoChar(&buf, '=');
	}
	if (parts->column == NULL)
		appendStringInfo(&buf, "(%s)", parts->expression);
	else
		append_name(&buf, parts->column);
	return buf.data;
}

char *
wtc_version_column(const char *text)
{
	WtcFieldText parts;

	return wtc_field_parse(text, &parts) && !parts.renamed ? parts.column : NULL;
}

char *
wtc_version_text(const char *column)
{
	WtcFieldText parts = {.column = pstrdup(column)};

	return strcmp(column, WTC_VERSION_LSN) == 0 ?
		psprintf("\"%s\"", column) : wtc_field_text(&parts);
}

/*
 * Values
 */

static const struct
{
	const char *word;
	WtcShape	bit;
}			words[] = {
	{"utc_timestamps", WTC_UTC_TIMESTAMPS},
	{"text_numbers", WTC_TEXT_NUMBERS},
	{"word_booleans", WTC_WORD_BOOLEANS},
};

const char *
wtc_shape_word(int i)
{
	return i < lengthof(words) ? words[i].word : NULL;
}

int
wtc_shape_bit(const char *word)
{
	for (int i = 0; i < lengthof(words); i++)
	{
		if (strcmp(words[i].word, word) == 0)
			return words[i].bit;
	}
	return 0;
}

static WtcWriting
writing_of(Oid type, int shape)
{
	switch (type)
	{
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return shape & WTC_UTC_TIMESTAMPS ? WTC_AS_UTC : WTC_AS_IS;
		case INT8OID:
		case NUMERICOID:
			return shape & WTC_TEXT_NUMBERS ? WTC_AS_NUMBER_TEXT : WTC_AS_IS;
		case BOOLOID:
			return shape & WTC_WORD_BOOLEANS ? WTC_AS_WORD : WTC_AS_IS;
		default:
			return WTC_AS_IS;
	}
}

void
wtc_field_prepare(WtcField *field, int shape)
{
	Oid			type = getBaseType(field->type);
	Oid			output;
	bool		varlena;

	field->element = get_element_type(type);
	if (OidIsValid(field->element))
	{
		type = getBaseType(field->element);
		get_typlenbyvalalign(field->element, &field->typlen,
							 &field->typbyval, &field->typalign);
	}
	field->writing = writing_of(type, shape);
	if (field->writing == WTC_AS_IS && field->attno != 0)
		return;
	getTypeOutputInfo(field->writing == WTC_AS_IS ? field->type : type, &output, &varlena);
	fmgr_info(output, &field->output);
}

Oid
wtc_field_type(const WtcField *field)
{
	if (field->writing == WTC_AS_IS)
		return field->type;
	return OidIsValid(field->element) ? TEXTARRAYOID : TEXTOID;
}

/* With and without time zone: both count from the same moment in UTC. */
static char *
utc_text(Timestamp value)
{
	char		buf[MAXDATELEN + 1];
	char	   *era;

	JsonEncodeDateTime(buf, TimestampGetDatum(value), TIMESTAMPOID, NULL);
	if (TIMESTAMP_NOT_FINITE(value))
		return pstrdup(buf);
	era = strchr(buf, ' ');
	return era == NULL ? psprintf("%sZ", buf) :
		psprintf("%.*sZ%s", (int) (era - buf), buf, era);
}

static Datum
text_of(WtcField *field, Datum value)
{
	switch (field->writing)
	{
		case WTC_AS_UTC:
			return CStringGetTextDatum(utc_text(DatumGetTimestamp(value)));
		case WTC_AS_WORD:
			return CStringGetTextDatum(DatumGetBool(value) ? "true" : "false");
		case WTC_AS_NUMBER_TEXT:
		case WTC_AS_IS:
			break;
	}
	return CStringGetTextDatum(OutputFunctionCall(&field->output, value));
}

static Datum
array_of_texts(WtcField *field, ArrayType *array)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, field->element, field->typlen, field->typbyval,
					  field->typalign, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			elems[i] = text_of(field, elems[i]);
	}
	return PointerGetDatum(construct_md_array(elems, nulls, ARR_NDIM(array),
											  ARR_DIMS(array),
											  ARR_LBOUND(array), TEXTOID, -1,
											  false, TYPALIGN_INT));
}

Datum
wtc_field_value(WtcField *field, Datum value)
{
	if (field->writing == WTC_AS_IS)
		return value;
	if (OidIsValid(field->element))
		return array_of_texts(field, DatumGetArrayTypeP(value));
	return text_of(field, value);
}
