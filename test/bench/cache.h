/*-------------------------------------------------------------------------
 *
 * cache.h
 *	  Writing Redis as a careful application would.
 *
 * An entry is the row as JSON, SET with EX; its key is a member of one tag, a
 * set, whose life is renewed with EXPIRE.  Commands are sent in pipelines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BENCH_CACHE_H
#define WTC_BENCH_CACHE_H

#include <stdbool.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "common.h"

#define BATCH			1000	/* keys per pipeline, at most */
#define KEY_SIZE		64
#define IMAGE_SIZE		2048
#define ENTRY_TTL		"3600"
#define TAG_TTL			"3660"

/* A tag, and keys that have been SET and are not members of it yet. */
typedef struct Tag
{
	char		name[128];
	int			nkeys;
	char		keys[BATCH][KEY_SIZE];
} Tag;

static redisContext *rd;
static int	pending;			/* replies not read yet */

static inline void
redis_connect(const char *socket)
{
	rd = redisConnectUnix(socket);
	if (rd == NULL || rd->err)
		die("redis: %s", rd ? rd->errstr : "out of memory");
}

static inline void
redis_send(int argc, const char **argv, const size_t *lens)
{
	if (redisAppendCommandArgv(rd, argc, argv, lens) != REDIS_OK)
		die("redis: %s", rd->errstr);
	pending++;
}

static inline void
redis_flush(void)
{
	int			done = 0;

	while (!done)
		if (redisBufferWrite(rd, &done) != REDIS_OK)
			die("redis: %s", rd->errstr);
}

/* Reads replies until no more than so many are pending. */
static inline void
redis_finish(int leave)
{
	while (pending > leave)
	{
		redisReply *reply;

		if (redisGetReply(rd, (void **) &reply) != REDIS_OK)
			die("redis: %s", rd->errstr);
		if (reply->type == REDIS_REPLY_ERROR)
			die("redis: %s", reply->str);
		freeReplyObject(reply);
		pending--;
	}
}

/* Sends the SET of an entry, and notes its key for the tag. */
static inline void
send_set(Tag *tag, const char *key, const char *image, size_t len)
{
	const char *argv[5] = {"SET", key, image, "EX", ENTRY_TTL};
	size_t		lens[5] = {3, strlen(key), len, 2, strlen(ENTRY_TTL)};

	redis_send(5, argv, lens);
	snprintf(tag->keys[tag->nkeys++], KEY_SIZE, "%s", key);
}

/* Sends the SADD of the keys noted, if any, and the EXPIRE of their tag. */
static inline void
send_tag(Tag *tag)
{
	const char *sadd[BATCH + 2] = {"SADD", tag->name};
	const char *expire[3] = {"EXPIRE", tag->name, TAG_TTL};

	if (tag->nkeys == 0)
		return;
	for (int i = 0; i < tag->nkeys; i++)
		sadd[i + 2] = tag->keys[i];
	redis_send(tag->nkeys + 2, sadd, NULL);
	redis_send(3, expire, NULL);
	tag->nkeys = 0;
}

/* Appends a member of a JSON object, after a comma if it is not the first. */
static inline char *
append_json(char *to, const char *name, const char *text, size_t len,
			bool quoted)
{
	if (to[-1] != '{')
		*to++ = ',';
	to += sprintf(to, "\"%s\":", name);
	if (quoted)
		*to++ = '"';
	for (const char *end = text + len; text < end; text++)
	{
		if ((unsigned char) *text < ' ')
		{
			to += sprintf(to, "\\u%04x", *text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			*to++ = '\\';
		*to++ = *text;
	}
	if (quoted)
		*to++ = '"';
	return to;
}

#endif							/* WTC_BENCH_CACHE_H */
