/*-------------------------------------------------------------------------
 *
 * ddl.h
 *	  Following changes of the schema: the hooks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_DDL_H
#define WTC_SCHEMA_DDL_H

/* Installs the hooks; from _PG_init only. */
extern void wtc_ddl_init(void);

/*
 * While this is set, the next statement is wtcache's own and leaves the cache
 * as it is.  The function that sets it resets it, also after an error.
 */
extern bool wtc_ddl_own;

/* Can the statement that is being run give an attached table a partition? */
extern bool wtc_ddl_adds_partitions(void);

#endif							/* WTC_SCHEMA_DDL_H */
