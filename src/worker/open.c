/*-------------------------------------------------------------------------
 *
 * open.c
 *	  What is parked of transactions in progress: which keys and tags.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "worker/open.h"
#include "worker/order.h"
#include "worker/parked.h"

/* not more than this is read */
#define OPEN_BYTES		(16 * 1024 * 1024)

typedef struct NameEntry
{
	uint64		hash;			/* see wtc_order_hash() */
	char		status;
} NameEntry;

#define SH_PREFIX names
#define SH_ELEMENT_TYPE NameEntry
#include "worker/hashed.h"

static names_hash * names = NULL;

void
wtc_open_begin(MemoryContext cxt)
{
	names = names_create(cxt, 16, NULL);
}

static bool
is_small(void)
{
	const WtcParked *p;
	uint64		bytes = 0;
	int			pos = 0;

	while ((p = wtc_parked_open(&pos)) != NULL)
		bytes += p->len;
	return bytes <= OPEN_BYTES;
}

bool
wtc_open_read(bool wanted)
{
	const WtcParked *p;
	int			pos = 0;

	names_reset(names);
	if (!wanted || !is_small())
		return false;
	while ((p = wtc_parked_open(&pos)) != NULL)
	{
		WtcWalMessage message;
		WtcCursor	cursor;
		WtcOperation op;
		bool		found;

		wtc_parked_reopen(p, &message);
		if (wtc_batch_open(&cursor, message.batch, message.len))
		{
			while (!wtc_cursor_done(&cursor) && wtc_get_operation(&cursor, &op))
				(void) names_insert(names,
									wtc_order_hash(op.key,
												   op.kind == WTC_OP_INVALIDATE),
									&found);
		}
		wtc_wal_close();
	}
	return true;
}

bool
wtc_open_concerns(const WtcOperation *op)
{
	WtcCursor	cursor = wtc_list_cursor(&op->tags);
	WtcSpan		tag;

	if (names->members == 0)
		return false;
	if (names_lookup(names, wtc_order_hash(op->key, false)) != NULL)
		return true;
	while (!wtc_cursor_done(&cursor) && wtc_get_string(&cursor, &tag))
	{
		if (names_lookup(names, wtc_order_hash(tag, true)) != NULL)
			return true;
	}
	return false;
}
