/*-------------------------------------------------------------------------
 *
 * document.c
 *	  Joined documents: decoding the triggers that define them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "capture/attached.h"
#include "capture/catalog.h"
#include "capture/image.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "document/document.h"
#include "document/find.h"
#include "document/query.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/*
 * Keys
 */

Oid
wtc_document_key_kind(Oid type, Oid collation)
{
	type = getBaseType(type);
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return INT8OID;
		case TEXTOID:
		case VARCHAROID:
			return get_collation_isdeterministic(collation) ? TEXTOID : InvalidOid;
		case BOOLOID:
		case BYTEAOID:
		case CHAROID:
		case DATEOID:
		case NAMEOID:
		case OIDOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
			return type;
		default:
			return get_typtype(type) == TYPTYPE_ENUM ? type : InvalidOid;
	}
}

char *
wtc_document_output(void *doc, AttrNumber attno, Datum value)
{
	return OutputFunctionCall(&((WtcDocument *) doc)->outputs[attno - 1],
							  value);
}

bool
wtc_document_key(const WtcDocument *doc, WtcSpan texts, WtcSpan *key)
{
	const WtcTemplate *tpl = doc->key;
	WtcCursor	cursor = {texts.data, texts.data + texts.len};
	char	   *values[WTC_MAX_KEYS];
	StringInfoData buf;

	for (int i = 0; i < doc->nkeys; i++)
	{
		WtcSpan		value;

		if (!wtc_get_string(&cursor, &value))
			return false;
		values[i] = pnstrdup(value.data, value.len);
	}
	initStringInfo(&buf);
	for (int i = 0; i < tpl->nparts; i++)
	{
		if (tpl->parts[i].attno == 0)
		{
			appendStringInfoString(&buf, tpl->parts[i].literal);
			continue;
		}
		for (int k = 0; k < doc->nkeys; k++)
		{
			if (doc->keys[k] == tpl->parts[i].attno)
				wtc_template_append_value(tpl, values[k], &buf);
		}
	}
	return buf.len > 0 && !wtc_key_is_reserved(buf.data) &&
		wtc_complete_key(buf.data, key);
}

void
wtc_document_check_key(const WtcDocument *doc, int n)
{
	if (n != doc->nkeys)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("root_key does not name a root of document \"%s\"",
						doc->name),
				 errdetail("The number of columns in the primary key of \"%s\" is %d.",
						   get_rel_name(doc->root), doc->nkeys)));
}

/*
 * Definitions
 */

void
wtc_document_check(const WtcDocument *doc)
{
	if (doc->broken != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("document \"%s\" cannot be cached", doc->name),
				 errdetail("There can be none: %s.", doc->broken)));
}

static void
bad_argument(const char *arg)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid argument \"%s\" of a wtcache document trigger", arg),
			 errhint("Call wtcache.attach_document() or attach_part() instead of CREATE TRIGGER.")));
}

/* What is behind the equals sign, if it is this name that is before it. */
static const char *
value_of(const char *arg, const char *name)
{
	size_t		len = strlen(name);

	return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

static void
decode_argument(WtcDocument *doc, const char *arg)
{
	const char *value;

	if ((value = value_of(arg, "name")) != NULL && doc->name == NULL &&
		value[0] != '\0')
		doc->name = pstrdup(value);
	else if ((value = value_of(arg, "key")) != NULL && doc->key == NULL)
		doc->key = wtc_template_parse(value, doc->desc, true);
	else if ((value = value_of(arg, "ttl")) != NULL && doc->ttl_ms == 0 &&
			 wtc_ttl_decode(value, &doc->ttl_ms))
		 /* has been decoded */ ;
	else if ((value = value_of(arg, "tag")) != NULL)
		doc->tags[doc->ntags++] = wtc_template_parse(value, doc->desc, false);
	else if ((value = value_of(arg, "invalidate")) != NULL)
		doc->invalidates[doc->ninvalidates++] =
			wtc_template_parse(value, doc->desc, false);
	else
		bad_argument(arg);
}

static void
find_keys(WtcDocument *doc)
{
	doc->nkeys = wtc_catalog_primary_key(doc->root, doc->keys);
	if (doc->nkeys == 0)
		doc->broken = "the table has no primary key";
	for (int i = 0; i < doc->nkeys; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(doc->desc, doc->keys[i] - 1);

		doc->types[i] = attr->atttypid;
		if (!OidIsValid(wtc_document_key_kind(attr->atttypid,
											  attr->attcollation)))
			doc->broken = psprintf("values of type %s cannot name a document",
								   format_type_be(attr->atttypid));
	}
}

/* From the values of the primary key alone the name of the document is made. */
static void
check_key(WtcDocument *doc)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < doc->nkeys; i++)
		columns = bms_add_member(columns, doc->keys[i]);
	if (doc->broken == NULL && !bms_equal(columns, doc->key->columns))
		doc->broken = "the key does not consist of the columns of the primary key";
}

static void
prepare_outputs(WtcDocument *doc)
{
	doc->outputs = palloc0(sizeof(FmgrInfo) * (doc->desc->natts + 1));
	for (int i = 0; i < doc->desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(doc->desc, i);
		Oid			output;
		bool		varlena;

		if (attr->attisdropped)
			continue;
		getTypeOutputInfo(attr->atttypid, &output, &varlena);
		fmgr_info_cxt(output, &doc->outputs[i], doc->cxt);
		doc->exotic |= !wtc_type_is_plain(attr->atttypid) &&
			(wtc_templates_use(doc->tags, doc->ntags, attr->attnum) ||
			 wtc_templates_use(doc->invalidates, doc->ninvalidates, attr->attnum));
	}
}

/* Do they tell of every change? */
static bool
are_firing(const TriggerDesc * desc, const Trigger *trigger)
{
	bool		truncate = false;

	for (int i = 0; i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgfoid == wtc_document_truncate_function())
			truncate = desc->triggers[i].tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
				desc->triggers[i].tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	return truncate && (trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
						trigger->tgenabled == TRIGGER_FIRES_ALWAYS);
}

/* A document of whose parts some are not watched is none. */
static void
check_triggers(WtcDocument *doc, const TriggerDesc * desc,
			   const Trigger *trigger)
{
	ListCell   *lc;

	if (!are_firing(desc, trigger))
		doc->broken = psprintf("a trigger of \"%s\" is disabled or missing",
							   get_rel_name(doc->root));
	foreach(lc, wtc_document_parts(doc->name))
	{
		Oid			relid = wtc_trigger_row(lfirst_oid(lc), NULL).relid;
		TriggerDesc *others = wtc_catalog_triggers(relid);
		const Trigger *part = wtc_trigger_among(others, lfirst_oid(lc));

		if (part != NULL && !are_firing(others, part))
			doc->broken = psprintf("a trigger of \"%s\" is disabled or missing",
								   get_rel_name(relid));
	}
}

WtcDocument *
wtc_document_build(Oid root, Oid oid, MemoryContext parent)
{
	MemoryContext cxt;
	MemoryContext old;
	WtcDocument *doc;
	TriggerDesc *triggers = wtc_catalog_triggers(root);
	const Trigger *trigger = wtc_trigger_among(triggers, oid);
	TupleDesc	desc = wtc_catalog_columns(root);

	if (trigger == NULL || desc == NULL)
		return NULL;
	cxt = AllocSetContextCreate(parent, "wtcache document",
								ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	doc = palloc0(sizeof(WtcDocument));
	doc->cxt = cxt;
	doc->trigger = oid;
	doc->root = root;
	doc->desc = CreateTupleDescCopy(desc);
	doc->tags = palloc0(sizeof(WtcTemplate *) * (trigger->tgnargs + 1));
	doc->invalidates = palloc0(sizeof(WtcTemplate *) * (trigger->tgnargs + 1));
	doc->keys = palloc0(sizeof(AttrNumber) * WTC_MAX_KEYS);
	doc->types = palloc0(sizeof(Oid) * WTC_MAX_KEYS);
	for (int i = 0; i < trigger->tgnargs; i++)
		decode_argument(doc, trigger->tgargs[i]);
	if (doc->name == NULL || doc->key == NULL)
		bad_argument("");
	if (doc->ntags > WTC_MAX_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a document cannot carry more than %d tags", WTC_MAX_TAGS)));
	MemoryContextCopyAndSetIdentifier(cxt, doc->name);
	doc->patterns.cxt = cxt;
	doc->patterns.key = doc->key;
	prepare_outputs(doc);
	find_keys(doc);
	check_key(doc);
	check_triggers(doc, triggers, trigger);
	wtc_document_find_query(doc, trigger);
	MemoryContextSwitchTo(old);
	return doc;
}

/*
 * Parts
 */

void
wtc_part_decode(Relation rel, const Trigger *trigger, WtcPart *part)
{
	const char *name = NULL;

	memset(part, 0, sizeof(*part));
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		const char *column = value_of(trigger->tgargs[i], "root_key");
		Oid			output;
		bool		varlena;

		if (name == NULL && (name = value_of(trigger->tgargs[i], "document")) != NULL)
			continue;
		if (column == NULL || part->nkeys == WTC_MAX_KEYS)
			bad_argument(trigger->tgargs[i]);
		part->keys[part->nkeys] = get_attnum(RelationGetRelid(rel), column);
		if (part->keys[part->nkeys] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of \"%s\", which names roots of wtcache document \"%s\", does not exist",
							column, RelationGetRelationName(rel), name ? name : "")));
		getTypeOutputInfo(TupleDescAttr(RelationGetDescr(rel),
										part->keys[part->nkeys] - 1)->atttypid,
						  &output, &varlena);
		fmgr_info_cxt(output, &part->outputs[part->nkeys++],
					  CurrentMemoryContext);
	}
	if (name == NULL || part->nkeys == 0)
		bad_argument("");
	part->document = wtc_document_named(name);
}
