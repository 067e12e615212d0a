/*-------------------------------------------------------------------------
 *
 * request.h
 *	  A chunk as the commands that Redis is sent.
 *
 *	  MULTI
 *	  EVALSHA forget.lua				the tags to invalidate
 *	  UNLINK							keys to delete, hashes to replace, leases
 *	  SREM, SADD, PEXPIRE				tags that keys leave, and are put under
 *	  SADD, SET, HSET, PEXPIRE			values; patterns, before the first of each;
 *										EVALSHA store.lua where there are leases
 *	  EVALSHA prune.lua					now and then
 *	  RPUSH								the journal, where there is one
 *	  EXEC
 *	  WATCH, GET						the token, for the next request
 *
 * They are written into memory that has been set aside with the chunk.
 * Allocates nothing, raises nothing: callable on either side of the commit
 * record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_PUSH_REQUEST_H
#define WTC_PUSH_REQUEST_H

#include "push/chunk.h"

/* What a command is about; those that have an index are of an item or a tag. */
typedef enum WtcCommandKind
{
	WTC_COMMAND_PLAIN,			/* cannot fail by itself */
	WTC_COMMAND_FORGET,			/* forget.lua */
	WTC_COMMAND_ADD,			/* SADD: keys are put under a tag */
	WTC_COMMAND_TAG,			/* another one of such a tag */
	WTC_COMMAND_LEAVE,			/* of a tag that keys leave */
	WTC_COMMAND_VALUE,			/* of an item */
	WTC_COMMAND_STORE,			/* the same by store.lua */
	WTC_COMMAND_PRUNE			/* prune.lua */
} WtcCommandKind;

/* All that is in a request besides its items. */
#define WTC_REQUEST_FIXED	1024

/* No more than so many bytes does an operation take in a request. */
extern size_t wtc_request_bytes(const WtcOperation *op);

/* No more than so many commands have so many items and uses of tags. */
extern int	wtc_request_commands(int items, int uses);

/*
 * Writes the request of a chunk whose items have been decided on; returns its
 * length.  token is the text of the token that holds; journal: what is stored
 * is noted; leases: readers fill keys, whose leases are to be voided.  Sets chunk->commands to what stands between MULTI and EXEC; if
 * there is nothing, the length is 0.
 */
extern size_t wtc_request_write(WtcChunk *chunk, const char *token,
								bool journal, bool leases);

/*
 * The value of an operation that stores a string, with a version in it where that
 * is wanted: pieces that stand one after the other.
 */
typedef struct WtcPieces
{
	char		digits[20];
	int			n;
	WtcSpan		span[3];
} WtcPieces;

extern void wtc_value_pieces(const WtcOperation *op, XLogRecPtr version,
							 WtcPieces *pieces);

/* So many keys were put under a tag of the request that had not been there. */
extern void wtc_request_note_added(const WtcChunk *chunk, int t, uint64 n);

/*
 * Writes the request that only deletes the keys of the items with this verdict
 * (of all items, if everything), and invalidates tags if it is everything.
 */
extern size_t wtc_request_write_forget(WtcChunk *chunk, const char *token,
									   bool everything);

#endif							/* WTC_PUSH_REQUEST_H */
