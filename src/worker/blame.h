/*-------------------------------------------------------------------------
 *
 * blame.h
 *	  Which operation Redis does not take, when all that it does is to close
 *	  the connection or not to answer.
 *
 * Some limits of Redis, and of what may stand between, end the connection
 * without a word.  Such a request would be sent again for ever, and all that
 * comes after it would wait.  So when requests are lost although Redis answers
 * in between, fewer and fewer operations share one; and an operation that was
 * lost when it was alone, and again, is deleted instead of stored.
 *
 * For the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_BLAME_H
#define WTC_WORKER_BLAME_H

#include "push/chunk.h"

/* So many operations may share a request. */
extern int	wtc_blame_share(void);

/* The operation that was added last may be one that Redis does not take. */
extern void wtc_blame_look(WtcChunk *chunk);

/* The chunk's push has failed.  May raise an error (out of memory). */
extern void wtc_blame_lost(const WtcChunk *chunk, WtcStatus status);

/* Everything has been pushed. */
extern void wtc_blame_none(void);

#endif							/* WTC_WORKER_BLAME_H */
