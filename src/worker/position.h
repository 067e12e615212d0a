/*-------------------------------------------------------------------------
 *
 * position.h
 *	  How far Redis has come, and which Redis it is.
 *
 * The worker stores the watermark in Redis.  After Redis has lost writes, by
 * a restart, a fail-over, or anything else, the one found there says where the
 * replay has to begin (R21).  It is stored and believed only as long as the
 * server is the same process with the same history (R22), which the worker
 * recognises by its identity and backends by a generation, a number that the
 * worker leaves in the fence (R23).
 *
 * For the worker; the connection must stand.  May raise errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_WORKER_POSITION_H
#define WTC_WORKER_POSITION_H

#include "access/xlogdefs.h"
#include "redis/status.h"
#include "shared/shmem.h"

/*
 * Looks whether this is still the server that was known.  If not, makes its
 * acquaintance: a new generation, and the replay begins where the server's
 * watermark is.  What cannot be replayed from there makes the cache cold.
 */
extern WtcStatus wtc_position_meet(void);

/* Is a server known?  False after wtc_position_meet() has failed half-way. */
extern bool wtc_position_known(void);

/* Not any more: wtc_position_meet() shall look at it as at a new one. */
extern void wtc_position_doubt(void);

/*
 * Stores the watermark, if the server is the one that it should be; if not, it
 * is not known any more.
 */
extern WtcStatus wtc_position_store(XLogRecPtr watermark);

/* Empties the cache; everything committed so far is dead. */
extern WtcStatus wtc_position_go_cold(WtcColdReason reason);

/* In plain words; static storage. */
extern const char *wtc_cold_reason_text(WtcColdReason reason);

#endif							/* WTC_WORKER_POSITION_H */
