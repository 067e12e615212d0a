/*-------------------------------------------------------------------------
 *
 * link.h
 *	  This process's one connection to Redis.
 *
 * Made when it is first needed, kept, and closed when the process ends.  For
 * the other files of push/ only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_LINK_H
#define WTC_PUSH_LINK_H

#include "redis/conn.h"

extern WtcConn wtc_link;

/* how the last wtc_push_connect() or wtc_link_open() ended */
extern WtcStatus wtc_link_status;
extern bool wtc_link_skipped;	/* by wtc_push_connect(): the breaker is open */

/*
 * Sees to it that the connection stands, whatever the breaker says; counts
 * nothing.  *fresh, where asked for: it was made just now.  Before the commit
 * record only.
 */
extern WtcStatus wtc_link_open(bool *fresh);

/*
 * The worker gives up when the postmaster has died, lest the server cannot be
 * started again; a backend still tells its client, and pushes before that.
 *
 * A cancelled or terminated session gives up waiting for Redis; its commit
 * goes on.  The flags stay: a procedure that has committed is cancelled at
 * its next step, and a session that is idle again ignores a cancel.
 * Callable anywhere.
 */
extern bool wtc_link_told_to_stop(void);

/* Tells counters and breaker how talking to Redis ended.  Callable anywhere. */
extern void wtc_link_note(WtcStatus status);

/* The same for reading; serves interrupts.  Before the commit record only. */
extern void wtc_link_note_read(WtcStatus status);

#endif							/* WTC_PUSH_LINK_H */
