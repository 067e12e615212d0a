/*-------------------------------------------------------------------------
 *
 * rename.c
 *	  Attachments that follow renamings.
 *
 * Templates and lists name columns.  Conditions are expression trees and need
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "capture/attached.h"
#include "capture/field.h"
#include "capture/template.h"
#include "catalog/pg_trigger.h"
#include "nodes/value.h"
#include "capture/catalog.h"
#include "schema/arguments.h"
#include "schema/documents.h"
#include "schema/rename.h"
#include "utils/fmgroids.h"

/* A field of the image keeps the name that it was given. */
static char *
renamed_field(const WtcRenaming *renaming, const char *text)
{
	WtcFieldText parts;

	if (!wtc_field_parse(text, &parts) || parts.column == NULL ||
		strcmp(parts.column, renaming->from) != 0)
		return pstrdup(text);
	parts.column = pstrdup(renaming->to);
	if (!parts.renamed)
		parts.name = parts.column;
	return wtc_field_text(&parts);
}

static char *
renamed_version(const WtcRenaming *renaming, const char *text)
{
	char	   *column = wtc_version_column(text);

	if (strcmp(text, WTC_VERSION_LSN) == 0 || column == NULL ||
		strcmp(column, renaming->from) != 0)
		return pstrdup(text);
	return wtc_version_text(renaming->to);
}

/* An argument as it is to be from now on. */
static char *
renamed_argument(const WtcRenaming *renaming, const char *arg)
{
	const char *value = strchr(arg, '=') + 1;
	char	   *name = pnstrdup(arg, value - arg);

	if (strcmp(name, "key=") == 0 || strcmp(name, "tag=") == 0 ||
		strcmp(name, "invalidate=") == 0)
		return psprintf("%s%s", name,
						wtc_template_rename(value, renaming->from, renaming->to));
	if (strcmp(name, "column=") == 0)
		return psprintf("%s%s", name, renamed_field(renaming, value));
	if (strcmp(name, "root_key=") == 0 && strcmp(value, renaming->from) == 0)
		return psprintf("%s%s", name, renaming->to);
	if (strcmp(name, "version=") == 0)
		return psprintf("%s%s", name, renamed_version(renaming, value));
	return pstrdup(arg);
}

/* A column may now have the name that another field was given. */
static void
check_names(Relation rel, char *const *args, int n)
{
	List	   *names = NIL;

	for (int i = 0; i < n; i++)
	{
		WtcFieldText parts;
		String	   *name;

		if (strncmp(args[i], "column=", 7) != 0 ||
			!wtc_field_parse(args[i] + 7, &parts))
			continue;
		name = makeString(parts.name);
		if (list_member(names, name))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("cached image of \"%s\" would have two fields \"%s\"",
							RelationGetRelationName(rel), parts.name),
					 errhint("Call wtcache.alter() with other columns first.")));
		names = lappend(names, name);
	}
}

/* An attachment, a document, or what makes the table a part of one. */
static void
follow(const WtcRenaming *renaming, Relation rel, const Trigger *trigger)
{
	char	  **args = palloc(sizeof(char *) * (trigger->tgnargs + 1));
	bool		changed = false;

	for (int i = 0; i < trigger->tgnargs; i++)
	{
		args[i] = renamed_argument(renaming, trigger->tgargs[i]);
		changed |= strcmp(args[i], trigger->tgargs[i]) != 0;
	}
	if (!changed)
		return;
	check_names(rel, args, trigger->tgnargs);
	wtc_set_arguments(rel, trigger, trigger->tgnargs, args);
}

void
wtc_follow_renaming(const WtcRenaming *renaming)
{
	Relation	rel = try_relation_open(renaming->relid, AccessShareLock);
	const Trigger *trigger = rel ? wtc_attachment_trigger(rel) : NULL;
	TriggerDesc *desc;

	if (rel == NULL)
		return;
	if (trigger != NULL)
		follow(renaming, rel, trigger);
	/* those are changed on the way */
	desc = wtc_catalog_triggers(renaming->relid);
	for (int i = 0; i < desc->numtriggers; i++)
	{
		if (wtc_is_document_function(desc->triggers[i].tgfoid))
			follow(renaming, rel, &desc->triggers[i]);
	}
	relation_close(rel, AccessShareLock);
}
