/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The shared memory of wtcache: its parts.
 *
 * Each part belongs to a file, which alone knows what it looks like; the
 * others go through the functions of that file.  From _PG_init only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_SHMEM_H
#define WTC_SHARED_SHMEM_H

/*
 * Adds a part of shared memory: how large it is, and what to do with its place
 * in each process; initialise is true in the first one.  Both run during
 * start-up and may raise errors; a part may use those that were added before.
 */
extern void wtc_shmem_add(Size (*size) (void),
						  void (*attach) (void *place, bool initialise));

/* Installs the shared memory hooks. */
extern void wtc_shmem_init(void);

#endif							/* WTC_SHARED_SHMEM_H */
