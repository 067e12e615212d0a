/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  wtcache.attach(), alter() and detach(), and the event trigger for
 *	  partitions.
 *
 * Attaching a table is creating its triggers; there is nothing else to keep
 * in step.  All of this may raise errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "api/arguments.h"
#include "api/attach.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/condition.h"
#include "capture/image.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "commands/policy.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "schema/ddl.h"
#include "schema/firing.h"
#include "schema/keep.h"
#include "schema/keys.h"
#include "schema/shape.h"
#include "schema/statement.h"
#include "txn/prefix.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(wtcache_attach);
PG_FUNCTION_INFO_V1(wtcache_alter);
PG_FUNCTION_INFO_V1(wtcache_detach);
PG_FUNCTION_INFO_V1(wtcache_cover_partitions);

void
wtc_check_attachable(Relation rel)
{
	char		relkind = rel->rd_rel->relkind;

	if (relkind == RELKIND_VIEW)
		wtc_refuse(rel, "It is a view.", "Attach the tables it reads.");
	if (relkind == RELKIND_MATVIEW)
		wtc_refuse(rel, "It is a materialized view, and REFRESH fires no triggers.",
				   "Attach the tables it reads.");
	if (relkind == RELKIND_FOREIGN_TABLE)
		wtc_refuse(rel, "It is a foreign table, and its rows change elsewhere.",
				   "Attach the table where it is.");
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		wtc_refuse(rel, "It is not a table.", NULL);
	if (rel->rd_rel->relispartition)
		wtc_refuse(rel, "It is a partition.", "Attach the partitioned table.");
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		wtc_refuse(rel, "It is a temporary table, which no other session sees.",
				   NULL);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		wtc_refuse(rel, "It is an unlogged table, which a crash empties.",
				   "Use ALTER TABLE ... SET LOGGED.");
	if (IsCatalogRelation(rel))
		wtc_refuse(rel, "It is a system catalog.", NULL);
	if (relkind == RELKIND_RELATION && rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		wtc_refuse(rel, "Its access method is not heap.", NULL);
}

void
wtc_check_key_names(Relation rel, const WtcTemplate *key)
{
	if (key->parts[0].attno == 0 && wtc_key_is_reserved(key->parts[0].literal))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("key \"%s\" of \"%s\" is reserved",
						key->text, RelationGetRelationName(rel)),
				 errdetail("Keys that begin with \"wtcache:\" or with wtcache.tag_prefix name records and tags of wtcache, and those with a prefix of another database belong to that one."),
				 errhint("Choose another key.")));
}

/* Everything that can be wrong is to be found now and not at a write. */
static void
check_arguments(Relation rel, const WtcArguments *args)
{
	WtcAttachment *att = wtc_attachment_build(rel, args->n, args->arg,
											  args->condition,
											  CurrentMemoryContext);

	wtc_check_prefix();
	if (wtc_attachment_is_broken(att))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of \"%s\" cannot be cached",
						RelationGetRelationName(rel)),
				 errdetail("There can be no images: %s.", att->no_images)));
	wtc_check_key_names(rel, att->key);
	if (!wtc_covers_unique_index(rel, att->key->columns))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key \"%s\" does not name a single row of \"%s\"",
						att->key->text, RelationGetRelationName(rel)),
				 errdetail("Two rows could have the same key: its columns include those of no unique index that covers all rows."),
				 errhint("Name all columns of the primary key or of another unique index in the key.")));
	wtc_check_key(RelationGetRelid(rel), NULL, att->key->text);
	MemoryContextDelete(att->cxt);
}

/*
 * A new trigger fires on local changes; enabled is a value of tgenabled.  The
 * table must not be open.
 */
static void
enable_trigger(Oid relid, const char *name, char enabled)
{
	const char *how = enabled == TRIGGER_FIRES_ALWAYS ? "ENABLE ALWAYS" :
	enabled == TRIGGER_FIRES_ON_ORIGIN ? "ENABLE" : "DISABLE";

	if (enabled != TRIGGER_FIRES_ON_ORIGIN)
		wtc_run_own(psprintf("ALTER TABLE %s %s TRIGGER %s",
							 wtc_qualified_name(relid), how, name));
}

static void
create_row_trigger(Oid relid, const WtcArguments *args)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "CREATE OR REPLACE TRIGGER " WTC_ROW_TRIGGER
					 " AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW"
					 " EXECUTE FUNCTION wtcache.capture_row(",
					 wtc_qualified_name(relid));
	for (int i = 0; i < args->n; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "",
						 quote_literal_cstr(args->arg[i]));
	appendStringInfoChar(&sql, ')');
	wtc_run_own(sql.data);
}

static void
create_truncate_trigger(Oid relid)
{
	wtc_run_own(psprintf("CREATE OR REPLACE TRIGGER " WTC_TRUNCATE_TRIGGER
						 " BEFORE TRUNCATE ON %s FOR EACH STATEMENT"
						 " EXECUTE FUNCTION wtcache.capture_truncate()",
						 wtc_qualified_name(relid)));
}

/* Those with this function but for the one of this name; NULL: all of them. */
static void
drop_triggers(Relation rel, Oid function, const char *name)
{
	TriggerDesc *desc = rel->trigdesc;
	List	   *names = NIL;
	ListCell   *lc;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		const char *other = desc->triggers[i].tgname;

		if (desc->triggers[i].tgfoid == function &&
			(name == NULL || strcmp(other, name) != 0))
			names = lappend(names, pstrdup(other));
	}
	foreach(lc, names)
		wtc_run_own(psprintf("DROP TRIGGER %s ON %s",
							 quote_identifier(lfirst(lc)),
							 wtc_qualified_name(RelationGetRelid(rel))));
}

static void
set_condition(Relation rel, Node *condition)
{
	drop_triggers(rel, wtc_condition_function(),
				  condition != NULL ? WTC_CONDITION_TRIGGER : NULL);
	if (condition != NULL)
		wtc_keep_condition(rel, condition);
}

/* The arguments that say what is stored for a row, in one text. */
static char *
stored_shape(Relation rel, char *const *args, int n, Node *condition)
{
	StringInfoData shape;

	initStringInfo(&shape);
	for (int i = 0; i < n; i++)
	{
		if (strncmp(args[i], "ttl=", 4) != 0 &&
			strncmp(args[i], "invalidate=", 11) != 0 &&
			strncmp(args[i], "always=", 7) != 0)
			appendStringInfo(&shape, "%zu:%s", strlen(args[i]), args[i]);
	}
	if (condition != NULL)
		appendStringInfoString(&shape, wtc_condition_text(RelationGetRelid(rel),
														  condition));
	return shape.data;
}

/* Deletes the keys of all rows; the table is locked against writers. */
static void
forget_keys(Relation rel)
{
	ListCell   *lc;

	foreach(lc, wtc_tables_with_rows(rel))
	{
		Relation	part = relation_open(lfirst_oid(lc), ShareRowExclusiveLock);
		const Trigger *trigger = wtc_attachment_trigger(part);

		if (trigger != NULL)
			wtc_forget_rows(part, trigger);
		relation_close(part, NoLock);
	}
}

/* If from now on it has another key, image or tags: the keys as they were go. */
static void
forget_attachment(Relation rel, const WtcArguments *args)
{
	const Trigger *trigger = wtc_attachment_trigger(rel);

	if (trigger != NULL &&
		strcmp(stored_shape(rel, trigger->tgargs, trigger->tgnargs,
							wtc_condition_stored(rel)),
			   stored_shape(rel, args->arg, args->n, args->condition)) != 0)
		forget_keys(rel);
}

static void
notice_children(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		ereport(NOTICE,
				(errmsg("rows of tables that inherit from \"%s\" are not cached with it",
						RelationGetRelationName(rel)),
				 errdetail("Only partitions share the attachment of their parent.")));
}

static void
check_partitions(Relation rel)
{
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	foreach(lc, find_all_inheritors(RelationGetRelid(rel),
									AccessShareLock, NULL))
	{
		Relation	part = relation_open(lfirst_oid(lc), NoLock);
		const Trigger *trigger = wtc_attachment_trigger(part);
		char		relkind = part->rd_rel->relkind;
		bool		unfit = relkind == RELKIND_FOREIGN_TABLE ||
		(relkind == RELKIND_RELATION &&
		 (part->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT ||
		  part->rd_rel->relam != HEAP_TABLE_AM_OID));

		if (unfit)
			wtc_refuse(rel, psprintf("Its partition \"%s\" is unlogged, temporary, foreign, or not of the access method heap.",
									 RelationGetRelationName(part)), NULL);
		if (trigger != NULL && part->rd_rel->relispartition &&
			!trigger->tgisclone)
			wtc_refuse(rel, psprintf("Its partition \"%s\" is attached itself.",
									 RelationGetRelationName(part)),
					   "Call wtcache.detach() for it first.");
		relation_close(part, NoLock);
	}
}

/* Policies are for readers of the table; readers of Redis are not asked for any. */
static void
warn_of_policies(Relation rel)
{
	if (rel->rd_rel->relrowsecurity || relation_has_policies(rel))
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("row security of \"%s\" does not apply to the cache",
						RelationGetRelationName(rel)),
				 errdetail("The image of every row is stored, and whoever can read Redis can read it."),
				 errhint("Leave out columns with the columns argument or rows with the condition, and let only those read Redis who may see the rest.")));
}

/* The table, locked as by CREATE TRIGGER. */
static Relation
open_own_table(FunctionCallInfo fcinfo)
{
	Relation	rel;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	rel = relation_open(PG_GETARG_OID(0), ShareRowExclusiveLock);
	wtc_check_owner(rel);
	return rel;
}

Datum
wtcache_attach(PG_FUNCTION_ARGS)
{
	Relation	rel = open_own_table(fcinfo);
	Oid			relid = RelationGetRelid(rel);
	bool		replace = !PG_ARGISNULL(12) && PG_GETARG_BOOL(12);
	char		enabled = !PG_ARGISNULL(11) && PG_GETARG_BOOL(11) ?
	TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN;
	WtcArguments args;
	List	   *tables;
	ListCell   *lc;

	wtc_check_attachable(rel);
	check_partitions(rel);
	if (!replace && wtc_attachment_trigger(rel) != NULL)
		wtc_refuse_attached(rel);
	args = wtc_arguments_collect(fcinfo, rel, NULL);
	check_arguments(rel, &args);
	notice_children(rel);
	warn_of_policies(rel);
	forget_attachment(rel, &args);

	tables = wtc_tables_with_rows(rel);
	SPI_connect();
	/* one that was renamed, or made by hand, is to be replaced too */
	drop_triggers(rel, wtc_capture_function(), WTC_ROW_TRIGGER);
	set_condition(rel, args.condition);
	create_row_trigger(relid, &args);
	foreach(lc, tables)
		create_truncate_trigger(lfirst_oid(lc));

	relation_close(rel, NoLock);
	enable_trigger(relid, WTC_ROW_TRIGGER, enabled);
	foreach(lc, tables)
		enable_trigger(lfirst_oid(lc), WTC_TRUNCATE_TRIGGER, enabled);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
wtcache_alter(PG_FUNCTION_ARGS)
{
	Relation	rel = open_own_table(fcinfo);
	const Trigger *trigger = wtc_attachment_trigger(rel);
	WtcArguments args;

	wtc_check_own_attachment(trigger, RelationGetRelationName(rel));
	args = wtc_arguments_collect(fcinfo, rel, trigger);
	check_arguments(rel, &args);
	forget_attachment(rel, &args);
	SPI_connect();
	if (!equal(args.condition, wtc_condition_stored(rel)))
		set_condition(rel, args.condition);
	SPI_finish();
	wtc_change_attachment(RelationGetRelid(rel), args.n, args.arg);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * Not by DROP TRIGGER: the owner of a table may drop the row triggers of its
 * partitions without owning these.
 */
static void
drop_truncate_trigger(Oid relid)
{
	Relation	rel = relation_open(relid, AccessExclusiveLock);
	char		enabled;
	const char *name = wtc_truncate_trigger(rel, &enabled);
	ObjectAddress trigger = {.classId = TriggerRelationId};

	relation_close(rel, NoLock);
	if (name == NULL)
		return;
	trigger.objectId = get_trigger_oid(relid, name, false);
	performDeletion(&trigger, DROP_RESTRICT, 0);
}

Datum
wtcache_detach(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Relation	rel = relation_open(relid, ShareRowExclusiveLock);
	const Trigger *trigger;
	ListCell   *lc;

	wtc_check_owner(rel);
	trigger = wtc_attached_trigger(rel);
	if (PG_GETARG_BOOL(1))
		forget_keys(rel);

	SPI_connect();
	wtc_run_own(psprintf("DROP TRIGGER %s ON %s",
						 quote_identifier(trigger->tgname),
						 wtc_qualified_name(relid)));
	drop_triggers(rel, wtc_condition_function(), NULL);
	SPI_finish();
	foreach(lc, wtc_tables_with_rows(rel))
		drop_truncate_trigger(lfirst_oid(lc));

	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * Called by the event trigger after CREATE TABLE and ALTER TABLE: gives a new
 * partition of an attached table its TRUNCATE trigger, which unlike the row
 * trigger is not inherited; and others of the same table that have lost theirs.
 */
Datum
wtcache_cover_partitions(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"cover_partitions\" was not called by its kind of trigger")));
	/* not before a dump that is being restored creates them itself */
	if (!wtc_ddl_adds_partitions() || wtc_attached_tables(true) == NIL)
		return PointerGetDatum(NULL);

	/* not those of other tables: their triggers are none of this statement's */
	SPI_connect();
	if (SPI_execute("WITH RECURSIVE p (relid) AS ("
					"       SELECT pg_catalog.pg_partition_root(d.objid)::pg_catalog.oid"
					"         FROM pg_catalog.pg_event_trigger_ddl_commands() d"
					"        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
					"        UNION"
					"       SELECT i.inhrelid FROM pg_catalog.pg_inherits i"
					"         JOIN p ON p.relid = i.inhparent)"
					"SELECT r.tgrelid, r.tgenabled"
					"  FROM p"
					"  JOIN pg_catalog.pg_trigger r ON r.tgrelid = p.relid"
					"  JOIN pg_catalog.pg_class c ON c.oid = p.relid"
					" WHERE r.tgfoid = 'wtcache.capture_row'::pg_catalog.regproc"
					"   AND r.tgparentid <> 0 AND c.relkind = 'r'"
					"   AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t"
					"        WHERE t.tgrelid = r.tgrelid"
					"          AND t.tgfoid = 'wtcache.capture_truncate'::pg_catalog.regproc)",
					false, 0) == SPI_OK_SELECT)
	{
		SPITupleTable *found = SPI_tuptable;
		uint64		n = SPI_processed;

		for (uint64 i = 0; i < n; i++)
		{
			bool		isnull;
			Oid			relid = DatumGetObjectId(SPI_getbinval(found->vals[i],
															   found->tupdesc,
															   1, &isnull));
			char		enabled = DatumGetChar(SPI_getbinval(found->vals[i],
															 found->tupdesc,
															 2, &isnull));

			create_truncate_trigger(relid);
			enable_trigger(relid, WTC_TRUNCATE_TRIGGER, enabled);
		}
	}
	SPI_finish();
	return PointerGetDatum(NULL);
}
