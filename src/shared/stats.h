/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  Statistics that can be reset: how long pushes take, and what is done for
 *	  each table.
 *
 * Every backend has a place of its own, written by nobody else, so that
 * noting something touches no cache line that another one writes.  It is not
 * emptied by whoever resets the statistics, but by its owner, who notices by
 * the epoch; what readers find under another epoch does not count.
 *
 * The tables that a backend has changed lately are kept in its place.  Those
 * for which there is no room any more are added to one table for all, of
 * WTC_TABLES entries, without locks: an entry is claimed by compare-and-swap.
 *
 * Noting raises nothing, allocates nothing and takes no lock: it may be done
 * after the commit record.  Who resets takes one, to be the only one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_STATS_H
#define WTC_SHARED_STATS_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "shared/slots.h"

/*
 * The buckets of the histogram: four for every factor of two, from 1 us up to
 * 2^27 us (134 s), and one for what is longer.
 */
#define WTC_LATENCY_BUCKETS	105

typedef enum WtcLatencyKind
{
	WTC_LATENCY_OK,				/* all of it was in Redis */
	WTC_LATENCY_FAILED,
	WTC_LATENCY_KINDS
} WtcLatencyKind;

typedef struct WtcLatency
{
	uint64		count;
	uint64		sum_us;
	uint64		max_us;
	uint64		buckets[WTC_LATENCY_BUCKETS];
} WtcLatency;

/* What is counted for a table. */
typedef enum WtcTableCounter
{
	WTC_TABLE_SETS,
	WTC_TABLE_DELETES,
	WTC_TABLE_INVALIDATIONS,
	WTC_TABLE_BYTES,
	WTC_TABLE_COUNTERS
} WtcTableCounter;

/* Entries of the table for all, and of each backend. */
#define WTC_TABLES			1024
#define WTC_RECENT_TABLES	16

typedef struct WtcTableStat
{
	Oid			relid;			/* the key in hash tables */
	uint64		n[WTC_TABLE_COUNTERS];
	TimestampTz last_change;
} WtcTableStat;

/* For wtc_shmem_add(). */
extern Size wtc_stats_size(void);
extern void wtc_stats_attach(void *place, bool initialise);

/* A push has taken so long. */
extern void wtc_latency_note(WtcLatencyKind kind, int64 us);

/* A transaction has changed a table of this database. */
extern void wtc_table_note(Oid relid, const uint64 *n, TimestampTz at);

/* --- for who looks; may raise errors --- */

extern void wtc_latency_read(WtcLatencyKind kind, WtcLatency *latency);

/* What is below this many microseconds is in the bucket; UINT64_MAX: the last */
extern uint64 wtc_latency_bound(int bucket);

/* Within how many milliseconds a part of the pushes was over; 0 for none. */
extern double wtc_latency_quantile(const WtcLatency *latency, double part);

/* The tables of a database, palloc'd, one entry each. */
extern WtcTableStat *wtc_tables_read(Oid dbid, int *n);

/* The table is no more: its entry may be used for another. */
extern void wtc_table_forget(Oid dbid, Oid relid);

extern uint64 wtc_counter_since_reset(WtcCounter counter);
extern TimestampTz wtc_stats_reset_at(void);
extern void wtc_stats_reset(void);

#endif							/* WTC_SHARED_STATS_H */
