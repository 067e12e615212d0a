/*-------------------------------------------------------------------------
 *
 * verify_keys.h
 *	  Taking keys apart: from a name in Redis to the values in it.
 *
 * Everything here allocates in the current memory context and may raise an
 * error.  Texts are in the server's encoding, without wtcache.key_prefix;
 * names in Redis are in UTF-8, with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_BULK_VERIFY_KEYS_H
#define WTC_BULK_VERIFY_KEYS_H

#include "capture/template.h"
#include "change/batch.h"

/* A key template, and the columns that it names. */
typedef struct WtcKeyForm
{
	const WtcTemplate *tpl;
	int			ncolumns;
	AttrNumber *columns;
} WtcKeyForm;

extern void wtc_key_form_init(WtcKeyForm *form, const WtcTemplate *tpl);

/* The text of a name; NULL: it is none that wtcache could have made. */
extern char *wtc_key_text(WtcSpan name);

/* The values, by column, that make the text; NULL: none do. */
extern char **wtc_key_values(const WtcKeyForm *form, const char *text);

#endif							/* WTC_BULK_VERIFY_KEYS_H */
