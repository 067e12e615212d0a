/*-------------------------------------------------------------------------
 *
 * wait.h
 *	  Waiting until Redis holds what has been committed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_READ_WAIT_H
#define WTC_READ_WAIT_H

/*
 * Waits until Redis holds what was committed before the call; false: not by
 * the deadline, on wtc_clock_us().  Flushes WAL, serves interrupts and may
 * raise an error because of them.  Before the commit record only.
 */
extern bool wtc_wait_until_pushed(int64 deadline_us);

/*
 * Sleeps for a moment, in this wait event, before something is looked at again;
 * false: the time is over.  Serves interrupts likewise.
 */
extern bool wtc_wait_a_moment(int64 deadline_us, uint32 event);

#endif							/* WTC_READ_WAIT_H */
