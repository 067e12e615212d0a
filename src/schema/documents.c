/*-------------------------------------------------------------------------
 *
 * documents.c
 *	  What a change of the schema does to documents.
 *
 * What the query names is followed by PostgreSQL itself, or kept from being dropped:
 * the query is the body of a function.  But a query may write whole rows, and then a
 * document has other fields when a table that is read has other columns; so all of
 * them are deleted with such a change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/attached.h"
#include "commands/trigger.h"
#include "document/cache.h"
#include "document/find.h"
#include "document/touch.h"
#include "schema/documents.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

bool
wtc_is_document_function(Oid function)
{
	return OidIsValid(function) &&
		(function == wtc_document_function() ||
		 function == wtc_part_function() ||
		 function == wtc_document_truncate_function());
}

bool
wtc_has_documents(Relation rel)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		if (wtc_is_document_function(rel->trigdesc->triggers[i].tgfoid))
			return true;
	}
	return false;
}

static void
forget(Oid document)
{
	WtcStatement *st = wtc_statement_current();
	WtcDocument *doc;

	if (!OidIsValid(document) ||
		(st != NULL && list_member_oid(st->documents, document)))
		return;
	if (st != NULL)
		st->documents = wtc_add_oid(st, st->documents, document);
	doc = wtc_document_get(document);
	if (doc != NULL)
		(void) wtc_document_forget(doc);
}

/* The document of a trigger: its own, or that which it is a part of. */
static Oid
document_of(Oid trigger, const WtcTriggerRow *row)
{
	if (row->function == wtc_document_function())
		return trigger;
	return row->document != NULL ? wtc_document_named(row->document) : InvalidOid;
}

void
wtc_forget_documents_of(Oid relid)
{
	TriggerDesc *desc = wtc_catalog_triggers(relid);

	for (int i = 0; i < desc->numtriggers; i++)
	{
		Oid			oid = desc->triggers[i].tgoid;
		WtcTriggerRow row = wtc_trigger_row(oid, NULL);

		if (wtc_is_document_function(row.function))
			forget(document_of(oid, &row));
	}
}

void
wtc_forget_documents_reading(Oid relid)
{
	ListCell   *lc;

	foreach(lc, wtc_documents_reading(relid))
		forget(lfirst_oid(lc));
}

void
wtc_document_trigger_goes(Oid trigger)
{
	WtcTriggerRow row = wtc_trigger_row(trigger, NULL);

	if (row.function == wtc_document_truncate_function())
		wtc_forget_documents_of(row.relid);
	else
		forget(document_of(trigger, &row));
}

void
wtc_document_triggers_changed(Oid relid, bool warn)
{
	TriggerDesc *desc = wtc_catalog_triggers(relid);
	bool		watched = true;

	for (int i = 0; i < desc->numtriggers; i++)
	{
		if (wtc_is_document_function(desc->triggers[i].tgfoid) &&
			desc->triggers[i].tgenabled != TRIGGER_FIRES_ON_ORIGIN &&
			desc->triggers[i].tgenabled != TRIGGER_FIRES_ALWAYS)
			watched = false;
	}
	if (watched)
		return;
	wtc_forget_documents_of(relid);
	if (warn)
		ereport(WARNING,
				(errmsg("documents that \"%s\" is in are no longer cached",
						get_rel_name(relid)),
				 errdetail("A trigger that tells of its changes is disabled."),
				 errhint("Enable the triggers again, or call wtcache.detach_document() or detach_part().")));
}

/*
 * Columns
 */

WtcColumnUse
wtc_document_column_use(Oid trigger, Relation rel, const char *column)
{
	WtcColumnUse use = {0};
	const Trigger *found = wtc_trigger_among(rel->trigdesc, trigger);
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), column);
	WtcDocument *doc;

	if (found == NULL || attno <= 0)
		return use;
	for (int i = 0; i < found->tgnargs; i++)
	{
		if (found->tgfoid == wtc_part_function() &&
			strncmp(found->tgargs[i], "root_key=", 9) == 0 &&
			strcmp(found->tgargs[i] + 9, column) == 0)
		{
			use.name = "root_key";
			use.text = pstrdup(column);
		}
	}
	doc = found->tgfoid == wtc_document_function() ?
		wtc_document_get(trigger) : NULL;
	if (doc != NULL)
	{
		wtc_use_in_templates(&use, "key", &doc->key, 1, attno);
		wtc_use_in_templates(&use, "tag", doc->tags, doc->ntags, attno);
		wtc_use_in_templates(&use, "invalidated tag", doc->invalidates,
						 doc->ninvalidates, attno);
	}
	return use;
}

/*
 * Triggers that have been made
 */

void
wtc_check_document_name(Oid trigger, const char *name)
{
	Oid			other = name != NULL ? wtc_document_named(name) : InvalidOid;

	if (OidIsValid(other) && other != trigger)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("document \"%s\" exists already", name)));
}

/* A backend that knows the document does not know of this part. */
void
wtc_part_created(const char *document)
{
	Oid			trigger = document != NULL ? wtc_document_named(document) :
	InvalidOid;

	if (OidIsValid(trigger))
		CacheInvalidateRelcacheByRelid(wtc_trigger_row(trigger, NULL).relid);
}
