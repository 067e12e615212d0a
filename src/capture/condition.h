/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  The conditions of attachments: boolean expressions over a row of the
 *	  table, kept in a trigger of the table.
 *
 * Expressions and texts are palloc'd in the current memory context.  Everything
 * here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_CONDITION_H
#define WTC_CAPTURE_CONDITION_H

#include "nodes/nodes.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

/*
 * The expression of a query that is "SELECT" and an expression, and nothing
 * else; otherwise NULL.  Raises an error if it cannot be parsed.
 */
extern Node *wtc_single_expression(const char *query);

/*
 * A condition, or what wtc_condition_text() has made of all that is kept, that is
 * given as a text, checked.  Its names are resolved, and
 * what that runs is run, as those of any statement of the current user.
 */
extern Node *wtc_condition_parse(Relation rel, const char *condition);

/* An expression that is a field of the image, likewise. */
extern Node *wtc_expression_parse(Relation rel, const char *text);

/*
 * What is kept of an attachment: its condition, or NULL, together with the
 * expressions of its image; and its parts.
 */
extern Node *wtc_kept(Node *condition, List *expressions);
extern Node *wtc_kept_condition(Node *kept);
extern List *wtc_kept_expressions(Node *kept);

/* An error if it uses anything but columns that are stored of the row. */
extern void wtc_condition_check_columns(Relation rel, Node *expr);

/*
 * An expression as text; and as the WHEN clause that keeps it.  The meaning of
 * both does not depend on search_path, if pg_catalog is what it begins with.
 */
extern char *wtc_condition_text(Oid relid, Node *expr);
extern char *wtc_condition_clause(Oid relid, Node *expr);

/* What is kept of an attached table, by its trigger; NULL if there is none. */
extern Node *wtc_condition_stored(Relation rel);
extern Node *wtc_condition_of(const Trigger *trigger);

/* Does it name this column? */
extern bool wtc_condition_uses(Relation rel, AttrNumber attno);

/* Can it run code that is not the server's own? */
extern bool wtc_condition_is_foreign(Node *expr);

/*
 * A function that the user may not execute, of the expression or of a domain that
 * it converts to; or InvalidOid.
 */
extern Oid	wtc_condition_denied(Node *expr, Oid user);

/* A copy that is ready to be initialised.  Runs functions of constants. */
extern Node *wtc_condition_plan(Node *expr);

#endif							/* WTC_CAPTURE_CONDITION_H */
