/*-------------------------------------------------------------------------
 *
 * field.h
 *	  The fields of an image: what each is called, and how its value is
 *	  written.
 *
 * A field is given as a text: the name of a column, or
 *
 *	  name=column
 *
 * with the name that it has in the image.  Each name is bare or quoted as SQL
 * does; a bare first one ends before an equals sign, and a bare last one at the
 * end of the text.  Or it is
 *
 *	  name=(expression)
 *
 * which is kept beside the condition (see condition.c), and in the arguments of a
 * trigger is just "name=()".
 *
 * Everything here allocates in the current memory context, may raise an error
 * and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_FIELD_H
#define WTC_CAPTURE_FIELD_H

#include "access/tupdesc.h"
#include "fmgr.h"
#include "nodes/execnodes.h"

/* A text in its parts. */
typedef struct WtcFieldText
{
	char	   *name;			/* in the image */
	char	   *column;			/* NULL: an expression */
	char	   *expression;		/* between the parentheses */
	bool		renamed;		/* a name was given */
} WtcFieldText;

/* False if the text is not of that form. */
extern bool wtc_field_parse(const char *text, WtcFieldText *parts);

/* The text for these parts, quoted where it has to be. */
extern char *wtc_field_text(const WtcFieldText *parts);

/*
 * What tells versions of a row: a column, whose name is bare or quoted, or the
 * word WTC_VERSION_LSN.  NULL: it is not of that form.
 */
#define WTC_VERSION_LSN		"lsn"
extern char *wtc_version_column(const char *text);

/* The text for a column. */
extern char *wtc_version_text(const char *column);

/* What is to be written otherwise than PostgreSQL does; bits. */
typedef enum WtcShape
{
	WTC_UTC_TIMESTAMPS = 1,		/* as ISO 8601 with a Z */
	WTC_TEXT_NUMBERS = 2,		/* bigint and numeric as JSON strings */
	WTC_WORD_BOOLEANS = 4		/* true and false instead of t and f */
} WtcShape;

/* The words of the argument shape, by turns; NULL: there are no more. */
extern const char *wtc_shape_word(int i);

/* The bit of such a word; 0: it is none. */
extern int	wtc_shape_bit(const char *word);

typedef enum WtcWriting
{
	WTC_AS_IS,
	WTC_AS_NUMBER_TEXT,
	WTC_AS_UTC,
	WTC_AS_WORD
} WtcWriting;

typedef struct WtcField
{
	AttrNumber	attno;			/* 0: an expression */
	const char *name;
	Oid			type;			/* of the value */
	ExprState  *state;			/* of the expression; NULL: no image can be
								 * made */
	WtcWriting	writing;

	/*
	 * of a value, or of the elements of an array, if it is not written as it
	 * is
	 */
	Oid			element;		/* InvalidOid: it is no array */
	int16		typlen;
	bool		typbyval;
	char		typalign;
	FmgrInfo	output;
} WtcField;

/* Finds out how a field is written; its type is known. */
extern void wtc_field_prepare(WtcField *field, int shape);

/* The type that its value is written as. */
extern Oid	wtc_field_type(const WtcField *field);

/* A value as one of that type; settings are pinned. */
extern Datum wtc_field_value(WtcField *field, Datum value);

#endif							/* WTC_CAPTURE_FIELD_H */
