/*-------------------------------------------------------------------------
 *
 * walpos.h
 *	  Positions in WAL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WALPOS_H
#define WTC_WALPOS_H

#include "access/xlog.h"
#include "access/xlog_internal.h"

/*
 * A position that GetXLogInsertRecPtr() has returned, as XLogFlush() takes it:
 * at the beginning of a page it is behind a page header that has not been
 * written yet and cannot be flushed.
 */
static inline XLogRecPtr
wtc_flushable(XLogRecPtr lsn)
{
	uint32		offset = lsn % XLOG_BLCKSZ;

	if (offset == SizeOfXLogShortPHD ||
		lsn % wal_segment_size == SizeOfXLogLongPHD)
		return lsn - offset;
	return lsn;
}

#endif							/* WTC_WALPOS_H */
