/*-------------------------------------------------------------------------
 *
 * template.h
 *	  Texts with {column} placeholders: keys and tags.
 *
 * "{{" and "}}" stand for braces.  Everything here may raise an error and
 * belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_TEMPLATE_H
#define WTC_CAPTURE_TEMPLATE_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"

typedef struct WtcTemplate
{
	const char *text;			/* as it was given */
	Bitmapset  *columns;		/* attribute numbers named */
	uint64		escaped[4];		/* set of bytes to percent-encode in values */
	int			nparts;
	struct
	{
		AttrNumber	attno;		/* 0: literal */
		const char *literal;
	}			parts[FLEXIBLE_ARRAY_MEMBER];
} WtcTemplate;

/* Writes a column of the row in its output form; the callers' business. */
typedef char *(*WtcColumnOutput) (void *arg, AttrNumber attno, Datum value);

/*
 * Parses text, for rows of this kind, into the current memory context.
 * Raises an error when it is malformed or names a column that is not there.
 *
 * With unambiguous, different values always make different texts: between
 * two placeholders there must be literal text, and in the values '%' and
 * what that text is made of are percent-encoded.
 */
extern WtcTemplate *wtc_template_parse(const char *text, TupleDesc desc,
									   bool unambiguous);

/*
 * Appends the text for a row to buf.  False, and nothing useful in buf, if a
 * column is NULL.
 */
extern bool wtc_template_render(const WtcTemplate *tpl, TupleTableSlot *slot,
								WtcColumnOutput output, void *arg,
								StringInfo buf);

/* Appends a value as the template writes it: encoded, if it has to be. */
extern void wtc_template_append_value(const WtcTemplate *tpl,
									  const char *value, StringInfo buf);

/* Does one of them name this column? */
extern bool wtc_templates_use(WtcTemplate *const *templates, int n,
							  AttrNumber attno);

/* The template after a column was renamed; a copy of it at least. */
extern char *wtc_template_rename(const char *text, const char *from,
								 const char *to);

/* The default key: the relation's name, then the key columns, by colons. */
extern char *wtc_template_default_key(const char *relname, TupleDesc desc,
									  const AttrNumber *columns, int ncolumns);

#endif							/* WTC_CAPTURE_TEMPLATE_H */
