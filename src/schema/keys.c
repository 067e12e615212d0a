/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Whose a key is: no two attached tables can have the same one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/attached.h"
#include "capture/catalog.h"
#include "capture/meet.h"
#include "catalog/pg_proc.h"
#include "schema/keys.h"
#include "schema/shape.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

static char *
full_name(Oid relid)
{
	return psprintf("%s.%s", get_namespace_name(get_rel_namespace(relid)),
					get_rel_name(relid));
}

/* A key with the schema in it, which tables of the same name do not share. */
static char *
key_with_schema(Oid relid, const char *key)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	return strpbrk(schema, "{}") == NULL ? psprintf("%s.%s", schema, key) : NULL;
}

static void
check_pair(Oid relid, const char *key, Oid other, const char *other_key)
{
	char	   *better;

	if (!wtc_templates_meet(relid, key, other, other_key))
		return;
	better = key_with_schema(relid, key);
	if (better != NULL && wtc_templates_meet(relid, better, other, other_key))
		better = NULL;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("key template \"%s\" of \"%s\" can make keys of \"%s\"",
					key, full_name(relid), full_name(other)),
			 errdetail("Table \"%s\" has the key template \"%s\".",
					   full_name(other), other_key),
			 better != NULL ?
			 errhint("Choose another key, such as \"%s\".", better) :
			 errhint("Choose a key with other literal text, before values of types that could have it in them.")));
}

void
wtc_check_key(Oid relid, const char *key)
{
	ListCell   *lc;

	LockDatabaseObject(ProcedureRelationId, wtc_capture_function(), 0,
					   ShareUpdateExclusiveLock);
	foreach(lc, wtc_triggers_of(wtc_capture_function()))
	{
		WtcTriggerRow row = wtc_trigger_row(lfirst_oid(lc), NULL);

		/* a partition's copy makes keys of its parent's */
		if (!OidIsValid(row.parent) && OidIsValid(row.relid) &&
			row.relid != relid && row.key != NULL)
			check_pair(relid, key, row.relid, row.key);
	}
}
