/*-------------------------------------------------------------------------
 *
 * prepared.h
 *	  What prepared transactions have done for each table, until they end.
 *
 * Whoever commits a prepared transaction, in whatever session, counts its
 * operations; nothing of the transaction is in his memory.  So whoever prepares
 * leaves the numbers in shared memory, under the transaction's gid.  There is
 * room for all that can be prepared.  They do not survive a restart of the
 * server: what was prepared before it is not counted.
 *
 * Raises nothing, allocates nothing and takes no lock: callable on either side
 * of the record of the prepare or of the commit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_PREPARED_H
#define WTC_SHARED_PREPARED_H

#include "access/xact.h"
#include "shared/stats.h"

/* How many tables of a transaction are kept apart. */
#define WTC_PREPARED_TABLES		16

typedef struct WtcPrepared
{
	char		gid[GIDSIZE];
	uint64		operations;		/* all of them */
	uint64		unlisted;		/* those of further tables */
	int			ntables;
	struct
	{
		Oid			relid;
		uint64		n[WTC_TABLE_COUNTERS];
	}			tables[WTC_PREPARED_TABLES];
} WtcPrepared;

/* For wtc_shmem_add(). */
extern Size wtc_prepared_size(void);
extern void wtc_prepared_attach(void *place, bool initialise);

/* Keeps a copy; false: there is no room. */
extern bool wtc_prepared_keep(const WtcPrepared *what);

/* The one with this gid, which is kept no longer; false: there is none. */
extern bool wtc_prepared_take(const char *gid, WtcPrepared *what);

#endif							/* WTC_SHARED_PREPARED_H */
