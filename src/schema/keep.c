/*-------------------------------------------------------------------------
 *
 * keep.c
 *	  The trigger that keeps the condition of an attachment, also while the type
 *	  of a column changes that the condition names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "capture/attached.h"
#include "capture/attachment.h"
#include "capture/condition.h"
#include "capture/settings.h"
#include "catalog/dependency.h"
#include "catalog/pg_trigger.h"
#include "executor/spi.h"
#include "schema/keep.h"
#include "schema/statement.h"
#include "utils/lsyscache.h"

void
wtc_keep_condition(Relation rel, Node *condition)
{
	char	   *command = psprintf("CREATE OR REPLACE TRIGGER " WTC_CONDITION_TRIGGER
								   " AFTER DELETE ON %s FOR EACH ROW WHEN (%s)"
								   " EXECUTE FUNCTION wtcache.capture_condition()",
								   wtc_qualified_name(RelationGetRelid(rel)),
								   wtc_condition_clause(RelationGetRelid(rel),
										 condition));
	WtcPinned	pinned;

	SPI_connect();
	/* the clause was written for this search_path */
	wtc_pin_settings(&pinned, true);
	PG_TRY();
	{
		wtc_run_own(command);
	}
	PG_FINALLY();
	{
		wtc_unpin_settings(&pinned);
	}
	PG_END_TRY();
	SPI_finish();
}

/* This backend must not have the table open. */
static void
drop_condition(Oid trigger)
{
	ObjectAddress object = {.classId = TriggerRelationId,.objectId = trigger};

	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

/*
 * Conditions that name a column whose type changes
 *
 * The server refuses that for a column in a WHEN clause.  So the trigger that
 * keeps the condition goes before the statement, and comes back afterwards, as
 * the server does it with CHECK constraints.
 */

void
wtc_before_retyping(WtcStatement *st, Oid relid, const char *column)
{
	Relation	rel = relation_open(relid, NoLock);
	const Trigger *trigger = wtc_condition_trigger(rel);
	WtcRetyping *retyping;
	MemoryContext old;

	if (trigger != NULL && !trigger->tgisclone &&
		wtc_condition_uses(rel, get_attnum(relid, column)))
	{
		old = MemoryContextSwitchTo(st->cxt);
		retyping = palloc(sizeof(WtcRetyping));
		retyping->relid = relid;
		retyping->condition = wtc_condition_text(relid, wtc_condition_stored(rel));
		st->retypings = lappend(st->retypings, retyping);
		MemoryContextSwitchTo(old);
	}
	else
		trigger = NULL;
	relation_close(rel, NoLock);
	if (trigger != NULL)
		drop_condition(trigger->tgoid);
}

/*
 * It was the owner's, and its constants are read anew, which runs code: so with
 * the owner's rights, whichever role changes the type.
 */
void
wtc_after_retyping(const WtcRetyping *retyping)
{
	Relation	rel = relation_open(retyping->relid, NoLock);
	WtcEntered	entered;

	wtc_enter_as_owner(retyping->relid, &entered);
	PG_TRY();
	{
		wtc_keep_condition(rel, wtc_condition_parse(rel, retyping->condition));
	}
	PG_FINALLY();
	{
		wtc_leave(&entered);
	}
	PG_END_TRY();
	relation_close(rel, NoLock);
}
