/*-------------------------------------------------------------------------
 *
 * touched.h
 *	  The documents that the current transaction has changed parts of.
 *
 * A set of names, which document/ knows the meaning of: the OID of a document's
 * trigger, and the key of its root row as bytes.  Savepoints are followed: what
 * only a subtransaction has touched that is rolled back is not in it.  Everything
 * here may raise an error and belongs before the commit record, except for
 * wtc_touched_reset().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_TOUCHED_H
#define WTC_TXN_TOUCHED_H

#include "change/batch.h"
#include "nodes/pg_list.h"

typedef struct WtcTouched
{
	Oid			document;
	uint32		hash;
	int			nestlevel;		/* of the outermost subtransaction that did it */
	WtcList		left;			/* tags of root rows that have been replaced */
	WtcSpan		key;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];	/* of key */
} WtcTouched;

/* That one, or NULL. */
extern WtcTouched *wtc_touched_find(Oid document, WtcSpan key);

/* Adds it, unless it is there, in the current subtransaction. */
extern WtcTouched *wtc_touched_add(Oid document, WtcSpan key);

/* Remembers tags that it may be in the sets of. */
extern void wtc_touched_leave(WtcTouched *touched, const WtcList *tags);

/* How many there are. */
extern int	wtc_touched_count(void);

/* All of them; palloc'd, of WtcTouched. */
extern List *wtc_touched_all(void);

/* A subtransaction ends; nestlevel is its own. */
extern void wtc_touched_subcommit(int nestlevel);
extern void wtc_touched_subabort(int nestlevel);

/* Forgets all, raising nothing. */
extern void wtc_touched_reset(void);

#endif							/* WTC_TXN_TOUCHED_H */
