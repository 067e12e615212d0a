/*-------------------------------------------------------------------------
 *
 * operations.h
 *	  The arguments of functions that store what is not a row.
 *
 * Raises an error where they cannot be written; before the commit record only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_OPERATIONS_H
#define WTC_API_OPERATIONS_H

#include "change/batch.h"
#include "fmgr.h"

/*
 * What an operation stores a value with: key, ttl and tags, the arguments 0, 2 and
 * 3, and how to find it.
 */
extern void wtc_storing_arguments(FunctionCallInfo fcinfo, WtcOperation *op);

#endif							/* WTC_API_OPERATIONS_H */
