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
 * One prefix may be the beginning of another, as the empty one is of all.  A key
 * belongs to the database with the longest of the prefixes that it begins with.
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

/* What has been found out, until it is invalidated. */
static struct
{
	bool		valid;
	MemoryContext cxt;			/* of what follows */
	char	   *prefix;			/* for this one */
	char	   *owner;			/* the database that has it; NULL: no other */
	List	   *longer;			/* how prefixes go on of other databases that
								 * begin with this one */
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

/* A database that has a prefix of its own. */
typedef struct Claim
{
	Oid			database;
	char	   *prefix;
} Claim;

/* All of them, as Claims. */
static List *
claims(void)
{
	Relation	settings = table_open(DbRoleSettingRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(settings, InvalidOid, false, NULL,
										  0, NULL);
	HeapTuple	tuple;
	List	   *result = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Claim	   *claim = palloc(sizeof(Claim));

		claim->prefix = prefix_of(settings, tuple, &claim->database);
		if (claim->prefix != NULL)
			result = lappend(result, claim);
	}
	systable_endscan(scan);
	table_close(settings, AccessShareLock);
	return result;
}

/*
 * Another database than this one that has the prefix; or InvalidOid.  *own: this
 * one has a prefix of its own, and it is this one.
 */
static Oid
find_owner(Oid database, const char *prefix, bool *own)
{
	Oid			owner = InvalidOid;
	ListCell   *lc;

	*own = false;
	foreach(lc, claims())
	{
		const Claim *claim = lfirst(lc);

		if (strcmp(claim->prefix, prefix) != 0)
			continue;
		if (claim->database == database)
			*own = true;
		else
			owner = claim->database;
	}
	return owner;
}

/* How the prefixes of other databases go on that begin with this one. */
static List *
find_longer(const char *prefix)
{
	size_t		len = strlen(prefix);
	List	   *longer = NIL;
	ListCell   *lc;

	foreach(lc, claims())
	{
		const Claim *claim = lfirst(lc);

		if (claim->database != MyDatabaseId &&
			strncmp(claim->prefix, prefix, len) == 0 &&
			claim->prefix[len] != '\0')
			longer = lappend(longer, claim->prefix + len);
	}
	return longer;
}

bool
wtc_prefix_claimed(Oid database)
{
	ListCell   *lc;

	foreach(lc, claims())
	{
		if (((const Claim *) lfirst(lc))->database == database)
			return true;
	}
	return false;
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
	MemoryContext old;

	if (known.cxt == NULL)
	{
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
		known.cxt = AllocSetContextCreate(TopMemoryContext, "wtcache prefixes",
										  ALLOCSET_SMALL_SIZES);
	}
	/* an error leaves nothing that is known */
	known.prefix = NULL;
	MemoryContextReset(known.cxt);

	/* what invalidates it meanwhile must not be lost */
	known.valid = true;
	old = MemoryContextSwitchTo(known.cxt);
	known.owner = wtc_prefix_taken();
	known.longer = find_longer(wtc_key_prefix);
	known.prefix = pstrdup(wtc_key_prefix);
	MemoryContextSwitchTo(old);
}

static void
know(void)
{
	if (!known.valid || known.prefix == NULL ||
		strcmp(known.prefix, wtc_key_prefix) != 0)
		find_out();
}

void
wtc_check_prefix(void)
{
	know();
	if (known.owner != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the keys with prefix \"%s\" are those of database \"%s\"",
						wtc_key_prefix, known.owner),
				 errdetail("All databases of the server write to one Redis."),
				 errhint("%s", hint())));
}

bool
wtc_prefix_is_ours(void)
{
	know();
	return known.owner == NULL;
}

bool
wtc_may_push(void)
{
	know();
	if (known.owner != NULL && !known.warned)
	{
		known.warned = true;
		ereport(WARNING,
				(errmsg("changes do not reach the cache"),
				 errdetail("The keys with prefix \"%s\" are those of database \"%s\".",
						   wtc_key_prefix, known.owner),
				 errhint("%s", hint())));
	}
	return known.owner == NULL;
}

bool
wtc_key_of_other_database(const char *key)
{
	ListCell   *lc;

	know();
	foreach(lc, known.longer)
	{
		if (strncmp(key, lfirst(lc), strlen(lfirst(lc))) == 0)
			return true;
	}
	return false;
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
