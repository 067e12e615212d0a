/*-------------------------------------------------------------------------
 *
 * words.c
 *	  What was said when talking to Redis failed.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <string.h>

#include "redis/words.h"

/* the last failure of this process */
static WtcStatus kept_for = WTC_OK;
static char kept[WTC_SAID_LEN];
static bool held = false;

/* Texts, as memory. */
typedef struct Text
{
	const char *at;
	const char *end;
} Text;

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9');
}

/* Does the text go on with this? */
static bool
goes_on(Text t, const char *with)
{
	size_t		len = strlen(with);

	return (size_t) (t.end - t.at) >= len && memcmp(t.at, with, len) == 0;
}

/* How many bytes the valid UTF-8 character has that begins here; 0: none does. */
static int
character(Text t)
{
	const unsigned char *s = (const unsigned char *) t.at;
	int			len = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 :
		s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;

	if (len > t.end - t.at)
		return 0;
	for (int i = 1; i < len; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	}
	/* too long a form, a surrogate, or beyond the last one */
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] >= 0xA0) ||
		(s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] >= 0x90))
		return 0;
	return len;
}

/* Is what is quoted here the name of a command?  close is set to its end. */
static bool
quotes_command(Text t, const char *begin, const char **close)
{
	static const char before[] = "command ";
	size_t		len = sizeof(before) - 1;
	const char *p = t.at + 1;

	while (p < t.end && (is_alnum(*p) || *p == '|' || *p == '_' || *p == '-'))
		p++;
	if (p == t.end || *p != *t.at || p == t.at + 1)
		return false;
	*close = p + 1;
	return goes_on((Text) {p + 1, t.end}, " command") ||
		((size_t) (t.at - begin) >= len &&
		 memcmp(t.at - len, before, len) == 0);
}

/* The last quote like the one at the beginning; a name may contain some. */
static const char *
last_quote(Text t)
{
	const char *p = t.end - 1;

	while (p > t.at && *p != *t.at)
		p--;
	return p > t.at ? p : t.end;
}

void
wtc_words_copy(char *to, size_t size, const char *text)
{
	const char *arguments = strstr(text, ", with args");
	Text		t = {text, arguments != NULL ? arguments : text + strlen(text)};
	const char *room = to + size - 1;
	const char *command_end = text;

	while (t.at < t.end)
	{
		bool		quote = (*t.at == '\'' || *t.at == '"' || *t.at == '`') &&
			(t.at == text || !is_alnum(t.at[-1])) && t.at >= command_end;
		int			len = character(t);

		if (quote && !quotes_command(t, text, &command_end))
		{
			if (room - to < 5)
				break;
			*to++ = *t.at;
			memcpy(to, "...", 3);
			to += 3;
			t.at = last_quote(t);
			command_end = t.at + 1;
			continue;
		}
		if (room - to < (len > 0 ? len : 1))
			break;
		if (len > 1)
			memcpy(to, t.at, len);
		else if (len == 0)
			*to = '?';
		else
			*to = *t.at >= ' ' && *t.at != 0x7F ? *t.at : ' ';
		to += len > 0 ? len : 1;
		t.at += len > 0 ? len : 1;
	}
	*to = '\0';
}

WtcStatus
wtc_fail(WtcStatus status, const char *text)
{
	if (!held)
	{
		kept_for = status;
		wtc_words_copy(kept, sizeof(kept), text);
	}
	return status;
}

void
wtc_words_hold(void)
{
	held = true;
}

void
wtc_words_release(void)
{
	held = false;
}

WtcStatus
wtc_fail_reply(const char *text)
{
	return wtc_fail(wtc_status_of_error(text), text);
}

WtcStatus
wtc_fail_errno(WtcStatus status, int error)
{
	return wtc_fail(status, strerror(error));
}

const char *
wtc_words_take(WtcStatus status)
{
	if (status == WTC_OK || status != kept_for)
		return "";
	kept_for = WTC_OK;
	return kept;
}
