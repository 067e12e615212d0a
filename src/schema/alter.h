/*-------------------------------------------------------------------------
 *
 * alter.h
 *	  Statements that change the schema, before and after the server runs them.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_ALTER_H
#define WTC_SCHEMA_ALTER_H

#include "schema/statement.h"

extern void wtc_before_statement(WtcStatement *st, Node *stmt);
extern void wtc_after_statement(WtcStatement *st, Node *stmt);

#endif							/* WTC_SCHEMA_ALTER_H */
