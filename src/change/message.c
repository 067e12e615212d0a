/*-------------------------------------------------------------------------
 *
 * message.c
 *	  Writing and reading the message in WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "change/message.h"

#define FORM_OWN		'o'
#define FORM_NAMED		'n'

#define ESCAPE			'~'
#define SIXBIT_ZERO		'0'

/* so many bytes that need no escape end a stretch of those that do */
#define PLAIN_BYTES		3

static inline bool
is_binary(char c)
{
	return c == '\0' || IS_HIGHBIT_SET(c);
}

/* The first byte that does not stand for itself; eight at a time. */
static const char *
skip_plain(const char *p, const char *end)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	const uint64 highs = UINT64CONST(0x8080808080808080);

	for (; end - p >= 8; p += 8)
	{
		uint64		word;
		uint64		other;

		/* subtracting one carries into the high bit of a byte that is zero */
		memcpy(&word, p, 8);
		other = word ^ (ones * ESCAPE);
		if (((word | (word - ones) | (other - ones)) & highs) != 0)
			break;
	}
	while (p < end && *p != ESCAPE && !is_binary(*p))
		p++;
	return p;
}

/* The end of a stretch of bytes that begins with one that is binary. */
static const char *
skip_binary(const char *p, const char *end)
{
	const char *last = p;

	while (++p < end && p - last <= PLAIN_BYTES)
	{
		if (is_binary(*p))
			last = p;
	}
	return last + 1;
}

char *
wtc_put_sixbit(char *to, const uint8 *data, size_t len)
{
	uint32		bits = 0;
	int			n = 0;

	while (len-- > 0)
	{
		bits = bits << 8 | *data++;
		for (n += 8; n >= 6; n -= 6)
			*to++ = SIXBIT_ZERO + (bits >> (n - 6) & 0x3f);
	}
	if (n > 0)
		*to++ = SIXBIT_ZERO + (bits << (6 - n) & 0x3f);
	return to;
}

/*
 * Reads characters of six bits up to the escape that ends them.  What they
 * stand for is shorter than they are, so it may be written over them.  Returns
 * the end of what has been written; NULL: they are malformed.
 */
static char *
get_sixbit(char *to, char **from, const char *end)
{
	uint32		bits = 0;
	int			n = 0;

	for (; *from < end && **from != ESCAPE; (*from)++)
	{
		uint32		digit = (uint8) **from - SIXBIT_ZERO;

		if (digit > 0x3f)
			return NULL;
		bits = bits << 6 | digit;
		n += 6;
		if (n >= 8)
		{
			n -= 8;
			*to++ = (char) (bits >> n);
		}
	}
	if (*from >= end || n >= 6)
		return NULL;
	(*from)++;
	return to;
}

static void
put_escaped(StringInfo buf, const char *p, size_t len)
{
	const char *end = p + len;

	enlargeStringInfo(buf, len);
	while (p < end)
	{
		const char *next = skip_plain(p, end);

		appendBinaryStringInfo(buf, p, next - p);
		p = next;
		if (p >= end)
			break;
		if (*p == ESCAPE)
		{
			appendStringInfoCharMacro(buf, ESCAPE);
			appendStringInfoCharMacro(buf, ESCAPE);
			p++;
			continue;
		}
		next = skip_binary(p, end);
		appendStringInfoCharMacro(buf, ESCAPE);
		enlargeStringInfo(buf, (next - p) / 3 * 4 + 4);
		buf->len = wtc_put_sixbit(buf->data + buf->len, (const uint8 *) p,
								  next - p) - buf->data;
		appendStringInfoCharMacro(buf, ESCAPE);
		p = next;
	}
}

/* In place; false: the bytes are malformed. */
static bool
get_escaped(char *data, size_t *len)
{
	const char *end = data + *len;
	char	   *from = memchr(data, ESCAPE, *len);
	char	   *to = from;

	while (from != NULL && from < end)
	{
		char	   *next;

		if (*from != ESCAPE)
		{
			next = memchr(from, ESCAPE, end - from);
			if (next == NULL)
				next = (char *) end;
			memmove(to, from, next - from);
			to += next - from;
			from = next;
			continue;
		}
		from++;
		if (from < end && *from == ESCAPE)
			*to++ = *from++;
		else if ((to = get_sixbit(to, &from, end)) == NULL)
			return false;
	}
	if (to != NULL)
		*len = to - data;
	return true;
}

void
wtc_put_message(StringInfo buf, const WtcMessage *message)
{
	appendStringInfoSpaces(buf, WTC_CODE_CHARS);
	if (TransactionIdIsValid(message->xid))
	{
		appendStringInfoCharMacro(buf, FORM_NAMED);
		wtc_put_number(buf, message->xid);
		wtc_put_number(buf, message->lsn);
	}
	else
		appendStringInfoCharMacro(buf, FORM_OWN);
	put_escaped(buf, message->batch.data, message->batch.len);
}

bool
wtc_get_message(char *data, size_t len, WtcMessage *message)
{
	WtcCursor	cursor = {data, data + len};
	WtcOperation op;
	uint64		xid = InvalidTransactionId;
	uint64		lsn = 0;
	char		form;

	if (len <= WTC_CODE_CHARS)
		return false;
	form = data[WTC_CODE_CHARS];
	cursor.p += WTC_CODE_CHARS + 1;
	if (form == FORM_NAMED)
	{
		if (!wtc_get_number(&cursor, &xid) ||
			!wtc_get_number(&cursor, &lsn) ||
			xid > PG_UINT32_MAX || !TransactionIdIsNormal((TransactionId) xid) ||
			lsn == InvalidXLogRecPtr)
			return false;
	}
	else if (form != FORM_OWN)
		return false;

	len = cursor.end - cursor.p;
	if (!get_escaped(data + (cursor.p - data), &len))
		return false;
	message->xid = (TransactionId) xid;
	message->lsn = lsn;
	message->batch.data = cursor.p;
	message->batch.len = (uint32) len;

	if (!wtc_batch_open(&cursor, message->batch.data, message->batch.len))
		return false;
	while (!wtc_cursor_done(&cursor))
	{
		if (!wtc_get_operation(&cursor, &op))
			return false;
	}
	return true;
}
