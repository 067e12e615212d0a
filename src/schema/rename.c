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
#include "capture/template.h"
#include "catalog/pg_trigger.h"
#include "schema/arguments.h"
#include "schema/rename.h"
#include "utils/fmgroids.h"

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
	if (strcmp(name, "column=") == 0 && strcmp(value, renaming->from) == 0)
		return psprintf("%s%s", name, renaming->to);
	return pstrdup(arg);
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
		wtc_set_arguments(rel, trigger, trigger->tgnargs, args);
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}
