/*-------------------------------------------------------------------------
 *
 * shown.c
 *	  What is attached, and what would be written, as values of SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/shown.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

Datum
wtc_shown_texts(char **strings, int n)
{
	Datum	   *elems = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		elems[i] = CStringGetTextDatum(strings[i]);
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

Datum
wtc_shown_ttl(uint64 ms)
{
	Interval   *ttl = palloc0(sizeof(Interval));

	ttl->time = (int64) ms * 1000;
	return IntervalPGetDatum(ttl);
}

char *
wtc_span_string(WtcSpan span)
{
	return pg_any_to_server(pnstrdup(span.data, span.len), (int) span.len,
							PG_UTF8);
}

Datum
wtc_shown_span(WtcSpan span)
{
	return CStringGetTextDatum(wtc_span_string(span));
}

Datum
wtc_shown_list(const WtcList *list)
{
	WtcCursor	cursor = wtc_list_cursor(list);
	char	  **strings = palloc(sizeof(char *) * (list->count + 1));
	WtcSpan		string;
	int			n = 0;

	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &string))
		strings[n++] = wtc_span_string(string);
	return wtc_shown_texts(strings, n);
}
