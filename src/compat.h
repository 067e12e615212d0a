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

#include "access/xlogdefs.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/rel.h"

#if PG_VERSION_NUM < 150000
#error "wtcache needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 170000
#include "storage/procnumber.h"
#else
#include "storage/backendid.h"
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

static inline bool
wtc_owns_relation(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, roleid);
#else
	return pg_class_ownercheck(relid, roleid);
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

/* Generated, but not stored: NULL in the tuple that a trigger is given. */
static inline bool
wtc_is_virtual(char attgenerated)
{
	return attgenerated == 'v';
}

#endif							/* WTC_COMPAT_H */
