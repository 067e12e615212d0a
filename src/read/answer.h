/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  From the status of a reading to an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_READ_ANSWER_H
#define WTC_READ_ANSWER_H

#include "redis/status.h"

/* An error unless Redis has answered.  Before the commit record only. */
extern void wtc_check_answer(WtcStatus status);

#endif							/* WTC_READ_ANSWER_H */
