/*-------------------------------------------------------------------------
 *
 * dead.h
 *	  Taking members that have expired out of the sets of tags.
 *
 * For the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_DEAD_H
#define WTC_WORKER_DEAD_H

#include "redis/status.h"

/* Looks at the tags that have got no members for as long as those live. */
extern WtcStatus wtc_dead_sweep(void);

#endif							/* WTC_WORKER_DEAD_H */
