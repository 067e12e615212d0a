/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  Giving the trigger of an attachment other arguments.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_ARGUMENTS_H
#define WTC_SCHEMA_ARGUMENTS_H

#include "utils/rel.h"
#include "utils/reltrigger.h"

/* Of this table's trigger alone; the caller has locked it against writers. */
extern void wtc_set_arguments(Relation rel, const Trigger *trigger, int n,
							  char *const *args);

#endif							/* WTC_SCHEMA_ARGUMENTS_H */
