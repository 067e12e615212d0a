/*-------------------------------------------------------------------------
 *
 * attachment.c
 *	  Decoding the arguments of capture triggers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "attempt.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/condition.h"
#include "capture/settings.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "change/batch.h"
#include "sql.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

void
wtc_refuse(Relation rel, const char *reason, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot attach \"%s\" to wtcache",
					RelationGetRelationName(rel)),
			 errdetail_internal("%s", reason),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Whose code runs when a row is looked at
 */

void
wtc_enter_as_owner(Oid relid, WtcEntered *entered)
{
	GetUserIdAndSecContext(&entered->user, &entered->context);
	entered->guc_level = NewGUCNestLevel();
	SetUserIdAndSecContext(wtc_relation_owner(relid), entered->context |
						   SECURITY_RESTRICTED_OPERATION |
						   SECURITY_NOFORCE_RLS);
	wtc_pin_settings(&entered->pinned, true);
}

void
wtc_enter(const WtcAttachment *att, WtcEntered *entered)
{
	if (att->exotic)
	{
		wtc_enter_as_owner(att->root, entered);
		return;
	}
	entered->guc_level = 0;
	wtc_pin_settings(&entered->pinned, false);
}

void
wtc_leave(const WtcEntered *entered)
{
	wtc_unpin_settings(&entered->pinned);
	if (entered->guc_level == 0)
		return;
	AtEOXact_GUC(false, entered->guc_level);
	SetUserIdAndSecContext(entered->user, entered->context);
}

/*
 * Columns
 */

static AttrNumber
column_number(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

	if (attno == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\", listed for wtcache, does not exist",
						name, RelationGetRelationName(rel)),
				 errhint("Call wtcache.alter() with the columns that there are.")));
	if (attno < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("system column \"%s\" cannot be cached", name)));
	return attno;
}

static void
set_field(WtcAttachment *att, WtcField *field, AttrNumber attno,
		  const char *name)
{
	field->attno = attno;
	field->name = name;
	field->type = TupleDescAttr(att->desc, attno - 1)->atttypid;
}

static void
add_all_columns(WtcAttachment *att)
{
	att->all_columns = true;
	att->fields = palloc0(sizeof(WtcField) * (att->desc->natts + 1));
	for (int i = 0; i < att->desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(att->desc, i);

		if (!attr->attisdropped)
			set_field(att, &att->fields[att->nfields++], attr->attnum,
					  NameStr(attr->attname));
	}
}

/* The row type that these fields make. */
static TupleDesc
make_desc(const WtcField *fields, int n)
{
	TupleDesc	desc = CreateTemplateTupleDesc(n);

	for (int i = 0; i < n; i++)
		TupleDescInitEntry(desc, i + 1, fields[i].name,
						   wtc_field_type(&fields[i]), -1, 0);
	return BlessTupleDesc(desc);
}

static void
prepare_fields(WtcAttachment *att)
{
	int			shape = att->shape & (att->format == WTC_FORMAT_HASH ?
									  ~WTC_TEXT_NUMBERS : ~WTC_WORD_BOOLEANS);
	bool		as_is = true;

	for (int i = 0; i < att->nfields; i++)
	{
		wtc_field_prepare(&att->fields[i], shape);
		as_is &= att->fields[i].writing == WTC_AS_IS;
	}
	if (!att->all_columns || !as_is)
		att->image_desc = make_desc(att->fields, att->nfields);
}

static void
prepare_version(WtcAttachment *att)
{
	if (att->enveloped &&
		((att->version == NULL && !att->version_is_lsn) ||
		 att->format != WTC_FORMAT_JSON))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a wtcache envelope needs a version and the format json")));
	if (att->version_is_lsn && !att->enveloped)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the wtcache version \"lsn\" needs the envelope \"versioned\""),
				 errdetail("It is in no column of the row.")));
	if (att->version == NULL)
		return;
	if (wtc_is_virtual(TupleDescAttr(att->desc,
									 att->version->attno - 1)->attgenerated))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a virtual generated column cannot be the version for wtcache")));
	wtc_field_prepare(att->version, att->shape & ~WTC_WORD_BOOLEANS);
	att->version_desc = make_desc(att->version, 1);
}

bool
wtc_attachment_keeps(const WtcAttachment *att)
{
	return att->conditional || att->nexpressions > 0;
}

bool
wtc_attachment_is_broken(const WtcAttachment *att)
{
	if (att->conditional && att->condition == NULL)
		return true;
	for (int i = 0; i < att->nfields; i++)
	{
		if (att->fields[i].attno == 0 && att->fields[i].state == NULL)
			return true;
	}
	return false;
}

bool
wtc_attachment_shows(const WtcAttachment *att, AttrNumber attno)
{
	for (int i = 0; i < att->nfields; i++)
	{
		if (att->fields[i].attno == attno)
			return true;
	}
	return false;
}

/*
 * A virtual generated column is NULL in the row that a trigger is given: it is
 * computed only when a query reads it.
 */
static void
inspect_virtual(WtcAttachment *att, Form_pg_attribute attr)
{
	if (wtc_templates_use(&att->key, 1, attr->attnum) ||
		wtc_templates_use(att->tags, att->ntags, attr->attnum) ||
		wtc_templates_use(att->invalidates, att->ninvalidates, attr->attnum))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("virtual generated column \"%s\" cannot be used in a wtcache template",
						NameStr(attr->attname))));
	if (wtc_attachment_shows(att, attr->attnum))
		att->no_images = "the image would have a virtual generated column";
}

/* Looks at the columns' types: how to write them, and whether one can. */
static void
inspect_columns(WtcAttachment *att)
{
	att->outputs = palloc0(sizeof(FmgrInfo) * att->desc->natts);
	for (int i = 0; i < att->desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(att->desc, i);
		Oid			output;
		bool		varlena;

		if (attr->attisdropped)
			continue;
		if (wtc_is_virtual(attr->attgenerated))
			inspect_virtual(att, attr);
		if (!wtc_type_is_plain(attr->atttypid))
			att->exotic = true;
		getTypeOutputInfo(attr->atttypid, &output, &varlena);
		fmgr_info_cxt(output, &att->outputs[i], att->cxt);
	}
}

char *
wtc_attachment_output(void *att, AttrNumber attno, Datum value)
{
	return OutputFunctionCall(&((WtcAttachment *) att)->outputs[attno - 1],
							  value);
}

bool
wtc_covers_unique_index(Relation rel, const Bitmapset *columns)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;
		bool		covered = true;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; i < index->indnkeyatts; i++)
			covered &= bms_is_member(Max(index->indkey.values[i], 0), columns);
		found |= index->indisunique && index->indisvalid && covered &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL);
		ReleaseSysCache(tuple);
	}
	return found;
}

/*
 * Arguments
 */

static void
bad_argument(const char *arg)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid argument \"%s\" of a wtcache capture trigger", arg),
			 errhint("Call wtcache.attach() instead of CREATE TRIGGER.")));
}

bool
wtc_ttl_decode(const char *value, uint64 *ms)
{
	/* more digits than the longest one has could overflow */
	if (value[0] == '\0' || strlen(value) > strlen("1000000000000") ||
		value[strspn(value, "0123456789")] != '\0')
		return false;
	*ms = strtou64(value, NULL, 10);
	return *ms > 0 && *ms <= WTC_LONGEST_MS;
}

/* Has what may be given once been given already? */
static bool
is_repeated(char *const *args, int i, int namelen)
{
	for (int j = 0; j < i; j++)
	{
		if (strncmp(args[j], args[i], namelen + 1) == 0)
			return true;
	}
	return false;
}

/* A trigger's argument for a field of the image. */
static void
decode_field(WtcAttachment *att, Relation rel, const char *arg,
			 const char *text)
{
	WtcFieldText parts;

	if (!wtc_field_parse(text, &parts) || strlen(parts.name) >= NAMEDATALEN)
		bad_argument(arg);
	for (int i = 0; i < att->nfields; i++)
	{
		if (strcmp(att->fields[i].name, parts.name) == 0)
			bad_argument(arg);
	}
	if (parts.column != NULL)
		set_field(att, &att->fields[att->nfields],
				  column_number(rel, parts.column), parts.name);
	else if (parts.expression[0] == '\0')
	{
		att->fields[att->nfields].name = parts.name;
		att->fields[att->nfields].type = TEXTOID;
		att->nexpressions++;
	}
	else
		bad_argument(arg);
	att->nfields++;
}

static void
decode_version(WtcAttachment *att, Relation rel, const char *arg,
			   const char *text)
{
	char	   *column = wtc_version_column(text);

	if (column == NULL)
		bad_argument(arg);
	att->version = palloc0(sizeof(WtcField));
	set_field(att, att->version, column_number(rel, column), "version");
}

static void
decode_argument(WtcAttachment *att, Relation rel, char *const *args, int i)
{
	const char *arg = args[i];
	const char *value = strchr(arg, '=');
	int			len = value ? value - arg : 0;

	if (value == NULL)
		bad_argument(arg);
	value++;

#define IS(name) (len == sizeof(name) - 1 && strncmp(arg, name, len) == 0)
	if (!IS("tag") && !IS("invalidate") && !IS("column") && !IS("shape") &&
		is_repeated(args, i, len))
		bad_argument(arg);
	if (IS("key"))
		att->key = wtc_template_parse(value, att->desc, true);
	else if (IS("tag"))
		att->tags[att->ntags++] = wtc_template_parse(value, att->desc, false);
	else if (IS("invalidate"))
		att->invalidates[att->ninvalidates++] =
			wtc_template_parse(value, att->desc, false);
	else if (IS("column"))
		decode_field(att, rel, arg, value);
	else if (IS("shape") && wtc_shape_bit(value) != 0 &&
			 (att->shape & wtc_shape_bit(value)) == 0)
		att->shape |= wtc_shape_bit(value);
	else if (IS("condition") && strcmp(value, "when") == 0)
		att->conditional = true;
	else if (IS("version") && strcmp(value, WTC_VERSION_LSN) == 0)
		att->version_is_lsn = true;
	else if (IS("version"))
		decode_version(att, rel, arg, value);
	else if (IS("envelope") && strcmp(value, "versioned") == 0)
		att->enveloped = true;
	else if (IS("ttl"))
	{
		if (!wtc_ttl_decode(value, &att->ttl_ms))
			bad_argument(arg);
	}
	else if (IS("format") && strcmp(value, "json") == 0)
		att->format = WTC_FORMAT_JSON;
	else if (IS("format") && strcmp(value, "hash") == 0)
		att->format = WTC_FORMAT_HASH;
	else if (IS("always") && strcmp(value, "true") == 0)
		 /* that is when the trigger fires */ ;
	else
		bad_argument(arg);
#undef IS
}

/*
 * Without what a condition needs there are no images: that is no reason for an
 * error in a statement that writes the table.
 */
static bool
is_denied(WtcAttachment *att, Node *condition)
{
	Oid			denied = wtc_condition_denied(condition,
											  wtc_relation_owner(att->root));

	if (OidIsValid(denied))
		att->no_images = psprintf("the table's owner may not execute function %s of the condition",
								  format_procedure(denied));
	return OidIsValid(denied);
}

/* A condition, and what the planner makes of it. */
typedef struct Planning
{
	Node	   *condition;
	Node	   *planned;
} Planning;

static void
plan(void *arg)
{
	Planning   *planning = arg;

	planning->planned = wtc_condition_plan(planning->condition);
}

/*
 * Inlining SQL functions looks up names, and functions of constants are called:
 * the owner may lack the privileges for that, too.  NULL: so it is.
 */
static Node *
plan_condition(WtcAttachment *att, Node *condition)
{
	Planning	planning = {.condition = condition};
	ErrorData  *error = wtc_attempt(plan, &planning);

	if (error != NULL && error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE)
		ReThrowError(error);
	if (error != NULL)
		att->no_images = psprintf("the table's owner may not evaluate the condition: %s",
								  error->message);
	return planning.planned;
}

static ExprState *
prepare_expression(WtcAttachment *att, Node *expr)
{
	Node	   *planned = att->exotic ? plan_condition(att, expr) :
	wtc_condition_plan(expr);

	/* what SQL functions that have been inlined call */
	if (planned == NULL || is_denied(att, planned))
		return NULL;
	return ExecInitExpr((Expr *) planned, NULL);
}

static void
prepare_expressions(WtcAttachment *att, Node *kept)
{
	List	   *expressions = wtc_kept_expressions(kept);
	int			n = 0;

	for (int i = 0; i < att->nfields; i++)
	{
		if (att->fields[i].attno == 0)
			att->fields[i].state = prepare_expression(att, list_nth(expressions, n++));
	}
}

/* The types of the fields that are expressions. */
static void
type_expressions(WtcAttachment *att, Node *kept)
{
	List	   *expressions = wtc_kept_expressions(kept);
	int			n = 0;

	if (list_length(expressions) != att->nexpressions)
		return;
	for (int i = 0; i < att->nfields; i++)
	{
		if (att->fields[i].attno != 0)
			continue;
		att->fields[i].type = exprType(list_nth(expressions, n++));
		att->exotic |= !wtc_type_is_plain(att->fields[i].type);
	}
}

/*
 * All of it with the rights that it will be evaluated with: constants are computed
 * already here, those in the constraints of domains when these are looked at.
 */
static void
prepare_kept(WtcAttachment *att, Node *kept)
{
	Node	   *condition = wtc_kept_condition(kept);
	WtcEntered	entered;

	if ((att->conditional && condition == NULL) ||
		list_length(wtc_kept_expressions(kept)) != att->nexpressions)
	{
		att->no_images = "the trigger with the condition is missing";
		return;
	}
	att->exotic |= wtc_condition_is_foreign(kept);
	att->econtext = CreateStandaloneExprContext();
	wtc_enter(att, &entered);
	PG_TRY();
	{
		if (!is_denied(att, kept))
		{
			if (att->conditional)
				att->condition = prepare_expression(att, condition);
			prepare_expressions(att, kept);
		}
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
}

WtcAttachment *
wtc_attachment_build(Relation rel, int nargs, char *const *args,
					 Node *condition, MemoryContext parent)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "wtcache attachment",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	WtcAttachment *att = palloc0(sizeof(WtcAttachment));
	char		enabled;

	MemoryContextCopyAndSetIdentifier(cxt, RelationGetRelationName(rel));
	att->cxt = cxt;
	att->root = wtc_attached_as(rel);
	att->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	att->tags = palloc0(sizeof(WtcTemplate *) * (nargs + 1));
	att->invalidates = palloc0(sizeof(WtcTemplate *) * (nargs + 1));
	att->fields = palloc0(sizeof(WtcField) * (nargs + 1));

	for (int i = 0; i < nargs; i++)
		decode_argument(att, rel, args, i);
	if (att->key == NULL)
		bad_argument("");
	att->patterns.cxt = cxt;
	att->patterns.key = att->key;
	if (att->ntags > WTC_MAX_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a row cannot carry more than %d tags", WTC_MAX_TAGS)));

	if (att->nfields == 0)
		add_all_columns(att);
	type_expressions(att, condition);
	inspect_columns(att);
	prepare_fields(att);
	prepare_version(att);
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		att->no_images = "a crash empties the table";
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		wtc_truncate_trigger(rel, &enabled) == NULL)
		att->no_images = "no trigger tells of TRUNCATE";
	if (!wtc_covers_unique_index(rel, att->key->columns))
		att->no_images = "no unique index makes the key one of a single row";
	if (wtc_attachment_keeps(att))
		prepare_kept(att, condition);

	MemoryContextSwitchTo(old);
	return att;
}
