/*-------------------------------------------------------------------------
 *
 * meet.c
 *	  Can two key templates make the same key?
 *
 * A template makes texts of a simple form: literal bytes, and between them
 * values, which are any number of bytes out of a set.  The set depends on the
 * type of the column, and on what is percent-encoded.  There is a text of both
 * forms if one can walk from the beginning of both to their ends, with each
 * step over a byte that both allow.  Sets are rather too large than too small, so
 * that a meeting may be feared that cannot happen, but none is missed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "capture/catalog.h"
#include "capture/meet.h"
#include "capture/template.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

/* A set of bytes. */
typedef struct ByteSet
{
	uint64		bits[4];
} ByteSet;

/* A place in a form: one byte, or any number of them. */
typedef struct Place
{
	bool		repeated;
	ByteSet		set;
} Place;

typedef struct Form
{
	int			n;
	Place	   *places;
} Form;

static void
add_bytes(ByteSet *set, const char *bytes)
{
	for (const char *c = bytes; *c; c++)
		set->bits[(uint8) *c / 64] |= UINT64CONST(1) << ((uint8) *c % 64);
}

static bool
have_common_byte(const ByteSet *a, const ByteSet *b)
{
	for (int i = 0; i < lengthof(a->bits); i++)
	{
		if (a->bits[i] & b->bits[i])
			return true;
	}
	return false;
}

/* What the output of a type is made of, with settings as settings.c pins them. */
static const char *
alphabet(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
			return "-0123456789";
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return "+-.0123456789INaefinty";
		case BOOLOID:
			return "ft";
		case UUIDOID:
			return "-0123456789abcdef";
		case BYTEAOID:
			return "0123456789\\abcdefx";
		case DATEOID:
			return " -0123456789BCfinty";
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return " +-.:0123456789BCfinty";
		case TIMEOID:
		case TIMETZOID:
			return "+-.:0123456789";
		default:
			return NULL;
	}
}

/* The bytes of a value as the template writes it. */
static ByteSet
value_bytes(const WtcTemplate *tpl, Oid type)
{
	const char *known = alphabet(type);
	ByteSet		set = {0};
	bool		encoded = false;

	if (known != NULL)
		add_bytes(&set, known);
	else
		memset(&set, 0xff, sizeof(set));
	for (int i = 0; i < lengthof(set.bits); i++)
	{
		encoded |= (set.bits[i] & tpl->escaped[i]) != 0;
		set.bits[i] &= ~tpl->escaped[i];
	}
	if (encoded)
		add_bytes(&set, "%0123456789ABCDEF");
	return set;
}

static Form
form_of(const WtcTemplate *tpl, TupleDesc desc)
{
	Form		form = {0};

	form.places = palloc0(sizeof(Place) * (strlen(tpl->text) + 1));
	for (int i = 0; i < tpl->nparts; i++)
	{
		AttrNumber	attno = tpl->parts[i].attno;

		if (attno > 0)
		{
			form.places[form.n].repeated = true;
			form.places[form.n++].set =
				value_bytes(tpl, TupleDescAttr(desc, attno - 1)->atttypid);
			continue;
		}
		for (const char *c = tpl->parts[i].literal; *c; c++)
		{
			char		byte[2] = {*c, '\0'};

			add_bytes(&form.places[form.n++].set, byte);
		}
	}
	return form;
}

/*
 * here[j]: some text leads before place i of the one form and before place j of
 * the other one.  All that leads there comes earlier; next is that for i + 1.
 */
static bool
forms_meet(const Form *a, const Form *b)
{
	bool	   *here = palloc0(b->n + 1);
	bool	   *next = palloc0(b->n + 1);

	here[0] = true;
	for (int i = 0; i <= a->n; i++)
	{
		const Place *p = i < a->n ? &a->places[i] : NULL;
		bool	   *swap = here;

		CHECK_FOR_INTERRUPTS();
		memset(next, 0, b->n + 1);
		for (int j = 0; j <= b->n; j++)
		{
			const Place *q = j < b->n ? &b->places[j] : NULL;
			bool		step = p != NULL && q != NULL &&
			have_common_byte(&p->set, &q->set);

			if (!here[j])
				continue;
			/* a value ends, or goes on over a byte of the other form */
			if (p != NULL && (p->repeated || (step && q->repeated)))
				next[j] = true;
			if (q != NULL && (q->repeated || (step && p->repeated)))
				here[j + 1] = true;
			if (step && !p->repeated && !q->repeated)
				next[j + 1] = true;
		}
		if (i == a->n)
			break;
		here = next;
		next = swap;
	}
	return here[b->n];
}

bool
wtc_templates_meet(Oid relid, const char *key, Oid other_relid,
				   const char *other_key)
{
	TupleDesc	desc = wtc_catalog_columns(relid);
	TupleDesc	other_desc = wtc_catalog_columns(other_relid);
	Form		form;
	Form		other;

	/* a table that has just been dropped meets nothing */
	if (desc == NULL || other_desc == NULL)
		return false;
	form = form_of(wtc_template_parse(key, desc, true), desc);
	other = form_of(wtc_template_parse(other_key, other_desc, true), other_desc);
	return forms_meet(&form, &other);
}
