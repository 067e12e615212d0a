/*-------------------------------------------------------------------------
 *
 * script.h
 *	  The Lua scripts: their texts and digests.
 *
 * They are turned into strings by the Makefile, which also computes the
 * digests under which EVALSHA finds those that are loaded at connect.  The
 * contract of each stands at its head.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_REDIS_SCRIPT_H
#define WTC_REDIS_SCRIPT_H

/* length of a script's SHA-1 in hex */
#define WTC_SHA_LEN			40

/* loaded at connect */
extern const char wtc_drain_text[];
extern const char wtc_drain_sha[];
extern const char wtc_forget_text[];
extern const char wtc_forget_sha[];
extern const char wtc_prune_text[];
extern const char wtc_prune_sha[];

extern const char wtc_store_text[];
extern const char wtc_store_sha[];

/* of readers; loaded by the first one that needs them */
extern const char wtc_fill_text[];
extern const char wtc_fill_sha[];
extern const char wtc_get_text[];
extern const char wtc_get_sha[];

/* the worker's, sent whole: it needs them seldom */
extern const char wtc_cold_text[];
extern const char wtc_sweep_text[];
extern const char wtc_take_text[];
extern const char wtc_trim_text[];

/* for wtcache.verify(), likewise */
extern const char wtc_expel_text[];

#endif							/* WTC_REDIS_SCRIPT_H */
