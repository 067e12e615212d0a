/*-------------------------------------------------------------------------
 *
 * dead.c
 *	  Taking members that have expired out of the sets of tags.
 *
 * Backends do so while they add members, see push/prune.h.  What is left is
 * what died after the last one was added.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "push/prune.h"
#include "read/ask.h"
#include "redis/script.h"
#include "worker/check.h"
#include "worker/dead.h"

/* so many members tell whether it is worth while to look at more */
#define FEW				100

/* Looks at so many members at random; *more: the greater part were dead. */
static WtcStatus
look(const char *tag, int n, bool *more)
{
	char		count[16];
	const char *args[] = {tag, count};
	WtcAnswer	answer;
	WtcStatus	status;

	wtc_worker_check();
	snprintf(count, sizeof(count), "%d", n);
	status = wtc_eval(wtc_prune_text, 1, lengthof(args), args, &answer);
	*more = status == WTC_OK && answer.n == 1 &&
		atoi(answer.text[0]) > n / 2;
	return status;
}

WtcStatus
wtc_dead_sweep(void)
{
	char		tag[WTC_PRUNE_NAME];
	WtcStatus	status = WTC_OK;
	int			pos = 0;

	while (!wtc_status_is_outage(status) && wtc_prune_expired(&pos, tag))
	{
		bool		more;

		status = look(tag, FEW, &more);
		while (more)
			status = look(tag, WTC_PRUNE_MOST, &more);
	}
	/* a key that is no set, or that may not be read, is not ours to mend */
	return wtc_status_is_outage(status) ? status : WTC_OK;
}
