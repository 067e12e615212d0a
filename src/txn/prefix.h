/*-------------------------------------------------------------------------
 *
 * prefix.h
 *	  Which database of the server has the keys with a prefix.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_PREFIX_H
#define WTC_TXN_PREFIX_H

#include "nodes/parsenodes.h"

/*
 * The name of another database that has the keys with wtcache.key_prefix, so
 * that this one may change none of them; or NULL.
 */
extern char *wtc_prefix_taken(void);

/* An error if there is one. */
extern void wtc_check_prefix(void);

/* Is there none?  To be asked often. */
extern bool wtc_prefix_is_ours(void);

/* The same, with a warning, once in a session. */
extern bool wtc_may_push(void);

/*
 * Does a key, without its prefix, belong to another database, because it begins
 * with a longer prefix, which is that of the other one?
 */
extern bool wtc_key_of_other_database(const char *key);

/*
 * From when the transaction commits this database has them, if no other one has.
 */
extern void wtc_claim_prefix(void);

/* Does a database have the keys with some prefix?  Then it has had tables. */
extern bool wtc_prefix_claimed(Oid database);

/*
 * An error if the statement gives a database a prefix that another one has; and
 * afterwards, that sessions look again.
 */
extern void wtc_check_prefix_setting(AlterDatabaseSetStmt * stmt);
extern void wtc_prefixes_changed(void);

#endif							/* WTC_TXN_PREFIX_H */
