/*-------------------------------------------------------------------------
 *
 * blame.c
 *	  Which operation Redis does not take, when all that it does is to close
 *	  the connection or not to answer.
 *
 * Every new attempt comes after the worker has met Redis anew and has set
 * another token, so Redis answers.  A Redis that is restarted while a request
 * is under way may be blamed on it once, but not again and again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "worker/blame.h"

/*
 * Lost so often when it was alone, an operation is not sent any more.  What ends
 * a connection is size, as a rule; a small one may have met with a Redis that
 * stops now and then.
 */
#define LOST_TIMES(bytes)	((bytes) > WTC_CHUNK_BYTES ? 2 : 5)

typedef struct Blamed
{
	uint64		key;			/* its hash */
	XLogRecPtr	version;
	int			times;
	bool		guilty;
	WtcStatus	status;
	char		words[WTC_WORDS_LEN];
} Blamed;

/* since everything was last pushed */
static Blamed *blamed = NULL;
static int	nblamed = 0;
static int	max_blamed = 0;
static int	share = WTC_CHUNK_ITEMS;

int
wtc_blame_share(void)
{
	return share;
}

static Blamed *
find(const WtcItem *item)
{
	for (int i = 0; i < nblamed; i++)
	{
		if (blamed[i].key == item->hash && blamed[i].version == item->version)
			return &blamed[i];
	}
	return NULL;
}

void
wtc_blame_look(WtcChunk *chunk)
{
	WtcItem    *item = &chunk->items[chunk->nall - 1];
	const Blamed *b = nblamed > 0 ? find(item) : NULL;

	if (b == NULL || !b->guilty || !wtc_operation_stores(&item->op))
		return;
	item->refused = b->status;
	strlcpy(chunk->words, b->words, WTC_WORDS_LEN);
}

void
wtc_blame_lost(const WtcChunk *chunk, WtcStatus status)
{
	Blamed	   *b;

	if (!chunk->lost ||
		(status != WTC_FAIL_CLOSED && status != WTC_FAIL_TIMEOUT))
		return;
	if (chunk->nall > 1)
	{
		share = chunk->nall / 2;
		return;
	}
	b = find(&chunk->items[0]);
	if (b == NULL)
	{
		if (nblamed >= max_blamed)
		{
			max_blamed = Max(16, max_blamed * 2);
			blamed = blamed == NULL ?
				MemoryContextAlloc(TopMemoryContext,
								   sizeof(Blamed) * max_blamed) :
				repalloc_huge(blamed, sizeof(Blamed) * max_blamed);
		}
		b = &blamed[nblamed++];
		memset(b, 0, sizeof(*b));
		b->key = chunk->items[0].hash;
		b->version = chunk->items[0].version;
	}
	/* if Redis has said why, once is enough */
	b->times++;
	b->guilty = chunk->words[0] != '\0' ||
		b->times >= LOST_TIMES(chunk->bytes);
	b->status = status;
	strlcpy(b->words, chunk->words, WTC_WORDS_LEN);
}

void
wtc_blame_none(void)
{
	nblamed = 0;
	share = WTC_CHUNK_ITEMS;
}
