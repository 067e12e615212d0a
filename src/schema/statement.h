/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  A statement that changes the schema, while it is being run.
 *
 * Between ddl.c, which has the hooks and sees what is dropped, alter.c, which
 * knows the statements, and firing.c, which knows triggers.  Everything here may raise an error and belongs
 * before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_STATEMENT_H
#define WTC_SCHEMA_STATEMENT_H

#include "schema/shape.h"
#include "nodes/parsenodes.h"

/* A column that an attachment names is being dropped. */
typedef struct MissedColumn
{
	Oid			relid;
	Oid			trigger;
	char	   *column;
	WtcColumnUse use;
} MissedColumn;

/* A statement that is being run, innermost first. */
typedef struct Statement
{
	struct Statement *outer;
	MemoryContext cxt;			/* of the lists */
	bool		own;			/* wtcache's: nothing below is looked at */
	List	   *forgotten;		/* Oids of tables whose keys go */
	List	   *firing;			/* Oids of tables whose trigger has fired */
	List	   *retyped;		/* Oids of tables whose condition is to check */
	List	   *renamings;		/* of WtcRenaming */
	List	   *missed;			/* of MissedColumn */
	List	   *uncovered;		/* Oids of tables without TRUNCATE trigger */
	bool		adds_partitions;	/* it may */
	Oid			capture;		/* before it: our trigger functions */
	Oid			truncate;
	uint64		rows;
	Oid			table;			/* whose rows they are, if of one */
	bool		tables;			/* they are of several */
} Statement;

/* Adds to a list of the statement's, once. */
extern List *wtc_add_oid(Statement *st, List *list, Oid oid);

/*
 * The keys of all rows of an attached table go, once for each statement.  The
 * table is locked against writers until the transaction ends; others do not
 * matter.
 */
extern void wtc_forget(Relation rel);
extern void wtc_forget_table(Oid relid);

/* Those of all tables that have values of a type; locks them. */
extern void wtc_forget_tables_with_type(Oid type);

/* The types of columns of a table change: its condition is to be one still. */
extern void wtc_retyped(Statement *st, Relation rel);

/* The table that somebody has attached: of partitions the topmost. */
extern Oid	wtc_attached_as(Relation rel);

/* Does a command enable or disable triggers? */
extern bool wtc_is_trigger_command(AlterTableType subtype);

/*
 * What firing.c does about it, for one attached table; warn if its changes no
 * longer reach the cache.
 */
extern void wtc_before_trigger_command(Statement *st, Relation rel,
									   const AlterTableCmd * cmd);
extern void wtc_after_trigger_command(Statement *st, Oid relid, bool warn);

/* What it does before CREATE OR REPLACE TRIGGER. */
extern void wtc_before_create_trigger(Statement *st, CreateTrigStmt * stmt);

/* An error if the trigger just made is of an attachment and not the owner's. */
extern void wtc_trigger_created(Oid oid);

/*
 * The TRUNCATE trigger of a table fires when the row trigger does, also if it
 * has been another's partition before.
 */
extern void wtc_align_triggers(Oid relid);

/* What alter.c does before and after the server runs a statement. */
extern void wtc_before_statement(Statement *st, Node *stmt);
extern void wtc_after_statement(Statement *st, Node *stmt);

#endif							/* WTC_SCHEMA_STATEMENT_H */
