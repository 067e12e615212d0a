/*-------------------------------------------------------------------------
 *
 * image.h
 *	  From a row to what the cache will hold of it.
 *
 * All of this allocates in the current memory context, may raise an error,
 * belongs before the commit record, and wants the settings pinned.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_IMAGE_H
#define WTC_CAPTURE_IMAGE_H

#include "capture/attachment.h"
#include "change/batch.h"

/* What a row amounts to. */
typedef struct WtcRendered
{
	bool		cached;			/* it has a key, and the condition holds */
	bool		untaggable;		/* not to be stored: a tag is not UTF-8, or
								 * too long */
	WtcSpan		key;			/* complete, UTF-8 */
	WtcList		tags;
} WtcRendered;

/* The key alone, of which only the columns are looked at; false: there is none. */
extern bool wtc_render_key(WtcAttachment *att, TupleTableSlot *slot,
						   WtcSpan *key);

extern void wtc_render_row(WtcAttachment *att, TupleTableSlot *slot,
						   WtcRendered *row);

typedef enum WtcImage
{
	WTC_IMAGE_MADE,
	WTC_IMAGE_NONE,				/* there can be none, because of the table or
								 * because it is not valid in UTF-8 */
	WTC_IMAGE_TOO_LARGE			/* see wtcache.max_image_size */
} WtcImage;

/* The version of a row, of the column that has it, as JSON. */
extern char *wtc_render_version(WtcAttachment *att, Datum version,
								bool isnull);

/* Fills in the storing of a row: kind, ttl and image, if one is made. */
extern WtcImage wtc_render_image(WtcAttachment *att, TupleTableSlot *slot,
								 WtcOperation *op);

/*
 * Shortens the ttl of what is to be stored by up to wtcache.ttl_jitter, lest what
 * is stored together expires together.  How much is a matter of the key.
 */
extern void wtc_spread_ttl(WtcOperation *op);

/* A pattern for SCAN that matches every name of the template. */
extern char *wtc_key_glob(const WtcTemplate *tpl);

/*
 * Fills in the patterns of an operation that stores a row, or (NULL) something
 * else, which has none for its key.
 */
extern void wtc_render_patterns(WtcPatterns *patterns, WtcOperation *op);

/* The tags that a row invalidates, complete; rendered one by one. */
extern bool wtc_render_invalidated(WtcAttachment *att, int i,
								   TupleTableSlot *slot, WtcSpan *tag);

/*
 * Is a key one that wtcache keeps for itself: its own records, or the name of
 * a tag's set?  Rows with such a key are not cached.
 */
extern bool wtc_key_is_reserved(const char *text);

/*
 * A complete name in Redis: prefix, then text, in UTF-8.  False if it cannot
 * be written in UTF-8.
 */
extern bool wtc_complete_key(const char *text, WtcSpan *key);
extern bool wtc_complete_tag(const char *text, WtcSpan *tag);

/* Server encoding to UTF-8; false if that is not possible. */
extern bool wtc_to_utf8(const char *text, int len, WtcSpan *out);

#endif							/* WTC_CAPTURE_IMAGE_H */
