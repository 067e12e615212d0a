/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Whose a key is: no two attached tables or documents can have the same one.
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

/* What a key is one of: a table, or a document. */
static char *
owner_of(Oid relid, const char *document)
{
	return document != NULL ? psprintf("document %s", document) :
		full_name(relid);
}

static void
check_pair(Oid relid, const char *document, const char *key,
		   const WtcTriggerRow *other)
{
	char	   *better;

	if (!wtc_templates_meet(relid, key, other->relid, other->key))
		return;
	better = key_with_schema(relid, key);
	if (better != NULL && (document != NULL ||
						   wtc_templates_meet(relid, better, other->relid, other->key)))
		better = NULL;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("key template \"%s\" of \"%s\" can make keys of \"%s\"",
					key, owner_of(relid, document),
					owner_of(other->relid, other->document)),
			 other->document == NULL ?
			 errdetail("Table \"%s\" has the key template \"%s\".",
					   full_name(other->relid), other->key) :
			 errdetail("Document \"%s\" has the key template \"%s\".",
					   other->document, other->key),
			 better != NULL ?
			 errhint("Choose another key, such as \"%s\".", better) :
			 errhint("Choose a key with other literal text, before values of types that could have it in them.")));
}

/* Is it the definition itself? */
static bool
is_same(const WtcTriggerRow *row, Oid relid, const char *document)
{
	if (document == NULL || row->document == NULL)
		return document == row->document && row->relid == relid;
	return strcmp(document, row->document) == 0;
}

void
wtc_check_key(Oid relid, const char *document, const char *key)
{
	List	   *triggers;
	ListCell   *lc;

	LockDatabaseObject(ProcedureRelationId, wtc_capture_function(), 0,
					   ShareUpdateExclusiveLock);
	triggers = list_concat(wtc_triggers_of(wtc_capture_function()),
						   wtc_triggers_of(wtc_document_function()));
	foreach(lc, triggers)
	{
		WtcTriggerRow row = wtc_trigger_row(lfirst_oid(lc), NULL);

		/* a partition's copy makes keys of its parent's */
		if (!OidIsValid(row.parent) && OidIsValid(row.relid) &&
			!is_same(&row, relid, document) && row.key != NULL)
			check_pair(relid, document, key, &row);
	}
}
