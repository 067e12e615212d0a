/*-------------------------------------------------------------------------
 *
 * attached.h
 *	  Attached tables, by their triggers.
 *
 * A table is attached if it has a trigger of the function wtcache.capture_row();
 * the TRUNCATE trigger is the one of wtcache.capture_truncate(), and a condition
 * is kept in one of wtcache.capture_condition().  Everything here may raise an
 * error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_ATTACHED_H
#define WTC_CAPTURE_ATTACHED_H

#include "nodes/pg_list.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* The names that attach() gives; triggers may be renamed. */
#define WTC_ROW_TRIGGER			"wtcache_capture"
#define WTC_TRUNCATE_TRIGGER	"wtcache_capture_truncate"
#define WTC_CONDITION_TRIGGER	"wtcache_condition"

/* The functions of our triggers; InvalidOid where the extension is not. */
extern Oid	wtc_capture_function(void);
extern Oid	wtc_truncate_function(void);
extern Oid	wtc_condition_function(void);
extern Oid	wtc_document_function(void);
extern Oid	wtc_part_function(void);
extern Oid	wtc_document_truncate_function(void);

/* An error unless the current user may call attach(), or another one by name. */
extern void wtc_check_may_attach(const char *name);

/*
 * What we look at of a trigger, palloc'd: the relcache may rebuild its own at any
 * time.
 */
extern const Trigger *wtc_copy_trigger(const Trigger *trigger);

/*
 * The capture trigger of a table: a palloc'd copy of its name and arguments.
 * If there is none, the first one returns NULL and the second one raises an
 * error.
 */
extern const Trigger *wtc_attachment_trigger(Relation rel);
extern const Trigger *wtc_attached_trigger(Relation rel);

/* An error unless there is one, and not a partition's copy of its parent's. */
extern void wtc_check_own_attachment(const Trigger *trigger,
									 const char *table);

/* The value of its argument of this name, the first one; or NULL. */
extern const char *wtc_attachment_argument(const Trigger *trigger,
										   const char *name);

/* How many fields of its image are expressions. */
extern int	wtc_attachment_expressions(const Trigger *trigger);

/* Has it a condition or an expression, which are kept by another trigger? */
extern bool wtc_attachment_is_kept(const Trigger *trigger);

/* When it fires while it is enabled: a value of tgenabled. */
extern char wtc_attachment_mode(const Trigger *trigger);

/*
 * A copy of the trigger that keeps its condition, or NULL.  A partition has its
 * parent's: one that it was made with by itself is not the attachment's, and would
 * run as the owner of that.  NULL as well if it is not clear which one it is.
 */
extern const Trigger *wtc_condition_trigger(Relation rel);

/* The same among triggers, such as those that capture/catalog.h reads. */
extern const Trigger *wtc_attachment_among(const TriggerDesc * desc);
extern const Trigger *wtc_condition_among(const TriggerDesc * desc);
extern const Trigger *wtc_trigger_among(const TriggerDesc * desc, Oid oid);

/* The name of the TRUNCATE trigger, or NULL, and when it fires. */
extern const char *wtc_truncate_trigger(Relation rel, char *enabled);

/* The error that the table is attached already. */
extern void wtc_refuse_attached(Relation rel);

/* Is it enabled, so that it fires for all but replicated changes? */
extern bool wtc_attachment_fires(const Trigger *trigger);

/* An error if its trigger is disabled: what is stored would become stale. */
extern void wtc_check_firing(Relation rel, const Trigger *trigger);

/* The table whose attachment it is: of a partition with its parent's, the topmost. */
extern Oid	wtc_attached_as(Relation rel);

extern Oid	wtc_relation_owner(Oid relid);

/* The name with the schema, quoted where SQL needs it.  The table is locked. */
extern char *wtc_qualified_name(Oid relid);

/* An error unless the current user owns the table. */
extern void wtc_check_owner(Relation rel);

/* The same unless the current user has SELECT on it. */
extern void wtc_check_may_read(Oid relid);

/*
 * An error unless the user sees all rows of the table; name is what reads
 * them.
 */
extern void wtc_check_row_security(Relation rel, const char *name);

/* A table and all below it, those that hold rows; by OID. */
extern List *wtc_tables_with_rows(Relation rel);

#endif							/* WTC_CAPTURE_ATTACHED_H */
