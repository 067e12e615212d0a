/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  Pinning the settings that output functions depend on.
 *
 * Two sessions must build the same key and the same image of a row, whatever
 * their settings are: a key that one of them stored has to be found by the other
 * one, to be replaced or deleted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_SETTINGS_H
#define WTC_CAPTURE_SETTINGS_H

#include "pgtime.h"

typedef struct WtcPinned
{
	int			date_style;
	int			interval_style;
	int			float_digits;
	int			bytea_format;
	pg_tz	   *timezone;
	int			guc_level;		/* 0: none was opened */
} WtcPinned;

/*
 * Pins; wtc_unpin_settings() must follow, also after an error.  exotic also
 * pins what needs the machinery of guc.c: search_path, lc_monetary and
 * quoting.  May raise an error and belongs before the commit record.
 */
extern void wtc_pin_settings(WtcPinned *saved, bool exotic);
extern void wtc_unpin_settings(const WtcPinned *saved);

/* Is a type's output free of what only exotic pins? */
extern bool wtc_type_is_plain(Oid type);

#endif							/* WTC_CAPTURE_SETTINGS_H */
