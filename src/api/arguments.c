/*-------------------------------------------------------------------------
 *
 * arguments.c
 *	  From the arguments of wtcache.attach() and alter() to those of the
 *	  trigger, and back to a statement.
 *
 * All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "api/arguments.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/condition.h"
#include "capture/field.h"
#include "capture/template.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "sql.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/*
 * In the order of the functions' parameters, the first of which is the table;
 * alter() has one more, the names of those that are to be reset.
 */
typedef enum Parameter
{
	PARAM_KEY = 1,
	PARAM_TTL,
	PARAM_TAGS,
	PARAM_INVALIDATES,
	PARAM_COLUMNS,
	PARAM_CONDITION,
	PARAM_FORMAT,
	PARAM_SHAPE,
	PARAM_VERSION,
	PARAM_ENVELOPE,
	PARAM_ALWAYS,
	PARAM_RESET
} Parameter;

static const struct
{
	const char *parameter;		/* of attach() and alter() */
	const char *argument;		/* of the trigger */
}			settings[PARAM_RESET] = {
	[PARAM_KEY] = {"key", "key"},
	[PARAM_TTL] = {"ttl", "ttl"},
	[PARAM_TAGS] = {"tags", "tag"},
	[PARAM_INVALIDATES] = {"invalidates", "invalidate"},
	[PARAM_COLUMNS] = {"columns", "column"},
	[PARAM_CONDITION] = {"condition", "condition"},
	[PARAM_FORMAT] = {"format", "format"},
	[PARAM_SHAPE] = {"shape", "shape"},
	[PARAM_VERSION] = {"version", "version"},
	[PARAM_ENVELOPE] = {"envelope", "envelope"},
	[PARAM_ALWAYS] = {"always", "always"},
};

char	  **
wtc_argument_values(const Trigger *trigger, const char *name, int *n)
{
	char	  **values = palloc(sizeof(char *) * (trigger->tgnargs + 1));
	size_t		len = strlen(name);

	*n = 0;
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		if (strncmp(trigger->tgargs[i], name, len) == 0 &&
			trigger->tgargs[i][len] == '=')
			values[(*n)++] = trigger->tgargs[i] + len + 1;
	}
	return values;
}

/*
 * The arguments of the trigger
 */

/* A deferrable one counts as well, which rd_pkindex does not tell before 17. */
static Oid
primary_key(Relation rel)
{
	Oid			result = InvalidOid;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_index->indisprimary && index->rd_index->indisvalid)
			result = lfirst_oid(lc);
		index_close(index, AccessShareLock);
	}
	return result;
}

/* The columns of the primary key, in its order. */
static char *
default_key(Relation rel)
{
	Oid			pkey = primary_key(rel);
	Relation	index;
	char	   *key;

	if (!OidIsValid(pkey))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("table \"%s\" has no primary key",
						RelationGetRelationName(rel)),
				 errhint("Name the columns of a unique index in the key, such as \"%s:{column}\".",
						 RelationGetRelationName(rel))));
	index = index_open(pkey, AccessShareLock);
	key = wtc_template_default_key(RelationGetRelationName(rel),
								   RelationGetDescr(rel),
								   index->rd_index->indkey.values,
								   index->rd_index->indnkeyatts);
	index_close(index, AccessShareLock);
	return key;
}

static void
add_argument(WtcArguments *args, Parameter param, const char *value)
{
	args->arg = args->arg ?
		repalloc(args->arg, sizeof(char *) * (args->n + 1)) :
		palloc(sizeof(char *));
	args->arg[args->n++] = psprintf("%s=%s", settings[param].argument, value);
}

/* Adds a field of the image, if its name is a new one. */
static void
add_field(WtcArguments *args, Relation rel, int first, const char *text)
{
	WtcFieldText parts;
	WtcFieldText other;

	if (!wtc_field_parse(text, &parts))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("invalid column \"%s\" for wtcache", text),
				 errhint("Write the name of a column, \"name=column\" to give it another name, or \"name=(expression)\"; put a name that has an equals sign in double quotes.")));
	if (strlen(parts.name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name \"%s\" is too long", parts.name)));
	for (int i = first; i < args->n; i++)
	{
		if (wtc_field_parse(strchr(args->arg[i], '=') + 1, &other) &&
			strcmp(parts.name, other.name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" is listed twice", parts.name)));
	}
	if (parts.column == NULL)
	{
		args->expressions = lappend(args->expressions,
									wtc_expression_parse(rel, parts.expression));
		parts.expression = "";
	}
	add_argument(args, PARAM_COLUMNS, wtc_field_text(&parts));
}

/* What stands in a trigger's argument, with its expression; *n counts them. */
static char *
shown_field(const WtcKeptText *kept, int *n, char *text)
{
	WtcFieldText parts;

	if (!wtc_field_parse(text, &parts) || parts.column != NULL ||
		*n >= list_length(kept->expressions))
		return text;
	parts.expression = list_nth(kept->expressions, (*n)++);
	return wtc_field_text(&parts);
}

char	  **
wtc_columns_shown(const Trigger *trigger, const WtcKeptText *kept, int *n)
{
	char	  **values = wtc_argument_values(trigger, "column", n);
	int			e = 0;

	for (int i = 0; i < *n; i++)
		values[i] = shown_field(kept, &e, values[i]);
	return values;
}

/* An empty list would mean all columns, which cannot be what was meant. */
static void
add_columns(WtcArguments *args, Relation rel, char **fields, int n,
			bool altering)
{
	int			first = args->n;

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns must not be empty"),
				 altering ?
				 errhint("For all columns, call it with reset => '{columns}'.") :
				 errhint("Leave it out, or give NULL, for all columns.")));
	for (int i = 0; i < n; i++)
		add_field(args, rel, first, fields[i]);
}

/* Each word counts once, and they have one order. */
static void
add_shape(WtcArguments *args, char **words, int n)
{
	const char *word;
	int			shape = 0;

	for (int i = 0; i < n; i++)
	{
		if (wtc_shape_bit(words[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("shape \"%s\" is not known", words[i]),
					 errhint("The words of shape are utc_timestamps, text_numbers and word_booleans.")));
		shape |= wtc_shape_bit(words[i]);
	}
	for (int i = 0; (word = wtc_shape_word(i)) != NULL; i++)
	{
		if (shape & wtc_shape_bit(word))
			add_argument(args, PARAM_SHAPE, word);
	}
}

char	  **
wtc_array_strings(ArrayType *array, const char *name, int *n)
{
	Datum	   *elems;
	bool	   *nulls;
	char	  **strings;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, n);
	strings = palloc(sizeof(char *) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			wtc_refuse_null(name);
		strings[i] = TextDatumGetCString(elems[i]);
	}
	return strings;
}

static void
check_format(const char *format)
{
	if (strcmp(format, "json") != 0 && strcmp(format, "hash") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("format \"%s\" is not known", format),
				 errhint("The formats are json and hash.")));
}

static void
add_version(WtcArguments *args, const char *version)
{
	char	   *column = wtc_version_column(version);

	if (column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("invalid version \"%s\" for wtcache", version),
				 errhint("Write the name of a column, or lsn; put a column of this name, and one with an equals sign, in double quotes.")));
	add_argument(args, PARAM_VERSION,
				 strcmp(version, WTC_VERSION_LSN) == 0 ? version :
				 wtc_version_text(column));
}

static void
check_envelope(const char *envelope)
{
	if (strcmp(envelope, "versioned") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("envelope \"%s\" is not known", envelope),
				 errhint("The only envelope is versioned; leave it out for none.")));
}

/* As it is given; altering tells alter() from attach(). */
static void
add_given(WtcArguments *args, FunctionCallInfo fcinfo, Relation rel,
		  Parameter param, bool altering)
{
	char	   *given = NULL;
	char	  **strings;
	int			n;

	if (param == PARAM_KEY || param == PARAM_CONDITION ||
		param == PARAM_FORMAT || param == PARAM_VERSION ||
		param == PARAM_ENVELOPE)
		given = text_to_cstring(PG_GETARG_TEXT_PP(param));
	switch (param)
	{
		case PARAM_KEY:
			add_argument(args, param, given);
			break;
		case PARAM_VERSION:
			add_version(args, given);
			break;
		case PARAM_TTL:
			add_argument(args, param,
						 psprintf(UINT64_FORMAT,
								  wtc_interval_ms(PG_GETARG_INTERVAL_P(param))));
			break;
		case PARAM_TAGS:
		case PARAM_INVALIDATES:
			strings = wtc_array_strings(PG_GETARG_ARRAYTYPE_P(param),
										settings[param].argument, &n);
			for (int i = 0; i < n; i++)
				add_argument(args, param, strings[i]);
			break;
		case PARAM_COLUMNS:
			strings = wtc_array_strings(PG_GETARG_ARRAYTYPE_P(param),
										settings[param].argument, &n);
			add_columns(args, rel, strings, n, altering);
			break;
		case PARAM_SHAPE:
			strings = wtc_array_strings(PG_GETARG_ARRAYTYPE_P(param),
										settings[param].argument, &n);
			add_shape(args, strings, n);
			break;
		case PARAM_CONDITION:
			args->condition = wtc_condition_parse(rel, given);
			add_argument(args, param, "when");
			break;
		case PARAM_FORMAT:
			check_format(given);
			add_argument(args, param, given);
			break;
		case PARAM_ENVELOPE:
			check_envelope(given);
			add_argument(args, param, given);
			break;
		case PARAM_ALWAYS:
			if (PG_GETARG_BOOL(param))
				add_argument(args, param, "true");
			break;
		case PARAM_RESET:
			break;
	}
}

static void
add_default(WtcArguments *args, Relation rel, Parameter param)
{
	if (param == PARAM_KEY)
		add_argument(args, param, default_key(rel));
	else if (param == PARAM_FORMAT)
		add_argument(args, param, "json");
}

/* Which parameters alter() is to reset. */
static void
find_reset(FunctionCallInfo fcinfo, bool *reset)
{
	char	  **names;
	int			n;

	if (PG_ARGISNULL(PARAM_RESET))
		return;
	names = wtc_array_strings(PG_GETARG_ARRAYTYPE_P(PARAM_RESET), "reset", &n);
	for (int i = 0; i < n; i++)
	{
		Parameter	param = PARAM_KEY;

		while (param < PARAM_RESET &&
			   strcmp(names[i], settings[param].parameter) != 0)
			param++;
		if (param == PARAM_RESET)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" cannot be reset", names[i]),
					 errhint("What can be reset is key, ttl, tags, invalidates, columns, condition, format, shape, version, envelope and always.")));
		if (!PG_ARGISNULL(param))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" cannot be given and reset", names[i])));
		reset[param] = true;
	}
}

WtcArguments
wtc_arguments_collect(FunctionCallInfo fcinfo, Relation rel,
					  const Trigger *before)
{
	WtcArguments args = {0};
	bool		reset[PARAM_RESET] = {0};

	if (before != NULL)
		find_reset(fcinfo, reset);
	for (Parameter param = PARAM_KEY; param < PARAM_RESET; param++)
	{
		if (!PG_ARGISNULL(param))
			add_given(&args, fcinfo, rel, param, before != NULL);
		else if (before == NULL || reset[param])
			add_default(&args, rel, param);
		else
		{
			int			n;
			char	  **values = wtc_argument_values(before,
													 settings[param].argument,
													 &n);

			for (int i = 0; i < n; i++)
				add_argument(&args, param, values[i]);
			if (param == PARAM_CONDITION && n > 0)
				args.condition = wtc_kept_condition(wtc_condition_stored(rel));
			if (param == PARAM_COLUMNS && n > 0)
				args.expressions = wtc_kept_expressions(wtc_condition_stored(rel));
		}
	}
	args.condition = wtc_kept(args.condition, args.expressions);
	return args;
}

/*
 * The statement
 */

char *
wtc_ttl_text(uint64 ms)
{
	static const struct
	{
		uint64		ms;
		const char *name;
	}			units[] = {
		{86400000, "day"}, {3600000, "hour"}, {60000, "minute"},
		{1000, "second"}, {1, "millisecond"}
	};
	int			i = 0;

	while (ms % units[i].ms != 0)
		i++;
	return psprintf(UINT64_FORMAT " %s%s", ms / units[i].ms, units[i].name,
					ms == units[i].ms ? "" : "s");
}

char *
wtc_array_text(char **strings, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		elems[i] = CStringGetTextDatum(strings[i]);
	return OidOutputFunctionCall(F_ARRAY_OUT,
								 PointerGetDatum(construct_array(elems, n, TEXTOID, -1,
																 false, TYPALIGN_INT)));
}

/* Of a parameter that has values; NULL: they are the default. */
static char *
parameter_text(Parameter param, char **values, int n, const WtcKeptText *kept)
{
	uint64		ms;

	switch (param)
	{
		case PARAM_TAGS:
		case PARAM_INVALIDATES:
		case PARAM_COLUMNS:
		case PARAM_SHAPE:
			return quote_literal_cstr(wtc_array_text(values, n));
		case PARAM_TTL:
			return wtc_ttl_decode(values[0], &ms) ?
				quote_literal_cstr(wtc_ttl_text(ms)) : NULL;
		case PARAM_FORMAT:
			return strcmp(values[0], "json") == 0 ? NULL :
				quote_literal_cstr(values[0]);
		case PARAM_ALWAYS:
			return pstrdup("true");
		case PARAM_CONDITION:
			return quote_literal_cstr(kept->condition);
		case PARAM_KEY:
		case PARAM_VERSION:
		case PARAM_ENVELOPE:
		case PARAM_RESET:
			break;
	}
	return quote_literal_cstr(values[0]);
}

char *
wtc_definition(const char *table, const Trigger *trigger, const WtcKeptText *kept)
{
	StringInfoData sql;
	int			n;

	if (wtc_attachment_argument(trigger, "key") == NULL)
		return NULL;
	/* without it more rows would be cached */
	if ((wtc_attachment_argument(trigger, "condition") != NULL &&
		 kept->condition == NULL) ||
		wtc_attachment_expressions(trigger) != list_length(kept->expressions))
		return NULL;
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT wtcache.attach(%s", quote_literal_cstr(table));
	for (Parameter param = PARAM_KEY; param < PARAM_RESET; param++)
	{
		char	  **values = wtc_argument_values(trigger,
												 settings[param].argument, &n);
		char	   *text;

		if (param == PARAM_COLUMNS)
			values = wtc_columns_shown(trigger, kept, &n);
		text = n > 0 ? parameter_text(param, values, n, kept) : NULL;
		if (text != NULL)
			appendStringInfo(&sql, ", %s => %s", settings[param].parameter,
							 text);
	}
	appendStringInfoChar(&sql, ')');
	if (trigger->tgenabled == TRIGGER_DISABLED)
	{
		appendStringInfoString(&sql, ";\n");
		appendStringInfo(&sql, "ALTER TABLE %s DISABLE TRIGGER " WTC_ROW_TRIGGER,
						 table);
	}
	return sql.data;
}
