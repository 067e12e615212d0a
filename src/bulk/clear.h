/*-------------------------------------------------------------------------
 *
 * clear.h
 *	  Taking a table's rows out of the cache.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_CLEAR_H
#define WTC_BULK_CLEAR_H

#include "storage/lockdefs.h"
#include "utils/rel.h"

/*
 * Queues the deletion of the keys of a table and its partitions, which it locks;
 * returns how many.  May raise an error; before the commit record only.
 */
extern uint64 wtc_clear(Relation rel, LOCKMODE lockmode);

#endif							/* WTC_BULK_CLEAR_H */
