/*-------------------------------------------------------------------------
 *
 * message.c
 *	  Writing and reading the message in WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <inttypes.h>

#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/hashfn.h"
#include "change/message.h"

/*
 * The number is made from the secret that initdb leaves in the control file
 * for mock authentication: standbys have the same, and no SQL shows it.
 */
const char *
wtc_message_prefix(void)
{
	static char prefix[32];

	if (prefix[0] == '\0')
		snprintf(prefix, sizeof(prefix), "wtcache:%016" PRIx64,
				 hash_bytes_extended((unsigned char *) GetMockAuthenticationNonce(),
									 MOCK_AUTH_NONCE_LEN, 0x7774636163686521));
	return prefix;
}

void
wtc_put_message_head(StringInfo buf, TransactionId xid, XLogRecPtr lsn)
{
	appendStringInfoCharMacro(buf, (char) WTC_MESSAGE_NAMED);
	wtc_put_varint(buf, xid);
	wtc_put_varint(buf, lsn);
}

bool
wtc_get_message(const char *data, size_t len, WtcMessage *message)
{
	WtcCursor	cursor = {data, data + len};
	WtcOperation op;
	uint64		xid = InvalidTransactionId;
	uint64		lsn = 0;

	if (len > 0 && *data == WTC_MESSAGE_NAMED)
	{
		cursor.p++;
		if (!wtc_get_varint(&cursor, &xid) ||
			!wtc_get_varint(&cursor, &lsn) ||
			xid > PG_UINT32_MAX || !TransactionIdIsNormal((TransactionId) xid))
			return false;
	}
	message->xid = (TransactionId) xid;
	message->lsn = lsn;
	message->batch.data = cursor.p;
	message->batch.len = (uint32) (cursor.end - cursor.p);

	if (!wtc_batch_open(&cursor, message->batch.data, message->batch.len))
		return false;
	while (!wtc_cursor_done(&cursor))
	{
		if (!wtc_get_operation(&cursor, &op))
			return false;
	}
	return true;
}
