/*-------------------------------------------------------------------------
 *
 * utility.h
 *	  What hooks into utility statements have in common.
 *
 * Runs in the statement; may raise any error that the statement does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_UTILITY_H
#define WTC_UTILITY_H

#include "tcop/utility.h"

/* Runs a statement as if there were no hook of ours: the one before, if any. */
static inline void
wtc_pass_on(ProcessUtility_hook_type previous,
			PlannedStmt *pstmt, const char *query_string,
			bool read_only_tree, ProcessUtilityContext context,
			ParamListInfo params, QueryEnvironment *query_env,
			DestReceiver *dest, QueryCompletion *qc)
{
	if (previous == NULL)
		previous = standard_ProcessUtility;
	previous(pstmt, query_string, read_only_tree, context,
			 params, query_env, dest, qc);
}

#endif							/* WTC_UTILITY_H */
