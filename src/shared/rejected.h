/*-------------------------------------------------------------------------
 *
 * rejected.h
 *	  The keys that Redis has refused to store.
 *
 * A key is listed when Redis does not take what is to be stored under it, or
 * does not allow to delete it, and until the next operation on it succeeds.
 * The list has a fixed size; keys for which there is no room are counted.  It
 * is forgotten when the server is restarted.
 *
 * Looking whether a key is listed takes no lock; a spinlock is held where
 * the list is changed or read.  Raises nothing, allocates nothing: callable on either side
 * of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_REJECTED_H
#define WTC_SHARED_REJECTED_H

#include "datatype/timestamp.h"

#define WTC_REJECTED_KEYS	256

/* Of key and words, with a final zero; what is longer is cut. */
#define WTC_REJECTED_KEY	256
#define WTC_WORDS_LEN		160

typedef struct WtcRejected
{
	uint64		hash;			/* of the key, see push/versions.h */
	TimestampTz since;
	Oid			database;		/* InvalidOid: not known */
	int			status;			/* WtcStatus */
	char		key[WTC_REJECTED_KEY];	/* UTF-8 */
	char		words[WTC_WORDS_LEN];	/* of Redis; "": it said nothing */
} WtcRejected;

/* For wtc_shmem_add(). */
extern Size wtc_rejected_size(void);
extern void wtc_rejected_attach(void *place, bool initialise);

/* Lists a key, and counts; since is set, or left where the key is listed. */
extern void wtc_rejected_note(const WtcRejected *rejected);

/* Is any key listed? */
extern bool wtc_rejected_any(void);

/* The key with this hash has been dealt with. */
extern void wtc_rejected_clear(uint64 hash);

extern void wtc_rejected_clear_all(void);

/* Copies entry i; false: it is free. */
extern bool wtc_rejected_get(int i, WtcRejected *rejected);

/* Copies a text that need not end with a zero, cut between characters. */
extern void wtc_rejected_text(char *to, size_t size, const char *from,
							  size_t len);

#endif							/* WTC_SHARED_REJECTED_H */
