/*-------------------------------------------------------------------------
 *
 * operations.h
 *	  Keys and tags as arguments of functions that write.
 *
 * Raises an error where they cannot be written; before the commit record only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_OPERATIONS_H
#define WTC_API_OPERATIONS_H

#include "change/batch.h"
#include "utils/array.h"

/* Complete, as they are called in Redis. */
extern WtcSpan wtc_key_argument(const char *text);
extern WtcList wtc_tags_argument(ArrayType *array);

#endif							/* WTC_API_OPERATIONS_H */
