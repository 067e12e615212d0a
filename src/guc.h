/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  The settings.  See guc.c for what each means.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_GUC_H
#define WTC_GUC_H

/* How a commit gets into the cache. */
typedef enum WtcMode
{
	WTC_MODE_WRITE_THROUGH,		/* before COMMIT returns */
	WTC_MODE_ASYNC				/* soon after */
} WtcMode;

/* Is there a journal in Redis of what was stored lately? */
typedef enum WtcJournal
{
	WTC_JOURNAL_AUTO,			/* as soon as there is a standby */
	WTC_JOURNAL_OFF,
	WTC_JOURNAL_ON
} WtcJournal;

extern int	wtc_batch_memory;	/* kB */
extern int	wtc_breaker_cooldown;	/* ms */
extern int	wtc_breaker_failures;
extern char *wtc_cold_pattern;
extern int	wtc_connect_timeout;	/* ms */
extern bool wtc_debug_hold_push;
extern int	wtc_default_ttl;	/* s */
extern int	wtc_document_limit;
extern int	wtc_document_lock_timeout;	/* ms */
extern bool wtc_enabled;
extern int	wtc_heal_window;	/* s */
extern int	wtc_journal;		/* WtcJournal */
extern char *wtc_key_prefix;
extern int	wtc_lease_ttl;		/* ms */
extern bool wtc_leases;
extern int	wtc_max_image_size;
extern int	wtc_max_wal_retained;	/* MB; -1: no limit */
extern int	wtc_mode;			/* WtcMode */
extern char *wtc_password_file;
extern int	wtc_push_timeout;	/* ms */
extern char *wtc_tag_prefix;
extern int	wtc_ttl_jitter;		/* per cent */
extern char *wtc_url;
extern int	wtc_version_memory; /* kB */

/* grows whenever a setting changes that an open connection depends on */
extern uint64 wtc_endpoint_generation;

/* Defines the settings; from _PG_init only. */
extern void wtc_guc_init(void);

#endif							/* WTC_GUC_H */
