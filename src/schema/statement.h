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

/* The type of a column that a condition names is being changed. */
typedef struct WtcRetyping
{
	Oid			relid;
	char	   *condition;
} WtcRetyping;

/* A statement that is being run, innermost first. */
typedef struct WtcStatement
{
	struct WtcStatement *outer;
	MemoryContext cxt;			/* of the lists */
	bool		own;			/* wtcache's: nothing below is looked at */
	List	   *forgotten;		/* Oids of tables whose keys go */
	List	   *firing;			/* Oids of tables whose trigger has fired */
	List	   *retypings;		/* of WtcRetyping */
	List	   *rekeyed;		/* Oids of tables whose keys are to check */
	List	   *renamings;		/* of WtcRenaming */
	List	   *missed;			/* of WtcMissedColumn */
	List	   *documents;		/* Oids of triggers of those whose keys go */
	List	   *uncovered;		/* Oids of tables without TRUNCATE trigger */
	List	   *unconditional;	/* Oids of tables without their condition */
	bool		adds_partitions;	/* it may */
	Oid			capture;		/* before it: our trigger functions */
	Oid			truncate;
	Oid			condition;
	Oid			document;
	Oid			part;
	Oid			document_truncate;
	uint64		rows;
	Oid			table;			/* whose rows they are, if of one */
	bool		tables;			/* they are of several */
} WtcStatement;

/*
 * While this is set, the next statement is wtcache's own and leaves the cache
 * as it is.
 */
extern bool wtc_ddl_own;

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

/* Runs a command that is wtcache's own and not to be followed; by SPI. */
extern void wtc_run_own(const char *command);

#endif							/* WTC_SCHEMA_STATEMENT_H */
