/*-------------------------------------------------------------------------
 *
 * server.c
 *	  The server's functions and variables that the code under test uses.
 *
 * Everything static or global in this file belongs to a process, see order.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/transam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "change/message.h"
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "order.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "push/prune.h"
#include "push/token.h"
#include "push/versions.h"
#include "replication/slot.h"
#include "replication/walsender_private.h"
#include "shared/breaker.h"
#include "shared/debug.h"
#include "shared/holds.h"
#include "shared/failures.h"
#include "shared/outbox.h"
#include "shared/rejected.h"
#include "shared/prepared.h"
#include "shared/rounds.h"
#include "shared/shmem.h"
#include "shared/slots.h"
#include "shared/state.h"
#include "shared/stats.h"
#include "shared/waits.h"
#include "shared/wake.h"
#include "push/link.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/pmsignal.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "worker/lag.h"
#include "worker/report.h"

#undef errno
#include <errno.h>
#include <hiredis/hiredis.h>

/* --- variables of the server --- */

shmem_request_hook_type shmem_request_hook = NULL;
shmem_startup_hook_type shmem_startup_hook = NULL;
int			MaxBackends = 8;
#if PG_VERSION_NUM >= 170000
ProcNumber	MyProcNumber = INVALID_PROC_NUMBER;
#else
BackendId	MyBackendId = InvalidBackendId;
#endif
Oid			MyDatabaseId = 1;
int			MyProcPid = 1;
PGPROC	   *MyProc = NULL;
struct Latch *MyLatch = NULL;
PROC_HDR   *ProcGlobal = NULL;
PGPROC	   *PreparedXactProcs = NULL;
int			max_prepared_xacts = 8;
int			max_worker_processes = 8;
#if PG_VERSION_NUM >= 180000
dlist_head	BackgroundWorkerList;
#else
slist_head	BackgroundWorkerList;
#endif
int			max_wal_senders = 1;
int			max_replication_slots = 0;
bool		IsBinaryUpgrade = false;
WalSndCtlData *WalSndCtl = NULL;
ReplicationSlotCtlData *ReplicationSlotCtl = NULL;
ReplicationSlot *MyReplicationSlot = NULL;
#if PG_VERSION_NUM >= 170000
TransamVariablesData *TransamVariables = NULL;
#else
VariableCache ShmemVariableCache = NULL;
#endif
LWLockPadded *MainLWLockArray = NULL;
TransactionId RecentXmin = FirstNormalTransactionId;
TransactionId TransactionXmin = FirstNormalTransactionId;
volatile sig_atomic_t InterruptPending = false;
volatile sig_atomic_t QueryCancelPending = false;
volatile sig_atomic_t ProcDiePending = false;
volatile sig_atomic_t ShutdownRequestPending = false;
volatile sig_atomic_t ConfigReloadPending = false;
volatile sig_atomic_t postmaster_possibly_dead = false;
volatile uint32 InterruptHoldoffCount = 0;
volatile uint32 CritSectionCount = 0;
sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;
MemoryContext CurrentMemoryContext = NULL;
MemoryContext TopMemoryContext = NULL;
uint32 *my_wait_event_info = NULL;
XLogRecPtr	XactLastCommitEnd = InvalidXLogRecPtr;
uint32		wtc_wait_await_worker;
uint32		wtc_wait_connect;
uint32		wtc_wait_push;
uint32		wtc_wait_worker_main;

static uint32 wait_event_info;
static PGPROC my_proc;
static PROC_HDR proc_header;
static PGPROC procs[16];
static union
{
	WalSndCtlData data;
	char		room[sizeof(WalSndCtlData) + sizeof(WalSnd)];
}			wal_senders;
#if PG_VERSION_NUM >= 170000
static TransamVariablesData transam_variables;
#else
static VariableCacheData transam_variables;
#endif
static LWLockPadded locks[NUM_INDIVIDUAL_LWLOCKS];

/* --- memory --- */

struct Context
{
	Proc	   *proc;
	Context    *parent;
	struct Piece *first;
	Context    *next;			/* of the process */
};

typedef struct Piece
{
	struct Piece *prev;
	struct Piece *next;
	Context    *context;
	Size		size;
} Piece;

static Context *
new_context(Context *parent)
{
	Context    *context = calloc(1, sizeof(Context));

	context->proc = me;
	context->parent = parent;
	if (me != NULL)
	{
		context->next = me->contexts;
		me->contexts = context;
	}
	return context;
}

static void
free_pieces(Context *context)
{
	while (context->first != NULL)
	{
		Piece	   *piece = context->first;

		context->first = piece->next;
		free(piece);
	}
}

static void
delete_children(Context *parent)
{
	bool		again = true;

	while (again)
	{
		again = false;
		for (Context **p = &parent->proc->contexts; *p != NULL; p = &(*p)->next)
		{
			Context    *child = *p;

			if (child->parent != parent)
				continue;
			delete_children(child);
			/* the list may have changed */
			for (p = &parent->proc->contexts; *p != child; p = &(*p)->next)
				;
			*p = child->next;
			free_pieces(child);
			free(child);
			again = true;
			break;
		}
	}
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name,
							  Size minContextSize, Size initBlockSize,
							  Size maxBlockSize)
{
	return (MemoryContext) new_context((Context *) parent);
}

void
MemoryContextReset(MemoryContext context)
{
	delete_children((Context *) context);
	free_pieces((Context *) context);
}

static void *
allocate(Context *context, Size size, bool zero)
{
	Piece	   *piece = zero ? calloc(1, sizeof(Piece) + size) :
		malloc(sizeof(Piece) + size);

	piece->context = context;
	piece->size = size;
	piece->prev = NULL;
	piece->next = context->first;
	if (piece->next != NULL)
		piece->next->prev = piece;
	context->first = piece;
	return piece + 1;
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return allocate((Context *) context, size, false);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return allocate((Context *) context, size, true);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return allocate((Context *) context, size, false);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	return allocate((Context *) context, size, (flags & MCXT_ALLOC_ZERO) != 0);
}

void *
palloc(Size size)
{
	return MemoryContextAlloc(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return MemoryContextAllocZero(CurrentMemoryContext, size);
}

void *
palloc_extended(Size size, int flags)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, size, flags);
}

void
pfree(void *pointer)
{
	Piece	   *piece = (Piece *) pointer - 1;

	if (piece->next != NULL)
		piece->next->prev = piece->prev;
	if (piece->prev != NULL)
		piece->prev->next = piece->next;
	else
		piece->context->first = piece->next;
	free(piece);
}

void *
repalloc(void *pointer, Size size)
{
	Piece	   *piece = (Piece *) pointer - 1;
	void	   *new = allocate(piece->context, size, false);

	memcpy(new, pointer, Min(size, piece->size));
	pfree(pointer);
	return new;
}

void *
repalloc_huge(void *pointer, Size size)
{
	return repalloc(pointer, size);
}

char *
pstrdup(const char *in)
{
	return strcpy(palloc(strlen(in) + 1), in);
}

/* --- errors --- */

static int	error_code;
static char error_text[256];

bool
errstart(int elevel, const char *domain)
{
	error_code = ERRCODE_INTERNAL_ERROR;
	error_text[0] = '\0';
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	violation("error in %s: %s", funcname, error_text);
	if (PG_exception_stack != NULL)
		siglongjmp(*PG_exception_stack, 1);
	for (;;)
		proc_wait(WAIT_OVER, 0);
}

void
pg_re_throw(void)
{
	errfinish("", 0, "pg_re_throw");
	pg_unreachable();
}

void
#if PG_VERSION_NUM >= 160000
ExceptionalCondition(const char *condition, const char *file, int line)
#else
ExceptionalCondition(const char *condition, const char *type,
					 const char *file, int line)
#endif
{
	violation("assertion in %s, line %d: %s", file, line, condition);
	for (;;)
		proc_wait(WAIT_OVER, 0);
}

int
errcode(int sqlerrcode)
{
	error_code = sqlerrcode;
	return 0;
}

int
errmsg(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(error_text, sizeof(error_text), fmt, args);
	va_end(args);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(error_text, sizeof(error_text), fmt, args);
	va_end(args);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	return 0;
}

int
errhint(const char *fmt,...)
{
	return 0;
}

ErrorData *
CopyErrorData(void)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));

	error->sqlerrcode = error_code;
	return error;
}

void
EmitErrorReport(void)
{
}

void
FlushErrorState(void)
{
}

void
ProcessInterrupts(void)
{
}

/* --- processes --- */

#define MAX_CALLBACKS	4

static struct
{
	pg_on_exit_callback function;
	Datum		arg;
}			callbacks[MAX_CALLBACKS];
static int	ncallbacks = 0;

void
before_shmem_exit(pg_on_exit_callback function, Datum arg)
{
	Assert(ncallbacks < MAX_CALLBACKS);
	callbacks[ncallbacks].function = function;
	callbacks[ncallbacks++].arg = arg;
}

void
on_proc_exit(pg_on_exit_callback function, Datum arg)
{
	/* the connection, which server_free() closes */
}

void
server_at_exit(void)
{
	while (ncallbacks > 0)
	{
		ncallbacks--;
		callbacks[ncallbacks].function(1, callbacks[ncallbacks].arg);
	}
}

void
proc_exit(int code)
{
	server_at_exit();
	for (;;)
		proc_wait(WAIT_OVER, 0);
}

void
server_be(int number)
{
#if PG_VERSION_NUM >= 170000
	MyProcNumber = number;
#else
	MyBackendId = number == 0 ? InvalidBackendId : number;
	my_proc.pgprocno = number;
#endif
	MyProc = &my_proc;
	MyLatch = &procs[number].procLatch;
	TopMemoryContext = CurrentMemoryContext = (MemoryContext) new_context(NULL);
	PreparedXactProcs = pg_prepared_procs();
}

void
server_free(Proc *p)
{
	if (wtc_link.ctx != NULL)
		wtc_conn_close(&wtc_link);
	while (p->contexts != NULL)
	{
		Context    *context = p->contexts;

		p->contexts = context->next;
		free_pieces(context);
		free(context);
	}
}

void
server_interrupt(bool cancelled)
{
	if (me->number == 0)
		ShutdownRequestPending = cancelled;
	else
		QueryCancelPending = cancelled;
}

static void *(*shmem_alloc) (Size);

void *
ShmemInitStruct(const char *name, Size size, bool *foundPtr)
{
	*foundPtr = false;
	return shmem_alloc(size);
}

void
server_new_shmem(void *(*alloc) (Size))
{
	shmem_alloc = alloc;
	shmem_startup_hook();
}

void
server_start(void)
{
	ProcGlobal = &proc_header;
	proc_header.allProcs = procs;
	WalSndCtl = &wal_senders.data;
#if PG_VERSION_NUM >= 170000
	TransamVariables = &transam_variables;
#else
	ShmemVariableCache = &transam_variables;
#endif
	transam_variables.oldestClogXid = FirstNormalTransactionId;
	MainLWLockArray = locks;
	my_wait_event_info = &wait_event_info;
	wtc_shmem_init();
	wtc_shmem_add(wtc_slots_size, wtc_slots_attach);
	wtc_shmem_add(wtc_outbox_size, wtc_outbox_attach);
	wtc_shmem_add(wtc_wake_size, wtc_wake_attach);
	wtc_shmem_add(wtc_rounds_size, wtc_rounds_attach);
	wtc_shmem_add(wtc_state_size, wtc_state_attach);
	wtc_shmem_add(wtc_breaker_size, wtc_breaker_attach);
	wtc_shmem_add(wtc_holds_size, wtc_holds_attach);
	wtc_shmem_add(wtc_failures_size, wtc_failures_attach);
	wtc_shmem_add(wtc_rejected_size, wtc_rejected_attach);
	wtc_token_init();
	wtc_versions_init();
	wtc_prune_init();
}

void
RequestAddinShmemSpace(Size size)
{
}

Size
add_size(Size a, Size b)
{
	return a + b;
}

Size
mul_size(Size a, Size b)
{
	return a * b;
}

bool
LWLockAcquire(LWLock *lock, LWLockMode mode)
{
	return true;
}

void
LWLockRelease(LWLock *lock)
{
}

void
LWLockReleaseAll(void)
{
}

int
s_lock(volatile slock_t *lock, const char *file, int line, const char *func)
{
	violation("spinlock held by a process that waits, %s:%d", file, line);
	for (;;)
		proc_wait(WAIT_OVER, 0);
}

#if PG_VERSION_NUM >= 160000
bool
ConditionVariableCancelSleep(void)
{
	return false;
}
#else
void
ConditionVariableCancelSleep(void)
{
}
#endif

void
XLogResetInsertion(void)
{
}

void
BackgroundWorkerUnblockSignals(void)
{
}

void
RegisterBackgroundWorker(BackgroundWorker *worker)
{
}

void
SignalHandlerForConfigReload(SIGNAL_ARGS)
{
}

void
SignalHandlerForShutdownRequest(SIGNAL_ARGS)
{
}

#if PG_VERSION_NUM >= 180000
void
pqsignal(int signo, pqsigfunc func)
{
}
#else
pqsigfunc
pqsignal(int signo, pqsigfunc func)
{
	return NULL;
}
#endif

void
InitProcessPhase2(void)
{
}

void
ProcessConfigFile(GucContext context)
{
}

bool
AcquireExternalFD(void)
{
	return true;
}

bool
PostmasterIsAliveInternal(void)
{
	return true;
}

void
SetLatch(Latch *latch)
{
	pg_set_latch(true);
}

void
ResetLatch(Latch *latch)
{
	pg_set_latch(false);
}

int
WaitLatchOrSocket(Latch *latch, int wakeEvents, pgsocket sock, long timeout,
				  uint32 wait_event_info)
{
	int			events = 0;
	char		c;

	if (!pg_latch_is_set() && timeout != 0)
		proc_wait(WAIT_LATCH, timeout < 0 ? 60000000 : timeout * 1000);
	else
		preempt();
	if (pg_latch_is_set())
		events |= WL_LATCH_SET;
	if (sock != PGINVALID_SOCKET &&
		recv(sock, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
		events |= WL_SOCKET_READABLE;
	return events == 0 ? WL_TIMEOUT : events;
}

int
WaitLatch(Latch *latch, int wakeEvents, long timeout, uint32 wait_event_info)
{
	return WaitLatchOrSocket(latch, wakeEvents, PGINVALID_SOCKET, timeout,
							 wait_event_info);
}

void
pg_usleep(long microsec)
{
	proc_wait(WAIT_SLEEP, microsec);
}

TimestampTz
GetCurrentTimestamp(void)
{
	return (TimestampTz) pg_started();
}

bool
pg_strong_random(void *buf, size_t len)
{
	uint64		n = random_number();

	memcpy(buf, &n, Min(len, sizeof(n)));
	return true;
}

/* --- WAL --- */

uint64
GetSystemIdentifier(void)
{
	return UINT64CONST(7000000000000000001);
}

TimeLineID
GetWALInsertionTimeLine(void)
{
	return pg_timeline();
}

XLogRecPtr
GetXLogInsertRecPtr(void)
{
	preempt();
	return pg_insert();
}

XLogRecPtr
#if PG_VERSION_NUM >= 170000
LogLogicalMessage(const char *prefix, const char *message, size_t size,
				  bool transactional, bool flush)
#else
LogLogicalMessage(const char *prefix, const char *message, size_t size,
				  bool transactional)
#endif
{
	preempt();
	return pg_append(message, size, transactional);
}

XLogRecPtr
tliSwitchPoint(TimeLineID tli, List *history, TimeLineID *nextTLI)
{
	return pg_switch_point(tli);
}

bool
tliInHistory(TimeLineID tli, List *expectedTLEs)
{
	ListCell   *cell;

	foreach(cell, expectedTLEs)
	{
		if (((TimeLineHistoryEntry *) lfirst(cell))->tli == tli)
			return true;
	}
	return false;
}

/* --- transactions --- */

bool
TransactionIdIsInProgress(TransactionId xid)
{
	preempt();
	return pg_in_progress(xid);
}

bool
TransactionIdDidCommit(TransactionId xid)
{
	preempt();
	return pg_did_commit(xid);
}

bool
TransactionIdPrecedes(TransactionId a, TransactionId b)
{
	return a < b;
}

TransactionId
GetOldestTransactionIdConsideredRunning(void)
{
	return FirstNormalTransactionId;
}

void
ParseCommitRecord(uint8 info, xl_xact_commit *xlrec,
				  xl_xact_parsed_commit *parsed)
{
	memset(parsed, 0, sizeof(*parsed));
	memcpy(&parsed->twophase_xid, xlrec, sizeof(TransactionId));
}

PGPROC *
BackendPidGetProc(int pid)
{
	return &my_proc;
}

/* --- wtcache's files that have no part in this --- */

void
wtc_lag_note(bool skimmed)
{
}

void
wtc_report_start(void)
{
	WalSndCtl->walsnds[0].pid = 1;
	WalSndCtl->walsnds[0].state = WALSNDSTATE_STREAMING;
	WalSndCtl->walsnds[0].flush = pg_standby_flush();
}

long
wtc_report(void)
{
	WalSndCtl->walsnds[0].flush = pg_standby_flush();
	return -1;
}

void
wtc_report_link(WtcStatus status)
{
}

void
wtc_waits_init(void)
{
}

void
wtc_stats_request(void)
{
}

Size
wtc_stats_size(void)
{
	return 0;
}

void
wtc_stats_attach(void *place, bool initialise)
{
}

Size
wtc_prepared_size(void)
{
	return 0;
}

void
wtc_prepared_attach(void *place, bool initialise)
{
}

void
wtc_debug_hold(void)
{
}
