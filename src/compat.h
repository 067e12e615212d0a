/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, behind one name each.
 *
 * No other file asks for PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_COMPAT_H
#define WTC_COMPAT_H

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "postmaster/bgworker.h"
#include "postmaster/bgworker_internals.h"
#include "replication/message.h"
#include "replication/slot.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "wtcache needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 170000
#include "storage/procarray.h"
#include "storage/procnumber.h"
#else
#include "storage/backendid.h"
#include "storage/sinvaladt.h"
#endif

/* This backend's number, from 0; below MaxBackends for those that commit. */
static inline int
wtc_my_slot(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyBackendId == InvalidBackendId ? -1 : MyBackendId - 1;
#endif
}

/* In the postmaster: has a worker that runs this function been registered? */
static inline bool
wtc_has_background_worker(const char *function)
{
#if PG_VERSION_NUM >= 180000
	dlist_iter	iter;

	dlist_foreach(iter, &BackgroundWorkerList)
	{
		RegisteredBgWorker *worker = dlist_container(RegisteredBgWorker,
													 rw_lnode, iter.cur);
#else
	slist_iter	iter;

	slist_foreach(iter, &BackgroundWorkerList)
	{
		RegisteredBgWorker *worker = slist_container(RegisteredBgWorker,
													 rw_lnode, iter.cur);
#endif
		if (strcmp(worker->rw_worker.bgw_function_name, function) == 0)
			return true;
	}
	return false;
}

/* The number under which ProcGlobal->allProcs holds this process. */
static inline int
wtc_my_procno(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

/*
 * The xid of the transaction that a backend, by its number, is running and
 * that is not yet visible to others; or InvalidTransactionId.
 */
static inline TransactionId
wtc_backend_xid(int number)
{
#if PG_VERSION_NUM >= 170000
	PGPROC	   *proc = ProcNumberGetProc(number);
#else
	PGPROC	   *proc = BackendIdGetProc(number + 1);
#endif

	return proc == NULL ? InvalidTransactionId :
		*(volatile TransactionId *) &proc->xid;
}

/* A transactional logical message; returns the end of its record. */
static inline XLogRecPtr
wtc_log_message(const char *prefix, const char *data, size_t len)
{
#if PG_VERSION_NUM >= 170000
	return LogLogicalMessage(prefix, data, len, true, false);
#else
	return LogLogicalMessage(prefix, data, len, true);
#endif
}

/* The same, not transactional: it names its transaction itself. */
static inline XLogRecPtr
wtc_log_named_message(const char *prefix, const char *data, size_t len)
{
#if PG_VERSION_NUM >= 170000
	return LogLogicalMessage(prefix, data, len, false, false);
#else
	return LogLogicalMessage(prefix, data, len, false);
#endif
}

/* A physical replication slot, made and taken by this process. */
static inline void
wtc_slot_create(const char *name)
{
#if PG_VERSION_NUM >= 170000
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false, false, false);
#else
	ReplicationSlotCreate(name, false, RS_PERSISTENT, false);
#endif
}

/* Takes an existing slot; an error if another process has it. */
static inline void
wtc_slot_acquire(const char *name)
{
#if PG_VERSION_NUM >= 180000
	ReplicationSlotAcquire(name, true, false);
#else
	ReplicationSlotAcquire(name, true);
#endif
}

/* Has the server taken the slot's WAL away? */
static inline bool
wtc_slot_is_invalid(const ReplicationSlot *slot)
{
#if PG_VERSION_NUM >= 160000
	if (slot->data.invalidated != RS_INVAL_NONE)
		return true;
#endif
	return XLogRecPtrIsInvalid(slot->data.restart_lsn);
}

/* The oldest transaction whose outcome can still be looked up. */
static inline TransactionId
wtc_oldest_known_xid(void)
{
#if PG_VERSION_NUM >= 170000
	return TransamVariables->oldestClogXid;
#else
	return ShmemVariableCache->oldestClogXid;
#endif
}

static inline bool
wtc_owns_relation(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, roleid);
#else
	return pg_class_ownercheck(relid, roleid);
#endif
}

static inline bool
wtc_may_execute(Oid function, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, roleid,
						   ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, roleid, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

static inline bool
wtc_owns_type(Oid type, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(TypeRelationId, type, roleid);
#else
	return pg_type_ownercheck(type, roleid);
#endif
}

/* ALTER TABLE ... ALTER COLUMN ... SET EXPRESSION */
static inline bool
wtc_sets_expression(AlterTableType subtype)
{
#if PG_VERSION_NUM >= 170000
	return subtype == AT_SetExpression;
#else
	return false;
#endif
}

/* Sets tgenabled of a trigger of this table alone; checks no rights. */
static inline void
wtc_enable_trigger(Relation rel, const char *name, char enabled)
{
#if PG_VERSION_NUM >= 160000
	EnableDisableTrigger(rel, name, InvalidOid, enabled, false, false,
						 ShareRowExclusiveLock);
#else
	EnableDisableTriggerNew(rel, name, enabled, false, false,
							ShareRowExclusiveLock);
#endif
}

/* Has this session the lock, in this very mode? */
static inline bool
wtc_lock_held(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

/* The file that holds a relation's rows now; a rewrite makes another. */
static inline Oid
wtc_relation_file(Relation rel)
{
#if PG_VERSION_NUM >= 160000
	return rel->rd_locator.relNumber;
#else
	return rel->rd_node.relNode;
#endif
}

/* The number of a wait event of this name; before 17 they have none. */
static inline uint32
wtc_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* Generated, but not stored: NULL in the tuple that a trigger is given. */
static inline bool
wtc_is_virtual(char attgenerated)
{
	return attgenerated == 'v';
}

#endif							/* WTC_COMPAT_H */
