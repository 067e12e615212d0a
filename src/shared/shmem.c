/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  The shared memory of wtcache: its parts, one behind the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "shared/shmem.h"
#include "shared/waits.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

static shmem_request_hook_type prev_request = NULL;
static shmem_startup_hook_type prev_startup = NULL;

/* A part of shared memory that another file owns. */
typedef struct Part
{
	Size		(*size) (void);
	void		(*attach) (void *place, bool initialise);
} Part;

#define MAX_PARTS		20

static Part parts[MAX_PARTS];
static int	nparts = 0;

void
wtc_shmem_add(Size (*size) (void), void (*attach) (void *, bool))
{
	Assert(nparts < MAX_PARTS);
	parts[nparts].size = size;
	parts[nparts].attach = attach;
	nparts++;
}

static Size
shmem_size(void)
{
	Size		size = 0;

	for (int i = 0; i < nparts; i++)
		size = add_size(size, CACHELINEALIGN(parts[i].size()));
	return size;
}

static void
attach_parts(char *place, bool initialise)
{
	for (int i = 0; i < nparts; i++)
	{
		parts[i].attach(place, initialise);
		place += CACHELINEALIGN(parts[i].size());
	}
}

/* may raise: not after the commit record */
static void
shmem_request(void)
{
	if (prev_request)
		prev_request();
	RequestAddinShmemSpace(shmem_size());
}

/* may raise: not after the commit record */
static void
shmem_startup(void)
{
	char	   *place;
	bool		found;

	if (prev_startup)
		prev_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	place = ShmemInitStruct("wtcache", shmem_size(), &found);
	attach_parts(place, !found);
	LWLockRelease(AddinShmemInitLock);
	wtc_waits_init();
}

void
wtc_shmem_init(void)
{
	prev_request = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_startup = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}
