/*-------------------------------------------------------------------------
 *
 * hashed.h
 *	  A hash table whose keys are hashes themselves, as of wtc_order_hash().
 *
 * To be included once for each table, after SH_PREFIX and SH_ELEMENT_TYPE have been
 * defined; the element has a uint64 "hash", and a char "status" for simplehash.h.
 * What is defined is static.
 *
 *-------------------------------------------------------------------------
 */
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(tb, key) ((uint32) ((key) ^ ((key) >> 32)))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"
