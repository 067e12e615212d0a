/*-------------------------------------------------------------------------
 *
 * script.h
 *	  The Lua scripts: their texts, digests and the fixed names they use.
 *
 * They are turned into strings by the Makefile, which also computes the
 * digests under which EVALSHA finds apply.lua and drain.lua.  The contract of each
 * stands at its head.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_SCRIPT_H
#define WTC_REDIS_SCRIPT_H

#include <inttypes.h>

/*
 * A version: the timeline in 8 decimal digits, the LSN in 19.  Lua compares
 * strings by the locale of the server, and only digits sort the same in all
 * of them; some take "AA" for a letter of its own (F41).
 */
#define WTC_VERSION_LEN		27
#define WTC_VERSION_FORMAT	"%08u%019" PRIu64
#define WTC_MAX_TIMELINE	99999999
/* length of a script's SHA-1 in hex */
#define WTC_SHA_LEN			40

#define WTC_FENCE_0			"wtcache:fence:0"
#define WTC_FENCE_1			"wtcache:fence:1"

#define WTC_POSITION		"wtcache:watermark"
#define WTC_POSITIONS		"wtcache:positions"

extern const char wtc_apply_text[];
extern const char wtc_apply_sha[];
extern const char wtc_drain_text[];
extern const char wtc_drain_sha[];

/* the worker's, sent whole: it needs them seldom */
extern const char wtc_position_text[];
extern const char wtc_covers_text[];
extern const char wtc_sweep_text[];
extern const char wtc_cold_text[];

/* for wtcache.verify(), likewise */
extern const char wtc_expel_text[];

/* The elements of apply.lua's answer, in order. */
enum
{
	WTC_REPLY_NOW,
	WTC_REPLY_STORED,
	WTC_REPLY_OLDER,
	WTC_REPLY_DEGRADED,
	WTC_REPLY_OOM,
	WTC_REPLY_WRONGTYPE,
	WTC_REPLY_FAILED,
	WTC_REPLY_DRAINING,
	WTC_REPLY_VERSION,
	WTC_REPLY_GENERATION,
	WTC_REPLY_COUNT
};

#endif							/* WTC_REDIS_SCRIPT_H */
