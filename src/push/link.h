/*-------------------------------------------------------------------------
 *
 * link.h
 *	  This process's one connection to Redis.
 *
 * Made when it is first needed, before the commit record at the latest, kept,
 * and closed when the process ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_LINK_H
#define WTC_PUSH_LINK_H

#include "redis/conn.h"

/* The longest line of password_file, for what cloud services call tokens. */
#define WTC_MAX_PASSWORD	8190

extern WtcConn wtc_link;

/* how the last wtc_link_connect() or wtc_link_open() ended */
extern WtcStatus wtc_link_status;
extern bool wtc_link_skipped;	/* by wtc_link_connect(): the breaker is open */

/*
 * Sees to it that a connection stands, unless the breaker is open.  Serves
 * interrupts and may raise an error because of them; Redis being away is not
 * an error.  Before the commit record only.
 */
extern void wtc_link_connect(void);

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

/* Closes the connection hard; what is under way is lost.  Callable anywhere. */
extern void wtc_link_hang_up(void);

/*
 * The connection's socket, or -1.  When it is readable although nothing has been
 * asked, it has broken.
 */
extern int	wtc_link_socket(void);

/* Tells counters and breaker how talking to Redis ended.  Callable anywhere. */
extern void wtc_link_note(WtcStatus status);

/* The same for reading; serves interrupts.  Before the commit record only. */
extern void wtc_link_note_read(WtcStatus status);

#endif							/* WTC_PUSH_LINK_H */
