/*-------------------------------------------------------------------------
 *
 * drop.h
 *	  What a statement drops: keys that go with it, and what must not be missing.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_DROP_H
#define WTC_SCHEMA_DROP_H

#include "schema/statement.h"

/*
 * A trigger, a cast, a relation or, if sub is not 0, a column is about to be
 * dropped; the arguments are the object access hook's.
 */
extern void wtc_dropping(Oid class, Oid object, int sub);

/* An error if what is left misses something that the statement has dropped. */
extern void wtc_check_dropped(const WtcStatement *st);

#endif							/* WTC_SCHEMA_DROP_H */
