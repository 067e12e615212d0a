/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  When a tag's set is to be searched for dead members.
 *
 * A tag has one place, by its hash.  Of several for the same place the one that
 * grows most gets it in the end: what is added to another one is taken from its
 * count, and once that is used up the place is the other's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "push/prune.h"
#include "redis/conn.h"
#include "shared/shmem.h"
#include "storage/spin.h"

#define PLACES			1024

/* looking is not worth while for fewer */
#define PRUNE_EVERY		64

/* a moment more, lest members are looked at just before they expire */
#define MARGIN_MS		500

typedef struct PrunePlace
{
	slock_t		mutex;			/* over the rest */
	uint64		hash;			/* of the tag; 0: free */
	uint64		weight;			/* added, less what was added to others */
	uint64		unseen;			/* added, less what has been looked at for */
	int64		first_at;		/* when the first of those added since the
								 * worker looked has expired; monotonic us */
	int64		last_at;		/* and all that have been added */
	uint32		len;			/* of the name; 0: too long */
	char		name[WTC_PRUNE_NAME];
} PrunePlace;

static PrunePlace *places = NULL;

static Size
places_size(void)
{
	return PLACES * sizeof(PrunePlace);
}

static void
places_attach(void *place, bool initialise)
{
	places = place;
	if (!initialise)
		return;
	memset(places, 0, places_size());
	for (int i = 0; i < PLACES; i++)
		SpinLockInit(&places[i].mutex);
}

void
wtc_prune_init(void)
{
	wtc_shmem_add(places_size, places_attach);
}

static PrunePlace *
place_of(uint64 hash)
{
	return &places[(hash >> 8) % PLACES];
}

void
wtc_prune_note(WtcSpan tag, uint64 hash, uint64 added, uint64 ttl_ms)
{
	PrunePlace *p = place_of(hash);
	int64		expired_at;

	if (added == 0)
		return;
	expired_at = wtc_clock_us() + (int64) (ttl_ms + MARGIN_MS) * 1000;
	SpinLockAcquire(&p->mutex);
	if (p->hash != hash && p->weight > added)
		p->weight -= added;
	else
	{
		if (p->hash != hash)
		{
			p->hash = hash;
			p->weight = p->unseen = 0;
			p->first_at = expired_at;
			p->last_at = 0;
			p->len = tag.len < WTC_PRUNE_NAME ? tag.len : 0;
			memcpy(p->name, tag.data, p->len);
		}
		p->weight += added;
		p->unseen += added;
		p->first_at = Min(p->first_at, expired_at);
		p->last_at = Max(p->last_at, expired_at);
	}
	SpinLockRelease(&p->mutex);
}

int
wtc_prune_due(uint64 hash)
{
	PrunePlace *p = place_of(hash);
	int			n = 0;

	SpinLockAcquire(&p->mutex);
	if (p->hash == hash && p->unseen >= PRUNE_EVERY)
	{
		/* twice as many as have come */
		n = (int) Min(2 * p->unseen, WTC_PRUNE_MOST);
		p->unseen -= n / 2;
	}
	SpinLockRelease(&p->mutex);
	return n;
}

bool
wtc_prune_expired(int *pos, char name[WTC_PRUNE_NAME])
{
	int64		now = wtc_clock_us();

	while (*pos < PLACES)
	{
		PrunePlace *p = &places[(*pos)++];
		bool		found;

		SpinLockAcquire(&p->mutex);
		found = p->hash != 0 && p->first_at < now;
		if (found)
		{
			/* few are not worth while */
			found = p->weight >= PRUNE_EVERY && p->len > 0;
			memcpy(name, p->name, p->len);
			name[p->len] = '\0';
			p->first_at = p->last_at;
			if (p->last_at < now)
				p->hash = p->weight = p->unseen = 0;
		}
		SpinLockRelease(&p->mutex);
		if (found)
			return true;
	}
	return false;
}
