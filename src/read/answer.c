/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  From the status of a reading to an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/answer.h"

void
wtc_check_answer(WtcStatus status)
{
	if (status != WTC_OK)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("could not read from Redis: %s",
						wtc_status_name(status)),
				 errhint("See wtcache.status.")));
}
