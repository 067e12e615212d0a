/*-------------------------------------------------------------------------
 *
 * rejected.c
 *	  The keys that Redis has refused to store.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/atomics.h"
#include "shared/rejected.h"
#include "shared/slots.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

typedef struct RejectedList
{
	pg_atomic_uint32 n;			/* how many are listed; changed under mutex */
	/* of the keys; 0: free.  Changed under mutex */
	pg_atomic_uint64 hash[WTC_REJECTED_KEYS];
	slock_t		mutex;			/* over the rest */
	WtcRejected keys[WTC_REJECTED_KEYS];
} RejectedList;

static RejectedList *list = NULL;

Size
wtc_rejected_size(void)
{
	return sizeof(RejectedList);
}

void
wtc_rejected_attach(void *place, bool initialise)
{
	list = place;
	if (!initialise)
		return;
	memset(list, 0, sizeof(*list));
	pg_atomic_init_u32(&list->n, 0);
	for (int i = 0; i < WTC_REJECTED_KEYS; i++)
		pg_atomic_init_u64(&list->hash[i], 0);
	SpinLockInit(&list->mutex);
}

/* The entry of a key, or with 0 a free one; -1: there is none. */
static int
find(uint64 hash)
{
	for (int i = 0; i < WTC_REJECTED_KEYS; i++)
	{
		if (pg_atomic_read_u64(&list->hash[i]) == hash)
			return i;
	}
	return -1;
}

void
wtc_rejected_note(const WtcRejected *rejected)
{
	TimestampTz now = GetCurrentTimestamp();
	int			i;

	SpinLockAcquire(&list->mutex);
	i = find(rejected->hash);
	if (i >= 0)
		now = list->keys[i].since;
	else if ((i = find(0)) >= 0)
		pg_atomic_fetch_add_u32(&list->n, 1);
	if (i >= 0)
	{
		list->keys[i] = *rejected;
		list->keys[i].since = now;
		pg_atomic_write_u64(&list->hash[i], rejected->hash);
	}
	SpinLockRelease(&list->mutex);
	wtc_count(WTC_REJECTED, 1);
	wtc_count(WTC_REJECTED_UNLISTED, i < 0);
}

bool
wtc_rejected_any(void)
{
	return pg_atomic_read_u32(&list->n) > 0;
}

/* The entry is free from now on; the mutex is held. */
static void
free_entry(int i)
{
	if (pg_atomic_read_u64(&list->hash[i]) == 0)
		return;
	pg_atomic_write_u64(&list->hash[i], 0);
	pg_atomic_fetch_sub_u32(&list->n, 1);
}

void
wtc_rejected_clear(uint64 hash)
{
	int			i;

	if (find(hash) < 0)
		return;
	SpinLockAcquire(&list->mutex);
	i = find(hash);
	if (i >= 0)
		free_entry(i);
	SpinLockRelease(&list->mutex);
}

void
wtc_rejected_clear_all(void)
{
	SpinLockAcquire(&list->mutex);
	for (int i = 0; i < WTC_REJECTED_KEYS; i++)
		free_entry(i);
	SpinLockRelease(&list->mutex);
}

bool
wtc_rejected_get(int i, WtcRejected *rejected)
{
	bool		listed;

	SpinLockAcquire(&list->mutex);
	listed = pg_atomic_read_u64(&list->hash[i]) != 0;
	*rejected = list->keys[i];
	SpinLockRelease(&list->mutex);
	return listed;
}

void
wtc_rejected_text(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
	{
		len = size - 1;
		/* not in the middle of a character of UTF-8 */
		while (len > 0 && ((unsigned char) from[len] & 0xC0) == 0x80)
			len--;
	}
	memcpy(to, from, len);
	to[len] = '\0';
}
