/*-------------------------------------------------------------------------
 *
 * holds.h
 *	  Invalidations that hold the watermark back.
 *
 * A replay begins at the watermark and knows only of the invalidations whose
 * messages stand behind it.  So the watermark stays before the message of an
 * invalidation until everything that was committed before the invalidation
 * is settled: a store that is settled later could otherwise be replayed
 * without it, and live on under a tag that has been invalidated.
 *
 * The number of holds is bounded.  Beyond it several become one, which holds
 * for as long as any of them would.
 *
 * Raises nothing, allocates nothing, takes a spinlock for a few lines: callable
 * on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_HOLDS_H
#define WTC_SHARED_HOLDS_H

#include "access/xlogdefs.h"

/* For wtc_shmem_add(). */
extern Size wtc_holds_size(void);
extern void wtc_holds_attach(void *place, bool initialise);

/*
 * An invalidation has been pushed.  message is a position at or before its
 * message, commit the end of its commit record.  Before its in-flight mark, or
 * what else has held the watermark back, is taken away.
 */
extern void wtc_hold(XLogRecPtr message, XLogRecPtr commit);

/*
 * Everything that was committed at or before settled is settled: lets go of the
 * holds that waited for that.  For the worker.
 */
extern void wtc_holds_release(XLogRecPtr settled);

/* The smallest position that is held, or UINT64_MAX. */
extern XLogRecPtr wtc_holds_min(void);

#endif							/* WTC_SHARED_HOLDS_H */
