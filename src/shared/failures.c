/*-------------------------------------------------------------------------
 *
 * failures.c
 *	  For each class of failure to use Redis: when it has occurred, and what was
 *	  said last.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "shared/failures.h"
#include "shared/slots.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

typedef struct Failures
{
	slock_t		mutex;			/* over the rest */
	WtcFailure	classes[WTC_FAIL_CLASSES];
} Failures;

static Failures *failures = NULL;

Size
wtc_failures_size(void)
{
	return sizeof(Failures);
}

void
wtc_failures_attach(void *place, bool initialise)
{
	failures = place;
	if (!initialise)
		return;
	memset(failures, 0, sizeof(*failures));
	SpinLockInit(&failures->mutex);
}

void
wtc_failure_note(int status, const char *words)
{
	TimestampTz now = GetCurrentTimestamp();
	WtcFailure *f = &failures->classes[status - 1];

	Assert(status > 0 && status <= WTC_FAIL_CLASSES);
	SpinLockAcquire(&failures->mutex);
	if (f->first == 0)
		f->first = now;
	f->last = now;
	strlcpy(f->words, words, sizeof(f->words));
	SpinLockRelease(&failures->mutex);
}

void
wtc_count_failure(int status, const char *words)
{
	wtc_failure_note(status, words);
	wtc_count_class(status);
}

void
wtc_failure_get(int status, WtcFailure *failure)
{
	SpinLockAcquire(&failures->mutex);
	*failure = failures->classes[status - 1];
	SpinLockRelease(&failures->mutex);
}

void
wtc_failures_reset(void)
{
	SpinLockAcquire(&failures->mutex);
	memset(failures->classes, 0, sizeof(failures->classes));
	SpinLockRelease(&failures->mutex);
}
