/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  Merging two changes of one key into one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/merge.h"
#include "utils/memutils.h"

/* kept from one call to the next */
static StringInfoData removed_scratch;

static void
reset_scratch(void)
{
	MemoryContext old;

	if (removed_scratch.data == NULL)
	{
		old = MemoryContextSwitchTo(TopMemoryContext);
		initStringInfo(&removed_scratch);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&removed_scratch);
}

/*
 * The union of two lists without what is in a third; in removed_scratch.
 */
static WtcList
merge_removed(const WtcList *a, const WtcList *b, const WtcList *except)
{
	WtcList		result = {0};
	const WtcList *lists[2] = {a, b};

	reset_scratch();
	for (int i = 0; i < 2; i++)
	{
		WtcCursor	cursor = wtc_list_cursor(lists[i]);
		WtcSpan		tag;

		while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &tag))
		{
			if (result.count >= WTC_MAX_TAGS || wtc_list_has(except, tag) ||
				(i == 1 && wtc_list_has(a, tag)))
				continue;
			wtc_put_string(&removed_scratch, tag.data, tag.len);
			result.count++;
		}
	}
	result.bytes.data = removed_scratch.data;
	result.bytes.len = removed_scratch.len;
	return result;
}

/*
 * Is the row version that was deleted another one than the one stored?
 */
static bool
other_row(const WtcRowId *deleted, const WtcRowId *stored)
{
	if (!ItemPointerIsValid(&deleted->tid) || !ItemPointerIsValid(&stored->tid))
		return false;
	if (deleted->relid != stored->relid)
		return true;
	return deleted->file == stored->file &&
		!ItemPointerEquals((ItemPointer) &deleted->tid,
						   (ItemPointer) &stored->tid);
}

static bool
is_store(WtcOpKind kind)
{
	return kind == WTC_OP_SET || kind == WTC_OP_HASH;
}

bool
wtc_merge(const WtcChange *before, const WtcChange *change, WtcChange *result)
{
	bool		yields = change->weak ||
	(change->op.kind == WTC_OP_DELETE && is_store(before->op.kind) &&
	 other_row(&change->row, &before->row));

	if (change->op.kind == WTC_OP_INVALIDATE ||
		(yields && change->op.removed.count == 0))
		return false;
	*result = yields ? *before : *change;
	result->op.removed = merge_removed(&before->op.removed, &change->op.removed,
									   &result->op.tags);
	return true;
}
