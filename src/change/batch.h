/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  The batch: what one transaction does to the cache, as a byte string.
 *
 * It is flat and self-contained: the same bytes go into the transaction's
 * message in WAL and are the source of the request to Redis.  All but the
 * names and values themselves is ASCII, so that a message need not escape it.
 *
 *	  batch     := '2' operation*
 *	  operation := 'd' key                      list(removed)
 *	             | 's' key ttl string           stored
 *	             | 'v' key ttl string           stored
 *	             | 'h' key ttl list(f, v, ...)  stored
 *	             | 't' tag
 *	  stored    := list(tags) list(removed) pattern(keys) pattern(sets)
 *	  pattern   := shared string
 *	  string, key, tag := length bytes
 *	  list      := count string*
 *	  length, count, ttl, shared := number, five bits a digit, low ones first: the
 *		characters from '0' to 'O', and from 'P' to 'o' where another follows
 *
 * 'd' deletes, 's' stores a string, 'h' a hash, 't' invalidates a tag.  'v' is an
 * 's' whose string begins with WTC_VERSION_NONE, in place of which the version of
 * the operation is stored.  ttl is in milliseconds.  removed names the tags that
 * the key has left.  Keys and tags are complete names in Redis, in UTF-8.  All the
 * 't' come first.  The patterns are those that the key was made by, and that the
 * sets of all tags have; shared bytes are not repeated: they are those of the key,
 * and of the first tag.
 *
 * Writing appends to a StringInfo and may raise an error (out of memory).
 * Reading allocates nothing, raises nothing, and never looks past the end,
 * whatever the bytes are; it may be done after the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CHANGE_BATCH_H
#define WTC_CHANGE_BATCH_H

#include "lib/stringinfo.h"

#define WTC_BATCH_FORMAT	'2'

/* about the most in one batch, unless a single operation is more */
#define WTC_BATCH_BYTES		(4 * 1024 * 1024)

/* an operation has at most this many tags, and as many removed ones */
#define WTC_MAX_TAGS		256

typedef enum WtcOpKind
{
	WTC_OP_DELETE = 'd',
	WTC_OP_SET = 's',
	WTC_OP_HASH = 'h',
	WTC_OP_INVALIDATE = 't'
} WtcOpKind;

/* How a string begins in which the version is to stand. */
#define WTC_VERSION_HEAD	"{\"version\":"
#define WTC_VERSION_NONE	WTC_VERSION_HEAD "null"

/* A stretch of bytes inside a batch. */
typedef struct WtcSpan
{
	const char *data;
	uint32		len;
} WtcSpan;

/* A list inside a batch: how many strings, and where they stand. */
typedef struct WtcList
{
	uint32		count;
	WtcSpan		bytes;
} WtcList;

/*
 * A glob pattern as Redis has them: what it begins with like another string, and
 * what follows.  Nothing of either: there is none.
 */
typedef struct WtcPattern
{
	uint32		shared;
	WtcSpan		rest;
} WtcPattern;

/* An operation, taken apart; points into the batch. */
typedef struct WtcOperation
{
	WtcOpKind	kind;
	WtcSpan		key;			/* or the tag */
	uint64		ttl_ms;
	bool		versioned;		/* a WTC_OP_SET that is a 'v' */
	WtcSpan		value;			/* 's', 'v' */
	WtcList		fields;			/* 'h': names and values by turns */
	WtcList		tags;
	WtcList		removed;
	WtcPattern	keys;			/* matches key, and those made like it */
	WtcPattern	sets;			/* matches the sets of all tags */
	WtcSpan		whole;			/* all its bytes */
} WtcOperation;

/* Reading position in a batch. */
typedef struct WtcCursor
{
	const char *p;
	const char *end;
} WtcCursor;

/* Writing. */
extern void wtc_put_number(StringInfo buf, uint64 v);
extern void wtc_put_string(StringInfo buf, const char *data, uint32 len);
extern void wtc_put_list(StringInfo buf, const WtcList *list);

/* An operation, as wtc_get_operation() reads it; op->whole is not looked at. */
extern void wtc_put_operation(StringInfo buf, const WtcOperation *op);

/*
 * Appends, in place of an operation that stores, the deletion of its key; any
 * other as it is.
 */
extern void wtc_put_deletion(StringInfo buf, const char *op, size_t len);

/* Reading.  False: the bytes are not a batch. */
extern bool wtc_batch_open(WtcCursor *cursor, const char *data, size_t len);
extern bool wtc_get_operation(WtcCursor *cursor, WtcOperation *op);
extern bool wtc_get_number(WtcCursor *cursor, uint64 *v);
extern bool wtc_get_string(WtcCursor *cursor, WtcSpan *span);

static inline bool
wtc_cursor_done(const WtcCursor *cursor)
{
	return cursor->p >= cursor->end;
}

static inline WtcCursor
wtc_list_cursor(const WtcList *list)
{
	WtcCursor	cursor;

	cursor.p = list->bytes.data;
	cursor.end = list->bytes.data + list->bytes.len;
	return cursor;
}

static inline bool
wtc_span_equal(WtcSpan a, WtcSpan b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* Does the operation store something under its key? */
static inline bool
wtc_operation_stores(const WtcOperation *op)
{
	return op->kind == WTC_OP_SET || op->kind == WTC_OP_HASH;
}

/* The first string of a list; empty if there is none. */
extern WtcSpan wtc_list_first(const WtcList *list);

/* Does the list hold this string? */
extern bool wtc_list_has(const WtcList *list, WtcSpan string);

/* The strings of a that b does not have; may raise an error. */
extern WtcList wtc_list_without(const WtcList *a, const WtcList *b);

#endif							/* WTC_CHANGE_BATCH_H */
