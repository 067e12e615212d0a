/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  The conditions of attachments: texts that are boolean expressions over a
 *	  row of the table.
 *
 * Expressions and texts are palloc'd in the current memory context.  Everything
 * here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_CONDITION_H
#define WTC_CAPTURE_CONDITION_H

#include "nodes/execnodes.h"
#include "utils/rel.h"

/*
 * The expression of a query that is "SELECT" and an expression, and nothing
 * else; otherwise NULL.  Raises an error if it cannot be parsed.
 */
extern Node *wtc_single_expression(const char *query);

/*
 * Checks the text of a condition and returns it in a form whose meaning does
 * not depend on search_path.
 */
extern char *wtc_condition_canonical(Relation rel, const char *condition);

/*
 * Such a text as an expression over the row, and back.  Reading it, and checking
 * whether it is a condition still, runs with the rights of the table's owner.
 */
extern Node *wtc_condition_parse(Relation rel, const char *condition);
extern char *wtc_condition_deparse(Relation rel, Node *expr);
extern void wtc_condition_check(Relation rel, const char *condition);

/* Such a text, ready to be evaluated. */
extern ExprState *wtc_condition_prepare(Relation rel, const char *condition);

#endif							/* WTC_CAPTURE_CONDITION_H */
