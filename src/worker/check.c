/*-------------------------------------------------------------------------
 *
 * check.c
 *	  What the worker has to look at while it works.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "worker/check.h"

void
wtc_worker_check(void)
{
	CHECK_FOR_INTERRUPTS();
	/* not 0: a worker that is terminated by hand is to be started again */
	if (ShutdownRequestPending)
		proc_exit(1);
}
