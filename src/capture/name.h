/*-------------------------------------------------------------------------
 *
 * name.h
 *	  Names in templates and lists of columns: bare, or in double quotes, within
 *	  which a double quote stands twice, as in SQL.
 *
 * Raises no error but for lack of memory, which belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_NAME_H
#define WTC_CAPTURE_NAME_H

#include "lib/stringinfo.h"

/*
 * The name that begins at *p, palloc'd, which may be empty; a bare one ends before
 * the character end, or with the text.  *p is set behind it.  NULL: its quotes are
 * not closed.
 */
extern char *wtc_name_read(const char **p, char end);

/* Appends a name in quotes. */
extern void wtc_name_quote(StringInfo buf, const char *name);

#endif							/* WTC_CAPTURE_NAME_H */
