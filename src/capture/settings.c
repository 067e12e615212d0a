/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Pinning the settings that output functions depend on.
 *
 * postgres_fdw opens a GUC nesting level around every batch of rows.  A
 * trigger is called for each row, and setting TimeZone alone would cost more
 * than the image; so the five settings that ordinary types look at are
 * swapped as the plain variables that they are, and only tables with other
 * types pay for a nesting level.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/settings.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
wtc_pin_settings(WtcPinned *saved, bool exotic)
{
	static pg_tz *utc = NULL;

	if (utc == NULL)
		utc = pg_tzset("UTC");

	saved->date_style = DateStyle;
	saved->interval_style = IntervalStyle;
	saved->float_digits = extra_float_digits;
	saved->bytea_format = bytea_output;
	saved->timezone = session_timezone;
	saved->guc_level = 0;

	if (exotic)
	{
		saved->guc_level = NewGUCNestLevel();
		/* unless named, pg_temp would be searched first */
		set_local("search_path", "pg_catalog, pg_temp");
		set_local("lc_monetary", "C");
		set_local("quote_all_identifiers", "off");
		set_local("xmlbinary", "base64");
	}

	DateStyle = USE_ISO_DATES;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	bytea_output = BYTEA_OUTPUT_HEX;
	session_timezone = utc;
}

void
wtc_unpin_settings(const WtcPinned *saved)
{
	DateStyle = saved->date_style;
	IntervalStyle = saved->interval_style;
	extra_float_digits = saved->float_digits;
	bytea_output = saved->bytea_format;
	session_timezone = saved->timezone;

	/* after an error this is also done by the abort; it does no harm twice */
	if (saved->guc_level > 0)
		AtEOXact_GUC(true, saved->guc_level);
}

/* As row_to_json() looks for it. */
static bool
has_json_cast(Oid type)
{
	Oid			function;

	return find_coercion_pathway(JSONOID, type, COERCION_EXPLICIT,
								 &function) == COERCION_PATH_FUNC;
}

bool
wtc_type_is_plain(Oid type)
{
	Oid			element;

	type = getBaseType(type);
	element = get_element_type(type);
	if (OidIsValid(element))
		type = getBaseType(element);

	switch (type)
	{
		case BOOLOID:
		case BYTEAOID:
		case CHAROID:
		case NAMEOID:
		case INT8OID:
		case INT2OID:
		case INT4OID:
		case TEXTOID:
		case OIDOID:
		case JSONOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case MACADDROID:
		case INETOID:
		case CIDROID:
		case BPCHAROID:
		case VARCHAROID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case TIMETZOID:
		case NUMERICOID:
		case UUIDOID:
		case JSONBOID:
			return true;
		default:
			return get_typtype(type) == TYPTYPE_ENUM && !has_json_cast(type);
	}
}
