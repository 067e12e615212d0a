/*-------------------------------------------------------------------------
 *
 * name.c
 *	  Names in templates and lists of columns.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/name.h"

char *
wtc_name_read(const char **p, char end)
{
	StringInfoData name;
	const char *c = *p;
	bool		quoted = *c == '"';
	bool		closed = !quoted;

	initStringInfo(&name);
	for (c += quoted; *c; c++)
	{
		if (!quoted && *c == end)
			break;
		if (quoted && *c == '"' && *++c != '"')
		{
			closed = true;
			break;
		}
		appendStringInfoChar(&name, *c);
	}
	*p = c;
	return closed ? name.data : NULL;
}

void
wtc_name_quote(StringInfo buf, const char *name)
{
	appendStringInfoChar(buf, '"');
	for (const char *c = name; *c; c++)
	{
		if (*c == '"')
			appendStringInfoChar(buf, *c);
		appendStringInfoChar(buf, *c);
	}
	appendStringInfoChar(buf, '"');
}
