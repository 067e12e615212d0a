/*-------------------------------------------------------------------------
 *
 * failures.h
 *	  For each class of failure to use Redis: when it has occurred, and what was
 *	  said last.
 *
 * How often is counted by each backend, see shmem.h.  What is here is forgotten
 * when the statistics are reset.
 *
 * A spinlock is held where it is read or changed.  Raises nothing, allocates
 * nothing: callable on either side of the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_FAILURES_H
#define WTC_SHARED_FAILURES_H

#include "datatype/timestamp.h"
#include "shared/rejected.h"

typedef struct WtcFailure
{
	TimestampTz first;			/* 0: none since the last reset */
	TimestampTz last;
	char		words[WTC_WORDS_LEN];	/* UTF-8; "": nothing was said */
} WtcFailure;

/* For wtc_shmem_add(). */
extern Size wtc_failures_size(void);
extern void wtc_failures_attach(void *place, bool initialise);

/*
 * Keeps when a failure of a class (WtcStatus) has occurred, and what was said, a
 * text shorter than WTC_WORDS_LEN.
 */
extern void wtc_failure_note(int status, const char *words);

/* The same for a push or a reading, which is counted; wakes the worker, which logs it. */
extern void wtc_count_failure(int status, const char *words);

extern void wtc_failure_get(int status, WtcFailure *failure);
extern void wtc_failures_reset(void);

#endif							/* WTC_SHARED_FAILURES_H */
