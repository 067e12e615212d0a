/*-------------------------------------------------------------------------
 *
 * shape.h
 *	  What a change of the schema does to attached tables: which of them it
 *	  reaches, what of them uses a column, and making their rows leave.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_SHAPE_H
#define WTC_SCHEMA_SHAPE_H

#include "capture/template.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* Attached tables, without partitions of one that is.  No lock is taken. */
extern List *wtc_attached_roots(void);

/*
 * The tables that have a capture trigger: those that hold rows, and if asked
 * for, partitioned ones.  No lock is taken.
 */
extern List *wtc_attached_tables(bool partitioned);

/*
 * Those of them in whose columns values of the type can be, at any depth, now
 * locked against writers until the transaction ends.
 */
extern List *wtc_lock_tables_with_type(Oid type);

/* What of an attachment uses a column. */
typedef struct WtcColumnUse
{
	bool		shown;			/* it is in the image ... */
	bool		named;			/* ... under its own name */
	const char *name;			/* it is named by this, such as "key" ... */
	const char *text;			/* ... whose text this is; NULL: not named */
} WtcColumnUse;

extern WtcColumnUse wtc_column_use(Relation rel, const Trigger *trigger,
								   const char *column);

/* If one of the templates names the column, and none before has, notes that. */
extern void wtc_use_in_templates(WtcColumnUse *use, const char *name,
								 WtcTemplate *const *templates, int n,
								 AttrNumber attno);

/*
 * If the trigger of this name is an attachment, or keeps the condition of one: an
 * error if it makes no sense, or is not the only one of the table.
 */
extern void wtc_check_attachment(Relation rel, const char *name);

/* Is the image one of all columns, so that a new one changes it? */
extern bool wtc_image_has_all_columns(const Trigger *trigger);

/*
 * Queues the deletion of the keys of all rows of a table that holds rows, as
 * TRUNCATE does, whether the condition holds or not.  The caller has locked it
 * against writers.  Returns the number of rows.
 */
extern uint64 wtc_forget_rows(Relation rel, const Trigger *trigger);

#endif							/* WTC_SCHEMA_SHAPE_H */
