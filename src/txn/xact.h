/*-------------------------------------------------------------------------
 *
 * xact.h
 *	  The transaction callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_XACT_H
#define WTC_TXN_XACT_H

/* Registers the callbacks; from _PG_init only. */
extern void wtc_xact_init(void);

#endif							/* WTC_TXN_XACT_H */
