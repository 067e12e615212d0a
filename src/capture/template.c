/*-------------------------------------------------------------------------
 *
 * template.c
 *	  Parsing and rendering of key and tag templates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/name.h"
#include "capture/template.h"

static AttrNumber
find_column(const char *name, TupleDesc desc, const char *text)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of a wtcache template does not exist", name),
			 errdetail("The template is \"%s\".", text),
			 errhint("After renaming or dropping a column, call wtcache.alter().")));
}

static void
syntax_error(const char *text, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("invalid wtcache template \"%s\"", text),
			 errdetail_internal("%s", detail),
			 errhint("Write {column} for the value of a column, {{ and }} for braces.")));
}

static void
add_literal(WtcTemplate *tpl, StringInfo literal)
{
	if (literal->len == 0)
		return;
	tpl->parts[tpl->nparts].attno = 0;
	tpl->parts[tpl->nparts].literal = pstrdup(literal->data);
	tpl->nparts++;
	resetStringInfo(literal);
}

/*
 * The name in the placeholder that begins here, behind its brace, palloc'd.  *p is set
 * behind the placeholder; NULL: it has no end.
 */
static char *
read_name(const char **p)
{
	char	   *name = wtc_name_read(p, '}');

	if (name == NULL || **p != '}')
		return NULL;
	(*p)++;
	return name;
}

/* Appends a placeholder, with the name quoted if it could not be read bare. */
static void
append_placeholder(StringInfo buf, const char *name)
{
	appendStringInfoChar(buf, '{');
	if (name[0] != '"' && strchr(name, '}') == NULL)
		appendStringInfoString(buf, name);
	else
		wtc_name_quote(buf, name);
	appendStringInfoChar(buf, '}');
}

/* Reads the placeholder at *p, which stands on its opening brace. */
static AttrNumber
parse_placeholder(const char **p, TupleDesc desc, const char *text)
{
	char	   *name;

	(*p)++;
	name = read_name(p);
	if (name == NULL)
		syntax_error(text, "A brace is opened and not closed.");
	if (name[0] == '\0')
		syntax_error(text, "A placeholder names no column.");
	return find_column(name, desc, text);
}

/*
 * Values must not contain what separates them.
 */
static void
make_unambiguous(WtcTemplate *tpl)
{
	int			last = -1;

	if (bms_num_members(tpl->columns) < 2)
		return;
	for (int i = 0; i < tpl->nparts; i++)
	{
		if (tpl->parts[i].attno == 0)
			continue;
		if (last >= 0 && last == i - 1)
			syntax_error(tpl->text,
						 "Two placeholders of a key must be separated.");
		/* it could be the beginning of an encoded byte of the value before */
		if (last >= 0 && tpl->parts[i - 1].literal[0] == '%')
			syntax_error(tpl->text,
						 "What separates two placeholders of a key must not begin with a percent sign.");
		if (last >= 0)
		{
			for (const char *c = tpl->parts[i - 1].literal; *c; c++)
				tpl->escaped[(uint8) *c / 64] |= UINT64CONST(1) << ((uint8) *c % 64);
		}
		last = i;
	}
	tpl->escaped['%' / 64] |= UINT64CONST(1) << ('%' % 64);
}

WtcTemplate *
wtc_template_parse(const char *text, TupleDesc desc, bool unambiguous)
{
	WtcTemplate *tpl;
	StringInfoData literal;
	const char *p = text;

	/* no part is shorter than a byte */
	tpl = palloc0(offsetof(WtcTemplate, parts) +
				  (strlen(text) + 1) * sizeof(tpl->parts[0]));
	tpl->text = pstrdup(text);
	initStringInfo(&literal);

	while (*p)
	{
		if ((p[0] == '{' && p[1] == '{') || (p[0] == '}' && p[1] == '}'))
		{
			appendStringInfoChar(&literal, *p);
			p += 2;
		}
		else if (*p == '{')
		{
			AttrNumber	attno = parse_placeholder(&p, desc, text);

			add_literal(tpl, &literal);
			tpl->parts[tpl->nparts++].attno = attno;
			tpl->columns = bms_add_member(tpl->columns, attno);
		}
		else if (*p == '}')
			syntax_error(text, "A brace is closed that was not opened.");
		else
			appendStringInfoChar(&literal, *p++);
	}
	add_literal(tpl, &literal);
	pfree(literal.data);

	if (tpl->nparts == 0)
		syntax_error(text, "The template is empty.");
	if (unambiguous)
		make_unambiguous(tpl);
	return tpl;
}

void
wtc_template_append_value(const WtcTemplate *tpl, const char *value,
						  StringInfo buf)
{
	for (const char *c = value; *c; c++)
	{
		uint8		b = (uint8) *c;

		if (tpl->escaped[b / 64] & (UINT64CONST(1) << (b % 64)))
			appendStringInfo(buf, "%%%02X", b);
		else
			appendStringInfoCharMacro(buf, *c);
	}
}

bool
wtc_template_render(const WtcTemplate *tpl, TupleTableSlot *slot,
					WtcColumnOutput output, void *arg, StringInfo buf)
{
	for (int i = 0; i < tpl->nparts; i++)
	{
		AttrNumber	attno = tpl->parts[i].attno;
		Datum		value;
		bool		isnull;

		if (attno == 0)
		{
			appendStringInfoString(buf, tpl->parts[i].literal);
			continue;
		}
		value = slot_getattr(slot, attno, &isnull);
		if (isnull)
			return false;
		wtc_template_append_value(tpl, output(arg, attno, value), buf);
	}
	return true;
}

char *
wtc_template_rename(const char *text, const char *from, const char *to)
{
	StringInfoData buf;
	const char *p = text;

	initStringInfo(&buf);
	while (*p)
	{
		if ((p[0] == '{' && p[1] == '{') || (p[0] == '}' && p[1] == '}'))
		{
			appendBinaryStringInfo(&buf, p, 2);
			p += 2;
			continue;
		}
		if (*p == '{')
		{
			const char *start = p++;
			char	   *name = read_name(&p);

			if (name != NULL && strcmp(name, from) == 0)
				append_placeholder(&buf, to);
			else if (name != NULL)
				appendBinaryStringInfo(&buf, start, p - start);
			else
				appendStringInfoChar(&buf, *start);
			continue;
		}
		appendStringInfoChar(&buf, *p++);
	}
	return buf.data;
}

/* Appends text to a template, where braces count double. */
static void
append_quoted(StringInfo buf, const char *text)
{
	for (const char *c = text; *c; c++)
	{
		if (*c == '{' || *c == '}')
			appendStringInfoChar(buf, *c);
		appendStringInfoChar(buf, *c);
	}
}

char *
wtc_template_default_key(const char *relname, TupleDesc desc,
						 const AttrNumber *columns, int ncolumns)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_quoted(&buf, relname);
	for (int i = 0; i < ncolumns; i++)
	{
		appendStringInfoChar(&buf, ':');
		append_placeholder(&buf,
						   NameStr(TupleDescAttr(desc, columns[i] - 1)->attname));
	}
	return buf.data;
}

bool
wtc_templates_use(WtcTemplate *const *templates, int n, AttrNumber attno)
{
	for (int i = 0; i < n; i++)
	{
		if (bms_is_member(attno, templates[i]->columns))
			return true;
	}
	return false;
}
