/*-------------------------------------------------------------------------
 *
 * lease.h
 *	  Reading keys, and filling those that are missing.
 *
 * The protocol is the one of readers in any language: get.lua gives one reader
 * of a missing key a lease, fill.lua stores what that reader has read, unless
 * something has happened meanwhile that it may not have seen.
 *
 * What was read must be from a snapshot that was taken after the lease, of a
 * server that is no standby.  The mark is the end of WAL when it has been read,
 * and must be on disk as far as the value is of it.
 *
 * Many keys take one round trip.  Waits no longer than push_timeout.  Serves
 * interrupts, and may raise errors because of them, or for lack of memory.
 * Before the commit record only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_READ_LEASE_H
#define WTC_READ_LEASE_H

#include "access/xlogdefs.h"
#include "change/batch.h"
#include "push/token.h"
#include "read/ask.h"

/* a number, and the text of a token */
#define WTC_LEASE_LEN		(WTC_TOKEN_LEN + 24)

/* What has been found under a key. */
typedef enum WtcFound
{
	WTC_FOUND_VALUE,
	WTC_FOUND_LEASE,			/* nothing, and the caller may fill it */
	WTC_FOUND_READER,			/* nothing, and another reader may */
	WTC_FOUND_ABSENCE,			/* a reader has found lately that there is
								 * nothing */
	WTC_FOUND_NOTHING,			/* and there are no leases */
	WTC_FOUND_ELSEWHERE			/* see through.h */
} WtcFound;

typedef struct WtcReading
{
	WtcSpan		key;			/* in */
	WtcFound	found;
	WtcValue	value;
	char		lease[WTC_LEASE_LEN];
	int64		left_us;		/* how long the other reader's lease is good
								 * for */
	XLogRecPtr	filled;			/* the mark that it has been filled with */
} WtcReading;

/*
 * Reads keys; other states than WTC_FOUND_VALUE and WTC_FOUND_NOTHING only if
 * leases are asked for.  WTC_FAIL_CONNECT also when the breaker is open.
 */
extern WtcStatus wtc_lease_get(WtcReading *const *readings, int n,
							   bool leases);

/* Was the lease given under the token that this server has set? */
extern bool wtc_lease_is_ours(const WtcReading *reading);

typedef enum WtcFillKind
{
	WTC_FILL_VALUE,
	WTC_FILL_ABSENCE,			/* there is nothing to store */
	WTC_FILL_NOT				/* there is, but not for the cache: others
								 * need not wait */
} WtcFillKind;

typedef struct WtcFill
{
	WtcReading *reading;		/* with a lease */
	WtcFillKind kind;
	WtcOperation op;			/* what is stored, under the reading's key */
} WtcFill;

/* Fills keys; what is refused is counted in Redis, and no error. */
extern WtcStatus wtc_lease_fill(const WtcFill *fills, int n, XLogRecPtr mark);

/*
 * The string that an operation stores by a fill with this mark, which is its
 * version where it has that in it; palloc'd.
 */
extern WtcSpan wtc_lease_value(const WtcOperation *op, XLogRecPtr mark);

/*
 * Counts of fill.lua, of readers in any language: what it answers, and how
 * often, by turns.
 */
extern WtcStatus wtc_lease_counts(WtcAnswer *answer);
extern WtcStatus wtc_lease_reset_counts(void);

#endif							/* WTC_READ_LEASE_H */
