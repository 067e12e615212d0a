/*-------------------------------------------------------------------------
 *
 * message.h
 *	  The message in WAL: a batch, and whose it is.
 *
 * wtcache writes logical messages.  Everybody may do so, with
 * pg_logical_emit_message(); so that nobody can put into the cache what he may
 * not write into the tables, their prefix is "wtcache:" with a number that
 * only the server and its standbys know.  Their content is
 *
 *	  message  := batch                              (begins with byte 1)
 *	            | 3 xid lsn batch
 *	  xid, lsn := varint
 *
 * The first form is written at the end of a transaction, as a transactional
 * message: the transaction is that of the WAL record, the version is the end
 * of the record.  The second is not transactional and names its transaction
 * itself, which may be a subtransaction; lsn 0 means that its version, too,
 * is the end of its own record.  It is used for what a large transaction writes
 * on its way, and by the worker, to carry forward the batch of a transaction
 * that stays prepared for long, which keeps its version.
 *
 * Byte 2 begins a form that an earlier release wrote; it is not read any more.
 *
 * Reading allocates nothing, raises nothing, and never looks past the end,
 * whatever the bytes are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CHANGE_MESSAGE_H
#define WTC_CHANGE_MESSAGE_H

#include "access/xlogdefs.h"
#include "lib/stringinfo.h"
#include "change/batch.h"

#define WTC_MESSAGE_FORMER	2
#define WTC_MESSAGE_NAMED	3

typedef struct WtcMessage
{
	TransactionId xid;			/* InvalidTransactionId: the record's */
	XLogRecPtr	lsn;			/* version; 0: the end of the record */
	WtcSpan		batch;			/* to be opened with wtc_batch_open() */
} WtcMessage;

/*
 * The prefix of our messages.  Needs shared memory; raises nothing.
 */
extern const char *wtc_message_prefix(void);

/*
 * Begins a message of the second form: appends all but the batch.  May raise
 * an error (out of memory).
 */
extern void wtc_put_message_head(StringInfo buf, TransactionId xid,
								 XLogRecPtr lsn);

/*
 * Takes a message apart, and checks the batch to its end.  False: it is none.
 */
extern bool wtc_get_message(const char *data, size_t len, WtcMessage *message);

#endif							/* WTC_CHANGE_MESSAGE_H */
