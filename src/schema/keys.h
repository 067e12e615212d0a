/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  Whose a key is: no two attached tables can have the same one.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_KEYS_H
#define WTC_SCHEMA_KEYS_H

/*
 * An error if the key template of a table could make a key of another attached
 * table.  Until the transaction ends, no other one attaches a table.
 */
extern void wtc_check_key(Oid relid, const char *key);

#endif							/* WTC_SCHEMA_KEYS_H */
