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
#include "shared/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

typedef struct RejectedList
{
	pg_atomic_uint32 n;			/* how many are listed; changed under mutex */
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
	SpinLockInit(&list->mutex);
}

/* The entry of a key, or with 0 a free one; NULL: there is none. */
static WtcRejected *
find(uint64 hash)
{
	for (int i = 0; i < WTC_REJECTED_KEYS; i++)
	{
		if (list->keys[i].hash == hash)
			return &list->keys[i];
	}
	return NULL;
}

void
wtc_rejected_note(const WtcRejected *rejected)
{
	TimestampTz now = GetCurrentTimestamp();
	WtcRejected *entry;
	bool		fits;

	SpinLockAcquire(&list->mutex);
	entry = find(rejected->hash);
	if (entry != NULL)
		now = entry->since;
	else if ((entry = find(0)) != NULL)
		pg_atomic_fetch_add_u32(&list->n, 1);
	fits = entry != NULL;
	if (fits)
	{
		*entry = *rejected;
		entry->since = now;
	}
	SpinLockRelease(&list->mutex);
	wtc_count(WTC_REJECTED, 1);
	if (!fits)
		wtc_count(WTC_REJECTED_UNLISTED, 1);
}

bool
wtc_rejected_any(void)
{
	return pg_atomic_read_u32(&list->n) > 0;
}

void
wtc_rejected_clear(uint64 hash)
{
	WtcRejected *entry;

	SpinLockAcquire(&list->mutex);
	entry = find(hash);
	if (entry != NULL)
	{
		entry->hash = 0;
		pg_atomic_fetch_sub_u32(&list->n, 1);
	}
	SpinLockRelease(&list->mutex);
}

void
wtc_rejected_clear_all(void)
{
	SpinLockAcquire(&list->mutex);
	for (int i = 0; i < WTC_REJECTED_KEYS; i++)
		list->keys[i].hash = 0;
	pg_atomic_write_u32(&list->n, 0);
	SpinLockRelease(&list->mutex);
}

bool
wtc_rejected_get(int i, WtcRejected *rejected)
{
	SpinLockAcquire(&list->mutex);
	*rejected = list->keys[i];
	SpinLockRelease(&list->mutex);
	return rejected->hash != 0;
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
