/*-------------------------------------------------------------------------
 *
 * empty.h
 *	  Emptying Redis of what wtcache has stored.
 *
 * For the worker, while Redis is closed to the backends, on its connection; under
 * a token: WTC_FAIL_OTHER with WTC_TOKEN_LOST where Redis does not hold it any more.
 * What is deleted is counted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_EMPTY_H
#define WTC_WORKER_EMPTY_H

#include "redis/status.h"

/*
 * Runs a script that deletes some keys at each call, until its cursor, the
 * first argument behind the keys, is 0 again.
 */
extern WtcStatus wtc_delete_by_steps(const char *script, int nkeys, int nargs,
									 const char **args, uint64 *deleted);

/*
 * The patterns that are kept in Redis are complete from now on: nothing is there, or
 * nothing that would have to be found.
 */
extern WtcStatus wtc_patterns_complete(void);

/*
 * Deletes what wtcache has stored, and what of its own is not kept.  Where it is
 * not known what that is, anything may be.
 */
extern WtcStatus wtc_delete_stored(const char *token, uint64 *deleted);

#endif							/* WTC_WORKER_EMPTY_H */
