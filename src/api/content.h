/*-------------------------------------------------------------------------
 *
 * content.h
 *	  What the cache holds, as values of SQL.
 *
 * Raises an error where it is none of the type that is wanted, or not in this
 * database's encoding; before the commit record only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_CONTENT_H
#define WTC_API_CONTENT_H

#include "change/batch.h"
#include "read/ask.h"

/* How a value is returned: a string one way, a hash another, if at all. */
typedef struct WtcReturnedAs
{
	Datum		(*string) (const char *data, size_t len);
	bool		hashes;			/* as jsonb: an object of texts */
} WtcReturnedAs;

extern const WtcReturnedAs wtc_as_jsonb;
extern const WtcReturnedAs wtc_as_text;
extern const WtcReturnedAs wtc_as_bytea;

/* False: there is nothing. */
extern bool wtc_return_value(const WtcValue *value, const WtcReturnedAs *as,
							 Datum *result);

/* Of an operation that stores something. */
extern Datum wtc_return_operation(const WtcOperation *op,
								  const WtcReturnedAs *as);

/*
 * Between these two errors say which key they are about, and what to do: jsonb
 * does not take all that is JSON, and not all is that Redis holds.
 */
typedef struct WtcNamedKey
{
	ErrorContextCallback context;
} WtcNamedKey;

extern void wtc_name_key(WtcNamedKey *named, const char *key);
extern void wtc_unname_key(const WtcNamedKey *named);

#endif							/* WTC_API_CONTENT_H */
