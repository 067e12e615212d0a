/*-------------------------------------------------------------------------
 *
 * build.h
 *	  Building documents at the end of a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_DOCUMENT_BUILD_H
#define WTC_DOCUMENT_BUILD_H

/* Tells txn/ that there are documents; from _PG_init only. */
extern void wtc_documents_init(void);

#endif							/* WTC_DOCUMENT_BUILD_H */
