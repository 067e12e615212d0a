/*-------------------------------------------------------------------------
 *
 * journal.h
 *	  The journal in Redis of what was stored lately.
 *
 * A standby that is promoted may lack the last transactions of its primary.  What
 * they have stored is in Redis all the same, and no WAL of the new primary
 * names it; the journal does, see sweep.lua.  It is kept only where there is, or
 * has been since the server's start, a standby (wtcache.journal).
 *
 * For the worker; the connection must stand.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_JOURNAL_H
#define WTC_WORKER_JOURNAL_H

#include "redis/status.h"

/* what is said where Redis has refused nothing */
#define WTC_TOKEN_LOST	"wtcache:token has been changed meanwhile"

/*
 * Redis has been met, and is closed to the backends: decides whether they note
 * what they store.  found: there is a journal, which goes on if it is wanted.
 */
extern WtcStatus wtc_journal_begin(bool found);

/*
 * Looks whether a journal is wanted, and takes out what no standby needs any
 * more.  Once per beat, under the token that holds.
 */
extern WtcStatus wtc_journal_beat(const char *token);

#endif							/* WTC_WORKER_JOURNAL_H */
