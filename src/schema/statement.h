/*-------------------------------------------------------------------------
 *
 * statement.h
 *	  A statement that changes the schema, while it is being run.
 *
 * What is noted of it, and what is done once for it: the keys of a table go
 * with the first of its parts that needs that.  ddl.c begins and ends a
 * statement; the files that follow one kind of change add to it.  Everything
 * here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_STATEMENT_H
#define WTC_SCHEMA_STATEMENT_H

#include "nodes/pg_list.h"
#include "schema/shape.h"
#include "utils/rel.h"

/* A column that an attachment names is being dropped. */
typedef struct WtcMissedColumn
{
	Oid			relid;
	Oid			trigger;
	char	   *column;
	WtcColumnUse use;
} WtcMissedColumn;

/* A statement that is being run, innermost first. */
typedef struct WtcStatement
{
	struct WtcStatement *outer;
	MemoryContext cxt;			/* of the lists */
	bool		own;			/* wtcache's: nothing below is looked at */
	List	   *forgotten;		/* Oids of tables whose keys go */
	List	   *firing;			/* Oids of tables whose trigger has fired */
	List	   *retyped;		/* Oids of tables whose condition is to check */
	List	   *renamings;		/* of WtcRenaming */
	List	   *missed;			/* of WtcMissedColumn */
	List	   *uncovered;		/* Oids of tables without TRUNCATE trigger */
	bool		adds_partitions;	/* it may */
	Oid			capture;		/* before it: our trigger functions */
	Oid			truncate;
	uint64		rows;
	Oid			table;			/* whose rows they are, if of one */
	bool		tables;			/* they are of several */
} WtcStatement;

/*
 * st, which the caller has initialised, is the innermost statement from now on,
 * and no longer.  The end must come also after an error.
 */
extern void wtc_statement_begin(WtcStatement *st);
extern void wtc_statement_end(const WtcStatement *st);

/* The innermost one, or NULL. */
extern WtcStatement *wtc_statement_current(void);

/* Adds to a list of the statement's, once. */
extern List *wtc_add_oid(WtcStatement *st, List *list, Oid oid);

/*
 * The keys of all rows of an attached table go, once for each statement.  The
 * table is locked against writers until the transaction ends; nothing is done
 * for one that is not attached.
 */
extern void wtc_forget(Relation rel);
extern void wtc_forget_table(Oid relid);

/* Those of all tables that have values of a type; locks them. */
extern void wtc_forget_tables_with_type(Oid type);

/* The types of columns of a table change: its condition is to be one still. */
extern void wtc_retyped(WtcStatement *st, Relation rel);

#endif							/* WTC_SCHEMA_STATEMENT_H */
