/*-------------------------------------------------------------------------
 *
 * look.h
 *	  Comparing many keys with what they should hold, in one conversation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_READ_LOOK_H
#define WTC_READ_LOOK_H

#include "change/batch.h"
#include "redis/status.h"

/* A key to be looked at. */
typedef struct WtcLook
{
	/* in */
	WtcSpan		key;
	WtcOperation op;			/* how it should have been stored: kind, value
								 * or fields, tags; WTC_OP_DELETE: not at all */

	/* out */
	bool		exists;
	bool		other_type;		/* neither a string nor a hash, as it should */
	bool		other_value;
	int64		held;			/* length of its value, or number of fields */
	int64		expires;		/* milliseconds left, or (WTC_OP_DELETE) the
								 * time of it as PEXPIRETIME tells; -1: never */
	int			nuntagged;
	uint64		untagged[WTC_MAX_TAGS / 64];	/* not in the sets of these */
} WtcLook;

/*
 * Looks at n keys.  The commands are pipelined, each with push_timeout from the
 * last reply on; others may write between two of them.  Serves interrupts and
 * may raise an error because of them, or for lack of memory.  Not for the far
 * side of the commit record.  WTC_FAIL_CONNECT also when the breaker is open.
 */
extern WtcStatus wtc_read_look(WtcLook *looks, int n);

#endif							/* WTC_READ_LOOK_H */
