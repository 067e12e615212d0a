/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Doing what may raise an error, and going on if it does.
 *
 * May itself raise an error, and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_ATTEMPT_H
#define WTC_ATTEMPT_H

/*
 * Calls what(arg) in a subtransaction and in the current memory context.  NULL:
 * that went well.  Otherwise the subtransaction has been rolled back, and the error
 * is returned, palloc'd, for ReThrowError() unless the caller can go on.
 */
extern ErrorData *wtc_attempt(void (*what) (void *arg), void *arg);

#endif							/* WTC_ATTEMPT_H */
