/*-------------------------------------------------------------------------
 *
 * versions.h
 *	  The version table: what was sent last for each key, and by which process
 *	  it is being sent.
 *
 * The table remembers, by the hash of a key, the newest version that has been
 * sent, and the mark of the process that has the key under way: while it has, no
 * other one may send anything for the key.  For a tag it remembers the place of
 * the commit of its last invalidation.
 *
 * The table has a fixed size (wtcache.version_memory).  What does not fit any
 * more, the smallest version first, raises the floor of its bucket: for a key
 * that is not there, something up to the floor may have been sent.
 *
 * A process that finds nothing but such a floor does not know whether its operation
 * has been overtaken, unless it knows the key's history up to the floor: the
 * worker does, of what it has read in WAL.
 *
 * It lives as long as shared memory does, and need not live longer: after a
 * start everything that may not have been pushed is replayed.
 *
 * A bucket has a spinlock, held for a few lines and never while waiting.
 * Raises nothing, allocates nothing: callable on either side of the commit
 * record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_VERSIONS_H
#define WTC_PUSH_VERSIONS_H

#include "access/xlogdefs.h"
#include "change/batch.h"

/* Adds the table to shared memory; from _PG_init only. */
extern void wtc_versions_init(void);

/* Under which a key, or a tag, is in the table; differs from start to start. */
extern uint64 wtc_hash_key(WtcSpan key);
extern uint64 wtc_hash_tag(WtcSpan tag);

typedef enum WtcMark
{
	WTC_MARK_SET,
	WTC_MARK_TAKEN,				/* another process has the key under way */
	WTC_MARK_NO_ROOM			/* the bucket is full of marks */
} WtcMark;

/*
 * Marks a key as under way by owner (a number above 0).  *sent becomes the
 * newest version that has been sent; 0: not known, but none above *floor.
 */
extern WtcMark wtc_versions_mark(uint64 key, int owner, XLogRecPtr *sent,
								 XLogRecPtr *floor);

/* This version of a key that is marked is about to be sent. */
extern void wtc_versions_send(uint64 key, XLogRecPtr version);

extern void wtc_versions_unmark(uint64 key, int owner);

/* The tag is about to be invalidated, by a transaction committed here. */
extern void wtc_versions_invalidate(uint64 tag, XLogRecPtr commit);

/*
 * Any tag may have been invalidated, by transactions committed up to here that
 * are not known any more.
 */
extern void wtc_versions_invalidate_all(XLogRecPtr commit);

/*
 * The commit of the tag's last invalidation; 0: not known, but none was committed
 * after *floor.
 */
extern XLogRecPtr wtc_versions_invalidated(uint64 tag, XLogRecPtr *floor);

#endif							/* WTC_PUSH_VERSIONS_H */
