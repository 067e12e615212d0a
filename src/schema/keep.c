/*-------------------------------------------------------------------------
 *
 * keep.c
 *	  The trigger that keeps the condition of an attachment.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "capture/attached.h"
#include "capture/condition.h"
#include "capture/settings.h"
#include "catalog/dependency.h"
#include "catalog/pg_trigger.h"
#include "executor/spi.h"
#include "schema/keep.h"
#include "schema/statement.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
wtc_keep_condition(Relation rel, Node *condition)
{
	char	   *command = psprintf("CREATE OR REPLACE TRIGGER " WTC_CONDITION_TRIGGER
								   " AFTER DELETE ON %s FOR EACH ROW WHEN (%s)"
								   " EXECUTE FUNCTION wtcache.capture_condition()",
								   quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
															  RelationGetRelationName(rel)),
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

void
wtc_drop_condition(Oid trigger)
{
	ObjectAddress object = {.classId = TriggerRelationId,.objectId = trigger};

	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}
