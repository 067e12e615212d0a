/*-------------------------------------------------------------------------
 *
 * cache.h
 *	  The documents and parts that this backend has decoded.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_CACHE_H
#define WTC_DOCUMENT_CACHE_H

#include "document/document.h"

/*
 * The document of a trigger; NULL: it has been dropped.  It stays until the
 * transaction ends.  No lock is taken.
 */
extern WtcDocument *wtc_document_get(Oid trigger);


/* The part of a trigger. */
extern WtcPart *wtc_part_get(Relation rel, const Trigger *trigger);

/* Are there documents that carry tags? */
extern bool wtc_documents_carry_tags(void);

#endif							/* WTC_DOCUMENT_CACHE_H */
