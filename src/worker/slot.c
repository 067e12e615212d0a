/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  The physical replication slot "wtcache", which keeps WAL for the replay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "compat.h"
#include "shared/state.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "worker/slot.h"

#define SLOT_NAME	"wtcache"

static void
publish(void)
{
	wtc_worker_set_retained(wtc_slot_position());
}

static bool
slot_exists(bool *ours)
{
	ReplicationSlot *slot;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(SLOT_NAME, false);
	*ours = slot != NULL && slot->data.database == InvalidOid;
	LWLockRelease(ReplicationSlotControlLock);
	return slot != NULL;
}

static bool
slots_left(void)
{
	bool		left = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && !left; i++)
		left = !ReplicationSlotCtl->replication_slots[i].in_use;
	LWLockRelease(ReplicationSlotControlLock);
	return left;
}

static void
complain(const char *why)
{
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("wtcache: no replication slot to keep WAL with: %s", why),
			 errdetail("When WAL is removed that has not been replayed, the cache is emptied."),
			 errhint("Set \"wal_level\" to replica or logical, and raise \"max_replication_slots\".")));
}

static void
make_slot(void)
{
	wtc_slot_create(SLOT_NAME);
	ReplicationSlotReserveWal();
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
}

bool
wtc_slot_exists(void)
{
	bool		ours;

	return slot_exists(&ours) && ours;
}

void
wtc_slot_open(void)
{
	bool		ours;

	if (MyReplicationSlot != NULL)
		return;
	if (slot_exists(&ours))
	{
		if (!ours)
		{
			complain("one of this name is a logical one");
			return;
		}
		wtc_slot_acquire(SLOT_NAME);
		if (wtc_slot_is_invalid(MyReplicationSlot))
		{
			ereport(LOG,
					(errmsg("wtcache: the server has removed WAL that slot \"%s\" kept, making it anew",
							SLOT_NAME)));
			ReplicationSlotRelease();
			ReplicationSlotDrop(SLOT_NAME, true);
			make_slot();
		}
	}
	else if (wal_level < WAL_LEVEL_REPLICA)
		complain("wal_level is minimal");
	else if (!slots_left())
		complain("all are in use");
	else
		make_slot();
	publish();
}

void
wtc_slot_drop(void)
{
	if (MyReplicationSlot == NULL)
		return;
	ReplicationSlotRelease();
	ReplicationSlotDrop(SLOT_NAME, true);
	publish();
	ereport(LOG,
			(errmsg("wtcache: replication slot \"%s\" dropped", SLOT_NAME),
			 errdetail("The extension was dropped, and everything committed is in Redis."),
			 errhint("It is made again with the next change to the cache of any database.")));
}

XLogRecPtr
wtc_slot_position(void)
{
	return MyReplicationSlot == NULL ? InvalidXLogRecPtr :
		MyReplicationSlot->data.restart_lsn;
}

void
wtc_slot_advance(XLogRecPtr lsn)
{
	ReplicationSlot *slot = MyReplicationSlot;
	XLogSegNo	before;
	XLogSegNo	after;

	if (slot == NULL)
		return;
	XLByteToSeg(slot->data.restart_lsn, before, wal_segment_size);
	XLByteToSeg(lsn, after, wal_segment_size);
	/* WAL goes by whole segments, and saving is not for free */
	if (after <= before)
		return;

	SpinLockAcquire(&slot->mutex);
	slot->data.restart_lsn = lsn;
	SpinLockRelease(&slot->mutex);
	ReplicationSlotMarkDirty();
	ReplicationSlotSave();
	ReplicationSlotsComputeRequiredLSN();
	publish();
}
