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
 * An error if the key template of a table, or of a document with this root, could make
 * a key of another attached table or document.  Until the transaction ends, no
 * other one attaches any.  document: its name, or NULL.
 */
extern void wtc_check_key(Oid relid, const char *document, const char *key);

#endif							/* WTC_SCHEMA_KEYS_H */
