/*-------------------------------------------------------------------------
 *
 * roots.h
 *	  Reading the roots of a document, some at a time.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_ROOTS_H
#define WTC_BULK_ROOTS_H

#include "document/document.h"

/*
 * The document of a name, whose root is locked as by a writer: it stays what it is.
 * An error unless the current user owns the root.
 */
extern WtcDocument *wtc_open_document(const char *name, Relation *root);

/*
 * Up to limit keys of roots, as texts, behind the one given (of no length: from the
 * first one on), in the order of the primary key; palloc'd.  Within SPI.
 */
extern WtcSpan *wtc_read_roots(const WtcDocument *doc, WtcSpan after, int limit,
							   int *n);

#endif							/* WTC_BULK_ROOTS_H */
