/*-------------------------------------------------------------------------
 *
 * prefix.c
 *	  Which database of the server has the keys with a prefix.
 *
 * All databases of a server push to one Redis.  One has the keys with a prefix
 * if ALTER DATABASE ... SET wtcache.key_prefix says so, also if the prefix is
 * empty; attaching a table says it for the first database that does.  This
 * place knows all that is needed: each database sees it of all, it goes with
 * DROP DATABASE, is in the dump of a database that is to be made again (pg_dump
 * --create), and is not copied by CREATE DATABASE ... TEMPLATE.  So a copy has
 * nothing, and pushes nothing under the prefix that the original has.
 *
 * No database is looked at that has no such setting: it has attached nothing, or
 * the setting has been removed.  Such a one may push under a prefix that no other
 * one has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/dbcommands.h"
#include "guc.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "txn/prefix.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define SETTING		"wtcache.key_prefix"

/* What wtc_may_push() has found. */
static struct
{
	bool		valid;
	bool		may_push;
	char	   *prefix;			/* for this one */
	bool		warned;
}			known;

/* The setting in an array of name=value, or NULL. */
static char *
prefix_in(ArrayType *settings)
{
	Datum	   *elems;
	int			n;

	deconstruct_array(settings, TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *setting = TextDatumGetCString(elems[i]);

		if (pg_strncasecmp(setting, SETTING "=", strlen(SETTING) + 1) == 0)
			return setting + strlen(SETTING) + 1;
	}
	return NULL;
}

/* The prefix of the database that a row is about; NULL: it has none. */
static char *
prefix_of(Relation settings, HeapTuple tuple, Oid *database)
{
	Form_pg_db_role_setting form = (Form_pg_db_role_setting) GETSTRUCT(tuple);
	bool		isnull;
	Datum		array;

	if (OidIsValid(form->setrole))
		return NULL;
	*database = form->setdatabase;
	array = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
						 RelationGetDescr(settings), &isnull);
	return isnull ? NULL : prefix_in(DatumGetArrayTypeP(array));
}

/*
 * Another database than this one that has the prefix; or InvalidOid.  *own: this
 * one has a prefix of its own, and it is this one.
 */
static Oid
find_owner(Oid database, const char *prefix, bool *own)
{
	Relation	settings = table_open(DbRoleSettingRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(settings, InvalidOid, false, NULL,
										  0, NULL);
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	*own = false;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			other;
		char	   *has = prefix_of(settings, tuple, &other);

		if (has == NULL || strcmp(has, prefix) != 0)
			continue;
		if (other == database)
			*own = true;
		else
			owner = other;
	}
	systable_endscan(scan);
	table_close(settings, AccessShareLock);
	return owner;
}

char *
wtc_prefix_taken(void)
{
	bool		own;
	Oid			owner = find_owner(MyDatabaseId, wtc_key_prefix, &own);

	return own || !OidIsValid(owner) ? NULL : get_database_name(owner);
}

static const char *
hint(void)
{
	char	   *name = get_database_name(MyDatabaseId);

	return psprintf("Use ALTER DATABASE %s SET wtcache.key_prefix = %s, or another prefix of its own, and connect again.",
					quote_identifier(name),
					quote_literal_cstr(psprintf("%s:", name)));
}

void
wtc_check_prefix(void)
{
	char	   *owner = wtc_prefix_taken();

	if (owner != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the keys with prefix \"%s\" are those of database \"%s\"",
						wtc_key_prefix, owner),
				 errdetail("All databases of the server write to one Redis."),
				 errhint("%s", hint())));
}

/*
 * Asked once, and again after an invalidation
 */

static void
forget(Datum arg, Oid relid)
{
	if (relid == DbRoleSettingRelationId || relid == InvalidOid)
		known.valid = false;
}

static void
find_out(void)
{
	static bool registered = false;
	char	   *owner;

	if (!registered)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	registered = true;

	/* what invalidates it meanwhile must not be lost */
	known.valid = true;
	owner = wtc_prefix_taken();
	if (known.prefix != NULL)
		pfree(known.prefix);
	known.prefix = MemoryContextStrdup(TopMemoryContext, wtc_key_prefix);
	known.may_push = owner == NULL;
	if (owner == NULL || known.warned)
		return;
	known.warned = true;
	ereport(WARNING,
			(errmsg("changes do not reach the cache"),
			 errdetail("The keys with prefix \"%s\" are those of database \"%s\".",
					   wtc_key_prefix, owner),
			 errhint("%s", hint())));
}

bool
wtc_may_push(void)
{
	if (!known.valid || strcmp(known.prefix, wtc_key_prefix) != 0)
		find_out();
	return known.may_push;
}

void
wtc_prefixes_changed(void)
{
	CacheInvalidateRelcacheByRelid(DbRoleSettingRelationId);
}

/*
 * Settings
 */

/* Against others that claim; sessions that start only read. */
static void
lock_settings(void)
{
	table_close(table_open(DbRoleSettingRelationId, ShareRowExclusiveLock),
				NoLock);
}

/*
 * A role that may attach a table need not be one that may set the prefix: it is set
 * to what is in force.
 */
static void
set_prefix(const char *prefix)
{
	VariableSetStmt *stmt = makeNode(VariableSetStmt);
	A_Const    *value = makeNode(A_Const);
	Oid			user;
	int			context;

	value->val.sval.type = T_String;
	value->val.sval.sval = pstrdup(prefix);
	value->location = -1;
	stmt->kind = VAR_SET_VALUE;
	stmt->name = SETTING;
	stmt->args = list_make1(value);

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   context | SECURITY_LOCAL_USERID_CHANGE);
	AlterSetting(MyDatabaseId, InvalidOid, stmt);
	SetUserIdAndSecContext(user, context);
}

void
wtc_claim_prefix(void)
{
	bool		own;

	(void) find_owner(MyDatabaseId, wtc_key_prefix, &own);
	if (own)
		return;
	lock_settings();
	if (OidIsValid(find_owner(MyDatabaseId, wtc_key_prefix, &own)) || own)
		return;
	set_prefix(wtc_key_prefix);
	CommandCounterIncrement();
	wtc_prefixes_changed();
}

void
wtc_check_prefix_setting(AlterDatabaseSetStmt * stmt)
{
	char	   *prefix;
	Oid			database;
	Oid			owner;
	bool		own;

	if (stmt->setstmt->name == NULL ||
		pg_strcasecmp(stmt->setstmt->name, SETTING) != 0)
		return;
	prefix = ExtractSetVariableArgs(stmt->setstmt);
	database = get_database_oid(stmt->dbname, true);
	if (prefix == NULL || !OidIsValid(database))
		return;
	lock_settings();
	owner = find_owner(database, prefix, &own);
	if (OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("the keys with prefix \"%s\" are those of database \"%s\"",
						prefix, get_database_name(owner)),
				 errdetail("All databases of the server write to one Redis.")));
}
