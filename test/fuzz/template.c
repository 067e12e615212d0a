/*-------------------------------------------------------------------------
 *
 * template.c
 *	  Fuzz target: key and tag templates.
 *
 * The input is a flag, a template, and values for two rows, by NUL bytes.
 * Where the template is to be unambiguous, rows that differ in a column that
 * it names must not make the same text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/template.h"
#include "fuzz.h"

#define NCOLUMNS	5

static const char *const names[NCOLUMNS] = {"a", "b", "gone", "a b", "\xc3\xa9"};

#define GONE		2			/* a column that has been dropped */

typedef struct Row
{
	char	   *texts[NCOLUMNS];	/* NULL: the value is NULL */
	Datum		values[NCOLUMNS];
	bool		isnull[NCOLUMNS];
} Row;

static TupleDesc
make_desc(void)
{
	/* where the attributes stand is the server version's business */
	TupleDesc	desc = palloc0(sizeof(*desc) + NCOLUMNS *
							   (sizeof(FormData_pg_attribute) + 64));

	desc->natts = NCOLUMNS;
	for (int i = 0; i < NCOLUMNS; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		strlcpy(NameStr(att->attname), names[i], NAMEDATALEN);
		att->attnum = i + 1;
		att->attisdropped = i == GONE;
	}
	return desc;
}

/* The text up to the next NUL byte, or to the end; NULL behind that. */
static char *
next_text(const char **p, const char *end)
{
	size_t		len;
	char	   *text;

	if (*p > end)
		return NULL;
	len = strnlen(*p, end - *p);
	text = pnstrdup(*p, len);
	*p += len + 1;
	return text;
}

static char *
output(void *arg, AttrNumber attno, Datum value)
{
	CHECK(attno >= 1 && attno <= NCOLUMNS && attno != GONE + 1);
	return ((Row *) arg)->texts[attno - 1];
}

static bool
render(const WtcTemplate *tpl, Row *row, StringInfo buf)
{
	TupleTableSlot slot = {0};
	bool		whole = true;

	for (int i = 0; i < tpl->nparts; i++)
	{
		AttrNumber	attno = tpl->parts[i].attno;

		if (attno != 0)
			whole = whole && !row->isnull[attno - 1];
	}
	slot.tts_nvalid = NCOLUMNS;
	slot.tts_values = row->values;
	slot.tts_isnull = row->isnull;
	initStringInfo(buf);
	CHECK(wtc_template_render(tpl, &slot, output, row, buf) == whole);
	return whole;
}

/* Do the rows differ in a column that the template names? */
static bool
differ(const WtcTemplate *tpl, Row *rows)
{
	for (int i = 0; i < tpl->nparts; i++)
	{
		AttrNumber	attno = tpl->parts[i].attno;

		if (attno != 0 && strcmp(rows[0].texts[attno - 1],
								 rows[1].texts[attno - 1]) != 0)
			return true;
	}
	return false;
}

static void
check_template(const WtcTemplate *tpl, const char *text, Row *rows,
			   bool unambiguous)
{
	StringInfoData texts[2];

	CHECK(tpl->nparts > 0 && (size_t) tpl->nparts <= strlen(text));
	CHECK(strcmp(tpl->text, text) == 0);
	for (int i = 0; i < tpl->nparts; i++)
		CHECK(tpl->parts[i].attno != 0 || tpl->parts[i].literal[0] != '\0');
	if (!render(tpl, &rows[0], &texts[0]) || !render(tpl, &rows[1], &texts[1]))
		return;
	if (unambiguous && differ(tpl, rows))
		CHECK(strcmp(texts[0].data, texts[1].data) != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *) data + 1;
	const char *end = (const char *) data + size;
	bool		unambiguous;
	char	   *text;
	Row			rows[2] = {0};
	jmp_buf		refused;

	if (size < 1)
		return 0;
	unambiguous = data[0] & 1;
	text = next_text(&p, end);
	for (int i = 0; i < NCOLUMNS; i++)
	{
		/* by turns: what is next to each other is easier to exchange */
		for (int r = 0; r < 2; r++)
		{
			rows[r].texts[i] = i == GONE ? NULL : next_text(&p, end);
			rows[r].isnull[i] = rows[r].texts[i] == NULL;
		}
	}

	fuzz_on_error = &refused;
	if (setjmp(refused) == 0)
	{
		WtcTemplate *tpl = wtc_template_parse(text, make_desc(), unambiguous);

		fuzz_accepted++;
		check_template(tpl, text, rows, unambiguous);
	}
	fuzz_on_error = NULL;
	fuzz_free_all();
	return 0;
}
