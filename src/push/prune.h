/*-------------------------------------------------------------------------
 *
 * prune.h
 *	  When a tag's set is to be searched for dead members.
 *
 * Keys expire, or are evicted, without leaving the sets of their tags.  So as
 * many members as have been added to a set, whichever process did that, twice as
 * many are looked at, and the dead ones taken out: what is dead stays in
 * proportion to what lives, as long as something is added.  Where nothing is
 * any more, the worker looks when the first and when the last of what was added
 * must have expired.
 *
 * This is remembered for some thousand tags, those that grow most.  Of others
 * the dead stay until the set expires, or is invalidated.
 *
 * A spinlock is held for a few lines.  Raises nothing, allocates nothing:
 * callable on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_PRUNE_H
#define WTC_PUSH_PRUNE_H

#include "change/batch.h"

/* so many members are looked at in one step, at most */
#define WTC_PRUNE_MOST		1000

/* longer names of tags are not known to the worker */
#define WTC_PRUNE_NAME		200

/* Adds the memory to shared memory; from _PG_init only. */
extern void wtc_prune_init(void);

/* So many members were added to a tag, to live for so long. */
extern void wtc_prune_note(WtcSpan tag, uint64 hash, uint64 added,
						   uint64 ttl_ms);

/* How many members of the tag the caller is to look at now; or 0. */
extern int	wtc_prune_due(uint64 hash);

/*
 * For the worker: a tag, from *pos on, which begins as 0, of whose members some
 * must have expired since it was last told, unless they were stored again.
 * False: there is none.
 */
extern bool wtc_prune_expired(int *pos, char name[WTC_PRUNE_NAME]);

#endif							/* WTC_PUSH_PRUNE_H */
