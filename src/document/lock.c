/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  Locks on documents.
 *
 * They are advisory locks in spaces of our own, and those in shared mode survive
 * PREPARE TRANSACTION like any other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "attempt.h"
#include "common/hashfn.h"
#include "compat.h"
#include "document/lock.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "redis/conn.h"
#include "shared/waits.h"
#include "storage/lock.h"

/* objsubid in pg_locks; users' have 1 and 2 */
typedef enum LockSpace
{
	SPACE_DEFINITION = 30581,
	SPACE_DOCUMENT,
	SPACE_TAG,
	SPACE_ALL_TAGS
} LockSpace;

/* between two tries, in microseconds: from this on, doubled, up to that */
#define FIRST_PAUSE_US	50
#define LONGEST_PAUSE_US	1000

#define FOREVER	PG_INT64_MAX

static LOCKTAG
tag_of(LockSpace space, uint64 number)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (number >> 32),
						 (uint32) number, space);
	return tag;
}

static uint64
number_of(const char *data, size_t len, uint64 seed)
{
	return hash_bytes_extended((const unsigned char *) data, (int) len, seed);
}

uint64
wtc_document_lock_number(const char *name, WtcSpan texts)
{
	return number_of(texts.data, texts.len, number_of(name, strlen(name), 0));
}

static LOCKTAG
definition_tag(const char *name)
{
	return tag_of(SPACE_DEFINITION, number_of(name, strlen(name), 0));
}

static bool
take(const LOCKTAG *tag, LOCKMODE mode)
{
	return LockAcquire(tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* False: not by the deadline. */
static bool
take_by(const LOCKTAG *tag, LOCKMODE mode, int64 deadline_us)
{
	int			pause_us = FIRST_PAUSE_US;
	bool		taken = take(tag, mode);

	if (taken)
		return true;
	pgstat_report_wait_start(wtc_wait_document);
	while (!(taken = take(tag, mode)) && wtc_clock_us() < deadline_us)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(pause_us);
		pause_us = Min(pause_us * 2, LONGEST_PAUSE_US);
	}
	pgstat_report_wait_end();
	return taken;
}

bool
wtc_document_lock_to_build(const char *name, uint64 number, int64 deadline_us)
{
	LOCKTAG		all = definition_tag(name);
	LOCKTAG		one = tag_of(SPACE_DOCUMENT, number);

	/* whoever has that will not be done soon */
	if (!take(&all, RowExclusiveLock))
		return false;
	if (take_by(&one, ExclusiveLock, deadline_us))
		return true;
	(void) LockRelease(&all, RowExclusiveLock, false);
	return false;
}

void
wtc_document_lock_to_delete(uint64 number)
{
	LOCKTAG		one = tag_of(SPACE_DOCUMENT, number);

	(void) take_by(&one, ShareLock, FOREVER);
}

void
wtc_document_lock_built(const char *name, uint64 number)
{
	LOCKTAG		all = definition_tag(name);
	LOCKTAG		one = tag_of(SPACE_DOCUMENT, number);

	/* no other process has it */
	(void) LockAcquire(&one, ShareLock, false, false);
	(void) LockRelease(&one, ExclusiveLock, false);
	(void) LockRelease(&all, RowExclusiveLock, false);
}

static void
wait_in_queue(void *arg)
{
	(void) LockAcquire((LOCKTAG *) arg, ShareLock, false, false);
}

/*
 * In the queue, lest builders that come one after the other let it wait for ever.
 * A builder may in its turn wait for a table that this transaction has locked, but
 * not for long: a deadlock goes away.
 */
static void
take_from_builders(LOCKTAG *tag)
{
	ErrorData  *error;

	if (take(tag, ShareLock))
		return;
	while ((error = wtc_attempt(wait_in_queue, tag)) != NULL)
	{
		if (error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED &&
			error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		FreeErrorData(error);
	}
}

bool
wtc_document_all_locked(const char *name)
{
	LOCKTAG		all = definition_tag(name);

	return wtc_lock_held(&all, ShareLock);
}

void
wtc_document_lock_all(const char *name)
{
	LOCKTAG		all = definition_tag(name);

	if (!wtc_lock_held(&all, ShareLock))
		take_from_builders(&all);
}

/*
 * Tags
 */

static LOCKTAG
lock_of_tag(WtcSpan tag)
{
	return tag_of(SPACE_TAG, number_of(tag.data, tag.len, 0));
}

/* Builders hold a tag's lock to their end, but wait for no other one by then. */
void
wtc_document_lock_invalidated(WtcSpan tag)
{
	LOCKTAG		lock = lock_of_tag(tag);

	(void) take_by(&lock, ShareLock, FOREVER);
}

void
wtc_document_lock_all_tags(void)
{
	LOCKTAG		all = tag_of(SPACE_ALL_TAGS, 0);

	take_from_builders(&all);
}

bool
wtc_document_lock_tag(WtcSpan tag)
{
	LOCKTAG		all = tag_of(SPACE_ALL_TAGS, 0);
	LOCKTAG		lock = lock_of_tag(tag);

	return (wtc_lock_held(&all, RowExclusiveLock) ||
			take(&all, RowExclusiveLock)) &&
		(wtc_lock_held(&lock, RowExclusiveLock) ||
		 take(&lock, RowExclusiveLock));
}

bool
wtc_document_tag_is_locked(WtcSpan tag)
{
	LOCKTAG		lock = lock_of_tag(tag);

	return wtc_lock_held(&lock, RowExclusiveLock);
}
