/*-------------------------------------------------------------------------
 *
 * twophase.h
 *	  Noticing COMMIT PREPARED.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_TXN_TWOPHASE_H
#define WTC_TXN_TWOPHASE_H

/* Installs the hook; from _PG_init only. */
extern void wtc_twophase_init(void);

#endif							/* WTC_TXN_TWOPHASE_H */
