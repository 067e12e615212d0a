/*-------------------------------------------------------------------------
 *
 * filled.h
 *	  Which tables have been warmed, or found to be all in the cache, and when.
 *
 * For wtcache.status, which says for how long a cache that was emptied lacks
 * something.  The list has a fixed size; where there is no room, the oldest entry is
 * given up.  It is forgotten when the server is restarted, as is when the cache
 * was emptied.
 *
 * A spinlock is held where it is read or changed.  Raises nothing, allocates
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_FILLED_H
#define WTC_SHARED_FILLED_H

#include "datatype/timestamp.h"

/* For wtc_shmem_add(). */
extern Size wtc_filled_size(void);
extern void wtc_filled_attach(void *place, bool initialise);

/* All rows that the table of this database had then are in the cache. */
extern void wtc_filled_note(Oid relid, TimestampTz since);

/* Since when that is so; 0: not known. */
extern TimestampTz wtc_filled_since(Oid relid);

#endif							/* WTC_SHARED_FILLED_H */
