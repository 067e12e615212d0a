/*-------------------------------------------------------------------------
 *
 * parked.c
 *	  Batches whose transactions were not over when they were read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "access/xlog.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "change/key.h"
#include "change/message.h"
#include "shared/outbox.h"
#include "shared/state.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker/parked.h"

/* they are written again when this much WAL is behind */
#define CARRY_BYTES		((uint64) 64 * 1024 * 1024)

static MemoryContext parked_cxt = NULL;
static WtcParked *parked = NULL;
static int	nparked = 0;
static int	parked_room = 0;

/* --- the fate of a transaction --- */

/*
 * TransactionIdIsInProgress() believes that what precedes RecentXmin is over,
 * and looks for no parents beyond TransactionXmin.  Nobody sets them for a
 * process without snapshots, and half of all transactions precede their initial
 * values.
 */
void
wtc_fate_horizon(void)
{
	RecentXmin = TransactionXmin = GetOldestTransactionIdConsideredRunning();
}

WtcFate
wtc_fate_of(TransactionId xid)
{
	if (TransactionIdIsInProgress(xid))
		return WTC_FATE_OPEN;
	if (TransactionIdPrecedes(xid, wtc_oldest_known_xid()))
		return WTC_FATE_UNKNOWN;
	return TransactionIdDidCommit(xid) ? WTC_FATE_COMMITTED : WTC_FATE_DEAD;
}

/* --- the batches --- */

void
wtc_parked_publish(void)
{
	uint64		min = PG_UINT64_MAX;

	for (int i = 0; i < nparked; i++)
	{
		if (!parked[i].lost)
			min = Min(min, parked[i].start);
	}
	wtc_set_parked_from(min);
	wtc_worker_set_parked(nparked);
}

bool
wtc_is_parked(const WtcWalMessage *message)
{
	for (int i = 0; i < nparked; i++)
	{
		if (parked[i].lsn == message->lsn && parked[i].xid == message->xid)
			return true;
	}
	return false;
}

void
wtc_park(const WtcWalMessage *message)
{
	WtcParked  *p;

	if (parked_cxt == NULL)
		parked_cxt = AllocSetContextCreate(TopMemoryContext,
										   "wtcache parked batches",
										   ALLOCSET_DEFAULT_SIZES);
	if (nparked >= parked_room)
	{
		parked_room = Max(64, parked_room * 2);
		parked = parked == NULL ?
			MemoryContextAllocHuge(parked_cxt,
								   sizeof(WtcParked) * parked_room) :
			repalloc_huge(parked, sizeof(WtcParked) * parked_room);
	}
	p = &parked[nparked++];
	memset(p, 0, sizeof(*p));
	p->start = p->open_at = message->start;
	p->len = message->len;
	p->xid = message->xid;
	p->lsn = message->lsn;
}

static void
unpark(int i)
{
	parked[i] = parked[--nparked];
}

bool
wtc_parked_examine(bool *missed)
{
	bool		any = false;

	for (int i = nparked - 1; i >= 0; i--)
	{
		WtcParked  *p = &parked[i];
		WtcFate		fate = p->due ? WTC_FATE_COMMITTED : wtc_fate_of(p->xid);

		if (p->lost && fate != WTC_FATE_OPEN)
		{
			/* its keys are not known any more */
			*missed |= fate != WTC_FATE_DEAD;
			unpark(i);
			continue;
		}
		switch (fate)
		{
			case WTC_FATE_OPEN:
				break;
			case WTC_FATE_COMMITTED:
				p->due = any = true;
				break;
			case WTC_FATE_UNKNOWN:
				p->due = p->blind = any = true;
				break;
			case WTC_FATE_DEAD:
				unpark(i);
				break;
		}
	}
	return any;
}

XLogRecPtr
wtc_parked_open_at(void)
{
	XLogRecPtr	min = PG_UINT64_MAX;

	for (int i = 0; i < nparked; i++)
	{
		if (!parked[i].lost)
			min = Min(min, parked[i].open_at);
	}
	return min;
}

XLogRecPtr
wtc_parked_open_version(void)
{
	XLogRecPtr	min = PG_UINT64_MAX;

	for (int i = 0; i < nparked; i++)
	{
		if (!parked[i].due && !parked[i].lost)
			min = Min(min, parked[i].lsn);
	}
	return min;
}

const WtcParked *
wtc_parked_due(int *pos)
{
	while (*pos < nparked)
	{
		const WtcParked *p = &parked[(*pos)++];

		if (p->due)
			return p;
	}
	return NULL;
}

const WtcParked *
wtc_parked_open(int *pos)
{
	while (*pos < nparked)
	{
		const WtcParked *p = &parked[(*pos)++];

		if (!p->due && !p->lost)
			return p;
	}
	return NULL;
}

void
wtc_parked_reopen(const WtcParked *p, WtcWalMessage *message)
{
	wtc_wal_open(p->start, PG_UINT64_MAX);
	while (wtc_wal_next(message))
	{
		if (message->xid == p->xid && message->lsn == p->lsn)
			return;
	}
	/* it was there, and nobody has taken it away */
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("could not find a batch at %X/%X in WAL again",
					LSN_FORMAT_ARGS(p->lsn))));
}

void
wtc_parked_settle(void)
{
	for (int i = nparked - 1; i >= 0; i--)
	{
		if (parked[i].due)
			unpark(i);
	}
	wtc_parked_publish();
}

void
wtc_parked_restart(XLogRecPtr start)
{
	for (int i = nparked - 1; i >= 0; i--)
	{
		if (parked[i].start >= start && !parked[i].lost)
			unpark(i);
	}
	wtc_parked_publish();
}

/* Prepared transactions whose batches, if they have any, cannot be read. */
static void
note_lost(void)
{
	for (int i = 0; i < max_prepared_xacts; i++)
	{
		WtcWalMessage message = {.xid = PreparedXactProcs[i].xid};
		bool		known = false;

		for (int j = 0; j < nparked && !known; j++)
			known = parked[j].xid == message.xid;
		if (known || !TransactionIdIsNormal(message.xid) ||
			!TransactionIdIsInProgress(message.xid))
			continue;
		wtc_park(&message);
		parked[nparked - 1].lost = true;
	}
}

void
wtc_parked_forget(XLogRecPtr lsn, bool all_read)
{
	for (int i = nparked - 1; i >= 0; i--)
	{
		if (parked[i].due)
			unpark(i);
		else if (parked[i].start < lsn)
			parked[i].lost = true;
	}
	if (!all_read)
		note_lost();
	wtc_parked_publish();
}

/* --- writing them again --- */

/*
 * here is a position of before the transaction was found to be in progress.  It
 * may be committed since then, and a reader's token be made; that must not be
 * before the batch's new place, where the watermark may come to.
 */
static void
carry(WtcParked *p, XLogRecPtr here)
{
	WtcWalMessage message;
	WtcMessage	carried = {.xid = p->xid,.lsn = p->lsn};
	StringInfoData buf;

	wtc_parked_reopen(p, &message);
	carried.batch.data = message.batch;
	carried.batch.len = message.len;
	initStringInfo(&buf);
	wtc_put_message(&buf, &carried);
	wtc_wal_close();
	wtc_sign_message(buf.data, buf.len, InvalidFullTransactionId);
	wtc_wal_flush(wtc_log_named_message(WTC_MESSAGE_PREFIX,
										buf.data, buf.len));
	p->open_at = p->start;
	p->start = here;
	pfree(buf.data);
}

void
wtc_parked_carry(XLogRecPtr lsn)
{
	for (int i = 0; i < nparked; i++)
	{
		WtcParked  *p = &parked[i];

		if (p->start < lsn && !p->due && !p->lost && wtc_wal_exists(p->start))
			carry(p, lsn);
	}
	wtc_parked_publish();
}

void
wtc_parked_carry_far(uint64 most)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();
	uint64		total = 0;
	uint64		distance;

	for (int i = 0; i < nparked; i++)
		total += parked[i].len;
	distance = Max(CARRY_BYTES, 4 * total);
	if (most != PG_UINT64_MAX)
		distance = Min(distance, Max(most / 3, 2 * total));
	if (end <= distance)
		return;
	wtc_fate_horizon();
	for (int i = 0; i < nparked; i++)
	{
		WtcParked  *p = &parked[i];

		/*
		 * Behind its commit record a message would not be found together with
		 * that.  It may have one while it still counts as in progress; then a
		 * reader's token may be the end, but not less.
		 */
		if (p->start < end - distance && !p->due && !p->lost &&
			wtc_wal_exists(p->start) &&
			wtc_fate_of(p->xid) == WTC_FATE_OPEN &&
			!TransactionIdDidCommit(p->xid))
			carry(p, end - 1);
	}
	wtc_parked_publish();
}
