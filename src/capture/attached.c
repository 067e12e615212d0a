/*-------------------------------------------------------------------------
 *
 * attached.c
 *	  Attached tables, by their triggers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "capture/attached.h"
#include "capture/field.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "compat.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

/*
 * Not by LookupFuncName(), which wants the user to have USAGE of the schema:
 * this is asked before each change of any object's schema.  In a database
 * without the extension a user may have created a schema of its name, with
 * functions in it, but not in C.
 */
static Oid
trigger_function(const char *name)
{
	Oid			schema = get_namespace_oid("wtcache", true);
	HeapTuple	tuple;
	Form_pg_proc proc;
	Oid			function = InvalidOid;

	if (!OidIsValid(schema))
		return InvalidOid;
	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name),
							PointerGetDatum(buildoidvector(NULL, 0)),
							ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prolang == ClanguageId)
		function = proc->oid;
	ReleaseSysCache(tuple);
	return function;
}

Oid
wtc_capture_function(void)
{
	return trigger_function("capture_row");
}

Oid
wtc_truncate_function(void)
{
	return trigger_function("capture_truncate");
}

/* The right to call any function of that name that the extension has made. */
void
wtc_check_may_attach(const char *name)
{
	Oid			schema = get_namespace_oid("wtcache", false);
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP,
										   CStringGetDatum(name));
	bool		may = superuser();

	for (int i = 0; !may && i < list->n_members; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		may = proc->pronamespace == schema &&
			wtc_may_execute(proc->oid, GetUserId());
	}
	ReleaseSysCacheList(list);
	if (!may)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION,
					   psprintf("wtcache.%s", name));
}

Oid
wtc_condition_function(void)
{
	return trigger_function("capture_condition");
}

Oid
wtc_document_function(void)
{
	return trigger_function("capture_document");
}

Oid
wtc_part_function(void)
{
	return trigger_function("capture_part");
}

Oid
wtc_document_truncate_function(void)
{
	return trigger_function("capture_document_truncate");
}

const Trigger *
wtc_copy_trigger(const Trigger *trigger)
{
	Trigger    *copy = palloc0(sizeof(Trigger));

	copy->tgoid = trigger->tgoid;
	copy->tgname = pstrdup(trigger->tgname);
	copy->tgfoid = trigger->tgfoid;
	copy->tgenabled = trigger->tgenabled;
	copy->tgisclone = trigger->tgisclone;
	copy->tgnargs = trigger->tgnargs;
	copy->tgqual = trigger->tgqual ? pstrdup(trigger->tgqual) : NULL;
	copy->tgargs = palloc(sizeof(char *) * (trigger->tgnargs + 1));
	for (int i = 0; i < trigger->tgnargs; i++)
		copy->tgargs[i] = pstrdup(trigger->tgargs[i]);
	return copy;
}

/* The first trigger of a table that has this function, or NULL. */
static const Trigger *
trigger_of(const TriggerDesc * desc, Oid function)
{
	if (desc == NULL || !OidIsValid(function))
		return NULL;
	for (int i = 0; i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgfoid == function)
			return wtc_copy_trigger(&desc->triggers[i]);
	}
	return NULL;
}

const Trigger *
wtc_trigger_among(const TriggerDesc * desc, Oid oid)
{
	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		if (desc->triggers[i].tgoid == oid)
			return wtc_copy_trigger(&desc->triggers[i]);
	}
	return NULL;
}

const Trigger *
wtc_attachment_among(const TriggerDesc * desc)
{
	return trigger_of(desc, wtc_capture_function());
}

const Trigger *
wtc_attachment_trigger(Relation rel)
{
	return wtc_attachment_among(rel->trigdesc);
}

const Trigger *
wtc_condition_among(const TriggerDesc * desc)
{
	const Trigger *capture = wtc_attachment_among(desc);
	Oid			function = wtc_condition_function();
	const Trigger *found = NULL;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const Trigger *trigger = &desc->triggers[i];

		if (trigger->tgfoid != function ||
			(capture != NULL && trigger->tgisclone != capture->tgisclone))
			continue;
		if (found != NULL)
			return NULL;
		found = trigger;
	}
	return found != NULL ? wtc_copy_trigger(found) : NULL;
}

const Trigger *
wtc_condition_trigger(Relation rel)
{
	return wtc_condition_among(rel->trigdesc);
}

static void
refuse_missing(const Trigger *trigger, const char *table)
{
	if (trigger == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not attached to wtcache", table)));
}

const Trigger *
wtc_attached_trigger(Relation rel)
{
	const Trigger *trigger = wtc_attachment_trigger(rel);

	refuse_missing(trigger, RelationGetRelationName(rel));
	return trigger;
}

void
wtc_check_own_attachment(const Trigger *trigger, const char *table)
{
	refuse_missing(trigger, table);
	if (trigger->tgisclone)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("partition \"%s\" is attached with its parent", table),
				 errhint("Name the partitioned table.")));
}

void
wtc_refuse_attached(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("table \"%s\" is attached to wtcache already",
					RelationGetRelationName(rel)),
			 errhint("To change some of its settings, call wtcache.alter(relation, ...); to replace all of them, wtcache.attach() with replace => true.")));
}

const char *
wtc_attachment_argument(const Trigger *trigger, const char *name)
{
	size_t		len = strlen(name);

	for (int i = 0; i < trigger->tgnargs; i++)
	{
		if (strncmp(trigger->tgargs[i], name, len) == 0 &&
			trigger->tgargs[i][len] == '=')
			return trigger->tgargs[i] + len + 1;
	}
	return NULL;
}

int
wtc_attachment_expressions(const Trigger *trigger)
{
	WtcFieldText parts;
	int			n = 0;

	for (int i = 0; i < trigger->tgnargs; i++)
	{
		const char *arg = trigger->tgargs[i];

		if (strncmp(arg, "column=", 7) == 0 &&
			wtc_field_parse(arg + 7, &parts) && parts.column == NULL)
			n++;
	}
	return n;
}

bool
wtc_attachment_is_kept(const Trigger *trigger)
{
	return wtc_attachment_argument(trigger, "condition") != NULL ||
		wtc_attachment_expressions(trigger) > 0;
}

char
wtc_attachment_mode(const Trigger *trigger)
{
	return wtc_attachment_argument(trigger, "always") != NULL ?
		TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN;
}

const char *
wtc_truncate_trigger(Relation rel, char *enabled)
{
	const Trigger *trigger = trigger_of(rel->trigdesc, wtc_truncate_function());

	if (trigger == NULL)
		return NULL;
	*enabled = trigger->tgenabled;
	return trigger->tgname;
}

bool
wtc_attachment_fires(const Trigger *trigger)
{
	return trigger->tgenabled != TRIGGER_DISABLED &&
		trigger->tgenabled != TRIGGER_FIRES_ON_REPLICA;
}

void
wtc_check_firing(Relation rel, const Trigger *trigger)
{
	if (!wtc_attachment_fires(trigger))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the capture trigger of \"%s\" is disabled",
						RelationGetRelationName(rel)),
				 errdetail("Rows in the cache would not follow the table."),
				 errhint("Use ALTER TABLE ... ENABLE TRIGGER.")));
}

Oid
wtc_attached_as(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	const Trigger *trigger = wtc_attachment_trigger(rel);
	List	   *ancestors = NIL;

	/* of one that is being detached there may be none already */
	if (rel->rd_rel->relispartition && trigger != NULL && trigger->tgisclone)
		ancestors = get_partition_ancestors(relid);
	return ancestors != NIL ? llast_oid(ancestors) : relid;
}

Oid
wtc_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

char *
wtc_qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

void
wtc_check_owner(Relation rel)
{
	if (!wtc_owns_relation(RelationGetRelid(rel), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(rel->rd_rel->relkind),
					   RelationGetRelationName(rel));
}

void
wtc_check_may_read(Oid relid)
{
	AclResult	result = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

List *
wtc_tables_with_rows(Relation rel)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (rel->rd_rel->relkind == RELKIND_RELATION)
		return list_make1_oid(RelationGetRelid(rel));
	foreach(lc, find_all_inheritors(RelationGetRelid(rel),
									AccessShareLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

void
wtc_check_row_security(Relation rel, const char *name)
{
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid,
						 true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("query would be affected by row-level security policy for table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("%s reads all rows.", name),
				 errhint("Call it as a role that has BYPASSRLS, or as the table's owner without FORCE ROW LEVEL SECURITY.")));
}
