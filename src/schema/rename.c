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
#include "schema/arguments.h"
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

void
wtc_follow_renaming(const WtcRenaming *renaming)
{
	Relation	rel = try_relation_open(renaming->relid, AccessShareLock);
	const Trigger *trigger = rel ? wtc_attachment_trigger(rel) : NULL;
	char	  **args = NULL;
	bool		changed = false;

	if (trigger != NULL)
		args = palloc(sizeof(char *) * (trigger->tgnargs + 1));
	for (int i = 0; trigger != NULL && i < trigger->tgnargs; i++)
	{
		args[i] = renamed_argument(renaming, trigger->tgargs[i]);
		changed |= strcmp(args[i], trigger->tgargs[i]) != 0;
	}
	if (changed)
		check_names(rel, args, trigger->tgnargs);
	if (changed)
		wtc_set_arguments(rel, trigger, trigger->tgnargs, args);
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}
