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

/* Can the statement that is being run give an attached table a partition? */
extern bool wtc_ddl_adds_partitions(void);

#endif							/* WTC_SCHEMA_DDL_H */
