/*-------------------------------------------------------------------------
 *
 * watermark.h
 *	  How far everything is in Redis, and how much WAL is kept.
 *
 * For the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_WATERMARK_H
#define WTC_WORKER_WATERMARK_H

#include "access/xlogdefs.h"

/*
 * Moves the watermark as far as it may; returns it.  InvalidXLogRecPtr: not
 * known yet.
 */
extern XLogRecPtr wtc_watermark_move(void);

/*
 * Lets go of WAL that is neither needed behind the watermark for heal_window
 * nor within max_wal_retained.  Once per beat.
 */
extern void wtc_watermark_retain(void);

/*
 * Where the watermark was heal_window ago, as of the last beat;
 * InvalidXLogRecPtr: not known.
 */
extern XLogRecPtr wtc_watermark_healing(void);

#endif							/* WTC_WORKER_WATERMARK_H */
