/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  The keys in Redis that are wtcache's own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_KEYS_H
#define WTC_REDIS_KEYS_H

/* which server may write: see push/token.h */
#define WTC_KEY_TOKEN		"wtcache:token"

/*
 * A hash: everything that was written before "lsn" (decimal) of "timeline" of
 * the server "system" is in Redis; what was committed after "journal" is in
 * the journal, if there is that field.
 */
#define WTC_KEY_POSITION	"wtcache:position"

/*
 * A list of "timeline lsn key": what was stored, and where it was committed;
 * nearly in that order.  Kept only where a standby may be promoted.
 */
#define WTC_KEY_JOURNAL		"wtcache:journal"

/*
 * Sets of what has been stored, for emptying the cache: the glob patterns of the
 * keys of rows and of the sets of tags, and the keys that wtcache.set() has
 * stored.  An empty pattern says that the patterns are complete.
 */
#define WTC_KEY_PATTERNS	"wtcache:patterns"
#define WTC_KEY_VALUES		"wtcache:values"

/* Before a key: which reader may fill it, for a while (get.lua). */
#define WTC_KEY_LEASE		"wtcache:lease:"

/*
 * A hash: the version of the protocol, how long leases are good, the counter that
 * they are numbered by, and by that, when tags were invalidated.  "closed": there
 * are none yet.
 */
#define WTC_KEY_LEASES		"wtcache:leases"

/* A hash: what readers have filled, and why they have not (fill.lua). */
#define WTC_KEY_FILLS		"wtcache:fills"

#endif							/* WTC_REDIS_KEYS_H */
