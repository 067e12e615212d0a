/*-------------------------------------------------------------------------
 *
 * key.h
 *	  The key that messages in WAL are authenticated with.
 *
 * pg_logical_emit_message() lets every role write a message under our prefix.
 * So that a role cannot put into the cache what it may not write into tables,
 * a message counts only with a code, the HMAC-SHA-256 of
 *
 *	  the timeline that its record is on
 *	  the database and the full transaction id that the record names
 *	  what follows the code
 *
 * under a key of this server, cut to WTC_CODE_BYTES.  A message that has been
 * copied into another transaction has another code.  The messages of the worker
 * name neither database nor transaction, and those of a session always a
 * database.
 *
 * The key is in the file WTC_KEY_FILE of the data directory, which is made at
 * the first start and goes into base backups.  A message that was written with
 * another key cannot be told from a forged one, so the file tells as well since
 * when the key is in use: what cannot be verified before that makes the cache
 * cold, behind it it is passed over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CHANGE_KEY_H
#define WTC_CHANGE_KEY_H

#include "access/transam.h"
#include "access/xlogdefs.h"

#define WTC_KEY_FILE		"wtcache.key"

/*
 * For wtc_shmem_add().  Attaching reads the file, or makes it if there is none.
 * An error keeps the server from starting.
 */
extern Size wtc_key_size(void);
extern void wtc_key_attach(void *place, bool initialise);

/*
 * Fills in the code of a message that wtc_put_message() has written, and that
 * is about to be written to WAL.  xid: of the current (sub)transaction, or
 * invalid if there is none.  May raise an error.
 */
extern void wtc_sign_message(char *data, size_t len, FullTransactionId xid);

/* Is the code right?  May raise an error, for lack of memory. */
extern bool wtc_verify_message(const char *data, size_t len,
							   TimeLineID timeline, Oid database,
							   FullTransactionId xid);

/*
 * A name for the key that does not give it away, as text in static storage.
 * May raise an error.
 */
extern const char *wtc_key_id(void);

/* --- for the worker --- */

/*
 * All messages that begin at or behind this position have been written with
 * the key.
 */
extern XLogRecPtr wtc_key_since(void);

/* The same, from now on: notes it durably.  May raise an error. */
extern void wtc_key_set_since(XLogRecPtr since);

#endif							/* WTC_CHANGE_KEY_H */
