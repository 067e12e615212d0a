/*-------------------------------------------------------------------------
 *
 * patterns.c
 *	  Which patterns of keys Redis has been told on this connection.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "push/patterns.h"
#include "push/token.h"
#include "push/versions.h"

/* more than so many are told again and again */
#define MOST_PATTERNS	64

static char under[WTC_TOKEN_LEN] = "";
static uint64 told[MOST_PATTERNS];
static int	ntold = 0;
static int	nnew = 0;			/* behind them: by the request */

void
wtc_patterns_begin(const char *token)
{
	if (strcmp(under, token) != 0)
		ntold = 0;
	strlcpy(under, token, sizeof(under));
	nnew = 0;
}

bool
wtc_pattern_is_new(const WtcPattern *pattern, WtcSpan string)
{
	uint64		hash;

	if (pattern->shared == 0 && pattern->rest.len == 0)
		return false;
	hash = hash_bytes_extended((const unsigned char *) string.data,
							   (int) pattern->shared,
							   wtc_hash_key(pattern->rest));
	for (int i = 0; i < ntold + nnew; i++)
	{
		if (told[i] == hash)
			return false;
	}
	if (ntold + nnew < MOST_PATTERNS)
		told[ntold + nnew++] = hash;
	return true;
}

void
wtc_patterns_keep(void)
{
	ntold += nnew;
	nnew = 0;
}

void
wtc_patterns_forget(void)
{
	ntold = nnew = 0;
}
