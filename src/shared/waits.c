/*-------------------------------------------------------------------------
 *
 * waits.c
 *	  Wait events.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "shared/waits.h"

uint32		wtc_wait_await_reader;
uint32		wtc_wait_await_replay;
uint32		wtc_wait_await_worker;
uint32		wtc_wait_connect;
uint32		wtc_wait_document;
uint32		wtc_wait_push;
uint32		wtc_wait_worker_main;

void
wtc_waits_init(void)
{
	wtc_wait_await_reader = wtc_wait_event("WtcacheAwaitReader");
	wtc_wait_await_replay = wtc_wait_event("WtcacheAwaitReplay");
	wtc_wait_await_worker = wtc_wait_event("WtcacheAwaitWorker");
	wtc_wait_connect = wtc_wait_event("WtcacheConnect");
	wtc_wait_document = wtc_wait_event("WtcacheDocument");
	wtc_wait_push = wtc_wait_event("WtcachePush");
	wtc_wait_worker_main = wtc_wait_event("WtcacheWorkerMain");
}
