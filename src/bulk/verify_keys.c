/*-------------------------------------------------------------------------
 *
 * verify_keys.c
 *	  Taking keys apart: from a name in Redis to the values in it.
 *
 * The way back from what capture/template.c renders.  Knows nothing of rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bulk/verify_keys.h"
#include "capture/image.h"
#include "catalog/namespace.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * Undoes the percent-encoding in values of keys of several columns.  NULL: the
 * template would have written it in another way.
 */
static char *
decode(const WtcTemplate *tpl, const char *text, size_t len)
{
	char	   *value = pnstrdup(text, len);
	char	   *out = value;
	StringInfoData again;

	if (bms_num_members(tpl->columns) < 2)
		return value;
	for (const char *c = value; *c; c++)
	{
		if (c[0] == '%' && hex_digit(c[1]) >= 0 && hex_digit(c[2]) >= 0)
		{
			*out++ = (char) (hex_digit(c[1]) * 16 + hex_digit(c[2]));
			c += 2;
		}
		else
			*out++ = *c;
	}
	*out = '\0';

	initStringInfo(&again);
	wtc_template_append_value(tpl, value, &again);
	if (again.len != len || memcmp(again.data, text, len) != 0 ||
		!pg_verifymbstr(value, strlen(value), true))
		return NULL;
	return value;
}

/* Where the value that begins at text ends; NULL: there is none. */
static const char *
value_end(const WtcTemplate *tpl, int part, const char *text)
{
	const char *end = text + strlen(text);
	const char *literal;

	if (part + 1 == tpl->nparts)
		return end;
	literal = tpl->parts[part + 1].literal;
	if (literal == NULL)
		return NULL;
	if (part + 2 < tpl->nparts)
		return strstr(text, literal);
	end -= Min(strlen(literal), strlen(text));
	return strcmp(end, literal) == 0 ? end : NULL;
}

void
wtc_key_form_init(WtcKeyForm *form, const WtcTemplate *tpl)
{
	int			attno = -1;

	form->tpl = tpl;
	form->ncolumns = 0;
	form->columns = palloc(sizeof(AttrNumber) *
						   bms_num_members(tpl->columns));
	while ((attno = bms_next_member(tpl->columns, attno)) >= 0)
		form->columns[form->ncolumns++] = attno;
}

static int
column_index(const WtcKeyForm *form, AttrNumber attno)
{
	int			i = 0;

	while (form->columns[i] != attno)
		i++;
	return i;
}

char	  **
wtc_key_values(const WtcKeyForm *form, const char *text)
{
	const WtcTemplate *tpl = form->tpl;
	char	  **values = palloc0(sizeof(char *) * form->ncolumns);

	for (int i = 0; i < tpl->nparts; i++)
	{
		const char *literal = tpl->parts[i].literal;
		const char *end;
		char	  **value;
		char	   *decoded;

		if (tpl->parts[i].attno == 0)
		{
			if (strncmp(text, literal, strlen(literal)) != 0)
				return NULL;
			text += strlen(literal);
			continue;
		}
		end = value_end(tpl, i, text);
		if (end == NULL)
			return NULL;
		value = &values[column_index(form, tpl->parts[i].attno)];
		decoded = decode(tpl, text, end - text);
		if (decoded == NULL || (*value != NULL && strcmp(*value, decoded) != 0))
			return NULL;
		*value = decoded;
		text = end;
	}
	return *text == '\0' ? values : NULL;
}

/* UTF-8 in the server's encoding; NULL: that is not possible. */
static char *
to_server(WtcSpan name)
{
	int			encoding = GetDatabaseEncoding();
	Oid			proc;
	Size		room = ((Size) name.len + 2) * MAX_CONVERSION_GROWTH;
	char	   *buf;
	WtcSpan		again;

	if (!pg_verify_mbstr(PG_UTF8, name.data, name.len, true) ||
		room > MaxAllocSize)
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(name.data, name.len);
	proc = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(proc))
		return NULL;
	buf = palloc(room);
	if (pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding,
									  (unsigned char *) name.data, name.len,
									  (unsigned char *) buf, room, true) !=
		(int) name.len)
		return NULL;
	/* several characters may become the same one */
	if (!wtc_to_utf8(buf, strlen(buf), &again) || !wtc_span_equal(again, name))
		return NULL;
	return buf;
}

char *
wtc_key_text(WtcSpan name)
{
	size_t		prefix = strlen(wtc_key_prefix);
	char	   *text = to_server(name);

	if (text == NULL || strncmp(text, wtc_key_prefix, prefix) != 0)
		return NULL;
	return text + prefix;
}
