/*-------------------------------------------------------------------------
 *
 * shown.h
 *	  What is attached, and what would be written, as values of SQL.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_SHOWN_H
#define WTC_API_SHOWN_H

#include "change/batch.h"

/* text[], interval */
extern Datum wtc_shown_texts(char **strings, int n);
extern Datum wtc_shown_ttl(uint64 ms);

/* What is UTF-8 by then, in the server's encoding again; as text, and text[]. */
extern char *wtc_span_string(WtcSpan span);
extern Datum wtc_shown_span(WtcSpan span);
extern Datum wtc_shown_list(const WtcList *list);

#endif							/* WTC_API_SHOWN_H */
