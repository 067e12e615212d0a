/*-------------------------------------------------------------------------
 *
 * api.h
 *	  What the files of the SQL interface share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_API_H
#define WTC_API_API_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "redis/status.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* A ttl in milliseconds; raises an error if it makes no sense. */
extern uint64 wtc_interval_ms(const Interval *interval);

/* The row that a function with a row type returns. */
extern Datum wtc_result_row(FunctionCallInfo fcinfo, Datum *values,
							bool *nulls);

/* An error unless the current user owns the table. */
extern void wtc_check_owner(Relation rel);

/* A table and all below it, those that hold rows; by OID. */
extern List *wtc_tables_with_rows(Relation rel);

/* The capture trigger of a table; an error if it is not attached. */
extern const Trigger *wtc_attached_trigger(Relation rel);

/* An error if its trigger is disabled: what is stored would become stale. */
extern void wtc_check_firing(Relation rel, const Trigger *trigger);

/*
 * Queues the deletion of the keys of a table and its partitions, which it locks;
 * returns how many.
 */
extern uint64 wtc_clear(Relation rel, LOCKMODE lockmode);

/* An error unless Redis has answered. */
extern void wtc_check_answer(WtcStatus status);

/* An interval as microseconds, from 0 on. */
extern int64 wtc_timeout_us(const Interval *interval);

/*
 * Waits until Redis holds what was committed before the call; false: not by
 * the deadline.  Serves interrupts.
 */
extern bool wtc_flush_until(int64 deadline_us);

/* Sleeps until then.  Serves interrupts. */
extern void wtc_sleep_until(int64 until_us);

#endif							/* WTC_API_API_H */
