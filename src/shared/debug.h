/*-------------------------------------------------------------------------
 *
 * debug.h
 *	  A brake on the push, for tests that need a slow one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_DEBUG_H
#define WTC_SHARED_DEBUG_H

/* For wtc_shmem_add(). */
extern Size wtc_debug_size(void);
extern void wtc_debug_attach(void *place, bool initialise);

/*
 * Waits until wtc_debug_release() is called, or for half a minute.  Raises
 * nothing; meant for after the commit record.
 */
extern void wtc_debug_hold(void);

/* Waits until somebody holds, then lets everybody go; false after timeout. */
extern bool wtc_debug_release(void);

#endif							/* WTC_SHARED_DEBUG_H */
