/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  A statement that changes the schema, while it is being run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "capture/attached.h"
#include "executor/spi.h"
#include "schema/shape.h"
#include "schema/statement.h"
#include "utils/lsyscache.h"

bool		wtc_ddl_own = false;

static WtcStatement *current = NULL;

void
wtc_statement_begin(WtcStatement *st)
{
	st->outer = current;
	st->cxt = CurrentMemoryContext;
	current = st;
}

void
wtc_statement_end(const WtcStatement *st)
{
	current = st->outer;
}

WtcStatement *
wtc_statement_current(void)
{
	return current;
}

List *
wtc_add_oid(WtcStatement *st, List *list, Oid oid)
{
	MemoryContext old = MemoryContextSwitchTo(st->cxt);

	list = list_append_unique_oid(list, oid);
	MemoryContextSwitchTo(old);
	return list;
}

/* The keys of all rows go, once for each statement. */
void
wtc_forget(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	const Trigger *trigger;

	/*
	 * rows of temporary tables are never cached, and those of other sessions
	 * cannot be read
	 */
	if (rel->rd_rel->relkind != RELKIND_RELATION ||
		rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return;
	trigger = wtc_attachment_trigger(rel);
	if (trigger == NULL)
		return;
	if (current == NULL)
		wtc_forget_rows(rel, trigger);
	else if (!list_member_oid(current->forgotten, relid))
	{
		Oid			table = wtc_attached_as(rel);

		current->rows += wtc_forget_rows(rel, trigger);
		current->tables |= current->forgotten != NIL && current->table != table;
		current->table = table;
		current->forgotten = wtc_add_oid(current, current->forgotten, relid);
	}
}

/* The table is locked already. */
void
wtc_forget_table(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);

	wtc_forget(rel);
	relation_close(rel, NoLock);
}

void
wtc_forget_tables_with_type(Oid type)
{
	ListCell   *lc;

	foreach(lc, wtc_lock_tables_with_type(type))
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		wtc_forget(rel);
		relation_close(rel, NoLock);
	}
}

void
wtc_run_own(const char *command)
{
	wtc_ddl_own = true;
	PG_TRY();
	{
		if (SPI_execute(command, false, 0) < 0)
			elog(ERROR, "could not execute \"%s\"", command);
	}
	PG_FINALLY();
	{
		wtc_ddl_own = false;
	}
	PG_END_TRY();
}
