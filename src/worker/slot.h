/*-------------------------------------------------------------------------
 *
 * slot.h
 *	  The physical replication slot "wtcache", which keeps WAL for the replay.
 *
 * For the worker, which holds it as long as it runs.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_SLOT_H
#define WTC_WORKER_SLOT_H

#include "access/xlogdefs.h"

/*
 * Takes the slot, or makes it; an error if another process has it.  A slot whose WAL the server has taken away is
 * made anew, further on.  Where there can be none (wal_level, no free one) it
 * says so in the log, and WAL is kept by chance only.
 */
extern void wtc_slot_open(void);

/* Drops the slot that this process has, if it has one. */
extern void wtc_slot_drop(void);

/* Is there a slot, left from an earlier time perhaps? */
extern bool wtc_slot_exists(void);

/* From where on WAL is kept; InvalidXLogRecPtr: there is no slot. */
extern XLogRecPtr wtc_slot_position(void);

/* Lets go of the WAL before lsn; durable when a segment can go. */
extern void wtc_slot_advance(XLogRecPtr lsn);

#endif							/* WTC_WORKER_SLOT_H */
