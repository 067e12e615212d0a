/*-------------------------------------------------------------------------
 *
 * wake.h
 *	  Waking the worker.
 *
 * The worker says that it is about to sleep before it looks for work.  The
 * first process that has work for it takes that back and wakes it, so that
 * the others need not.
 *
 * Raises nothing, allocates nothing, takes no lock: callable on either side of
 * the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_WAKE_H
#define WTC_SHARED_WAKE_H

/* For wtc_shmem_add(). */
extern Size wtc_wake_size(void);
extern void wtc_wake_attach(void *place, bool initialise);

/* Wakes the worker, if there is one and it sleeps, or is about to. */
extern void wtc_worker_wake(void);

/* Is there one that can be woken? */
extern bool wtc_worker_is_there(void);

/* --- for the worker --- */

/* It is there, to be woken by its latch; or is no more. */
extern void wtc_wake_begin(void);
extern void wtc_wake_end(void);

/* Work that comes from here on wakes it (a full barrier); or need not. */
extern void wtc_wake_want(void);
extern void wtc_wake_spare(void);

#endif							/* WTC_SHARED_WAKE_H */
