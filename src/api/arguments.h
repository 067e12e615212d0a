/*-------------------------------------------------------------------------
 *
 * arguments.h
 *	  From the arguments of wtcache.attach() and alter() to those of the
 *	  trigger, and back to a statement.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_ARGUMENTS_H
#define WTC_API_ARGUMENTS_H

#include "fmgr.h"
#include "nodes/nodes.h"
#include "utils/array.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* The arguments of a trigger to be. */
typedef struct WtcArguments
{
	int			n;
	char	  **arg;
	Node	   *condition;		/* and expressions, as wtc_kept() has them */
	List	   *expressions;
} WtcArguments;

/*
 * Those of a call of attach(), or with the trigger that is to be altered, of
 * alter(): what is not given stays as it is there.
 */
extern WtcArguments wtc_arguments_collect(FunctionCallInfo fcinfo, Relation rel,
										  const Trigger *before);

/* The values of a trigger's arguments of this name. */
extern char **wtc_argument_values(const Trigger *trigger, const char *name,
								  int *n);

/* The elements of a text[], none of which may be null; name is what to call one. */
extern char **wtc_array_strings(ArrayType *array, const char *name, int *n);

/* As the statement that attaches has them: in the largest unit that fits. */
extern char *wtc_ttl_text(uint64 ms);
extern char *wtc_array_text(char **strings, int n);

/* What another trigger keeps of an attachment, as texts. */
typedef struct WtcKeptText
{
	char	   *condition;		/* NULL: none, or it is missing */
	List	   *expressions;	/* of fields, in their order */
} WtcKeptText;

/* The values of its arguments for columns, with the expressions in them. */
extern char **wtc_columns_shown(const Trigger *trigger, const WtcKeptText *kept,
								int *n);

/*
 * The statement that makes the attachment of a table, by its qualified name;
 * NULL if attach() cannot have, or if what is kept has been dropped.
 */
extern char *wtc_definition(const char *table, const Trigger *trigger,
							const WtcKeptText *kept);

#endif							/* WTC_API_ARGUMENTS_H */
