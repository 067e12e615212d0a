/*-------------------------------------------------------------------------
 *
 * empty.c
 *	  Emptying Redis of what wtcache has stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "read/ask.h"
#include "redis/keys.h"
#include "redis/script.h"
#include "redis/words.h"
#include "worker/check.h"
#include "worker/empty.h"
#include "worker/journal.h"

WtcStatus
wtc_delete_by_steps(const char *script, int nkeys, int nargs, const char **args,
					uint64 *deleted)
{
	args[nkeys] = "0";
	do
	{
		WtcAnswer	answer;
		WtcStatus	status = wtc_eval(script, nkeys, nargs, args, &answer);

		wtc_worker_check();
		if (status != WTC_OK)
			return status;
		if (answer.n != 2)
			return WTC_FAIL_PROTOCOL;
		if (strcmp(answer.text[0], "-1") == 0)
			return wtc_fail(WTC_FAIL_OTHER, WTC_TOKEN_LOST);
		args[nkeys] = answer.text[0];
		*deleted += strtoull(answer.text[1], NULL, 10);
	} while (strcmp(args[nkeys], "0") != 0);
	return WTC_OK;
}

static WtcStatus
delete_matching(const char *token, const char *pattern, uint64 *deleted)
{
	const char *args[] = {NULL, token, pattern};

	return wtc_delete_by_steps(wtc_cold_text, 0, lengthof(args), args, deleted);
}

WtcStatus
wtc_patterns_complete(void)
{
	const char *args[] = {"SADD", WTC_KEY_PATTERNS, ""};
	WtcAnswer	answer;

	return wtc_command(lengthof(args), args, &answer);
}

/* Have all patterns been kept? */
static WtcStatus
know_patterns(bool *known)
{
	const char *args[] = {"SISMEMBER", WTC_KEY_PATTERNS, ""};
	WtcAnswer	answer;
	WtcStatus	status = wtc_command(lengthof(args), args, &answer);

	*known = status == WTC_OK && answer.n == 1 &&
		strcmp(answer.text[0], "1") == 0;
	return status;
}

/* Deletes what each pattern matches, and the pattern. */
static WtcStatus
delete_patterns(const char *token, uint64 *deleted)
{
	const char *args[] = {"SRANDMEMBER", WTC_KEY_PATTERNS, "2"};
	WtcStatus	status = WTC_OK;

	while (status == WTC_OK)
	{
		WtcAnswer	answer;
		const char *pattern = NULL;

		status = wtc_command(lengthof(args), args, &answer);
		for (int i = 0; status == WTC_OK && i < answer.n; i++)
		{
			if (answer.text[i][0] != '\0')
				pattern = answer.text[i];
		}
		if (pattern == NULL)
			break;
		status = delete_matching(token, pattern, deleted);
	}
	return status;
}

WtcStatus
wtc_delete_stored(const char *token, uint64 *deleted)
{
	bool		known = false;
	WtcStatus	status = WTC_OK;

	if (wtc_cold_pattern[0] != '\0')
		status = delete_matching(token, wtc_cold_pattern, deleted);
	else
	{
		status = know_patterns(&known);
		if (status == WTC_OK)
			status = known ? delete_patterns(token, deleted) :
				delete_matching(token, "*", deleted);
		if (status == WTC_OK && !known)
			status = wtc_patterns_complete();
	}
	if (status == WTC_OK)
		status = delete_matching(token, "", deleted);
	if (status == WTC_OK)
		status = delete_matching(token, "wtcache:*", deleted);
	return status;
}
