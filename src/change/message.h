/*-------------------------------------------------------------------------
 *
 * message.h
 *	  The message in WAL: a batch, and whose it is.
 *
 * wtcache writes logical messages under the prefix WTC_MESSAGE_PREFIX.  Logical
 * decoding hands their content to clients as text, so it consists of ASCII
 * characters other than NUL, which are valid text in every server encoding:
 *
 *	  message  := code 'o' batch
 *	            | code 'n' xid lsn batch
 *	  code     := 22 characters
 *	  xid, lsn := number as in a batch, see batch.h
 *
 * The code authenticates what follows it, see key.h.
 *
 * The first form is written at the end of a transaction, as a transactional
 * message: the transaction is that of the WAL record, the version is the end
 * of the record.  The second is not transactional and names its transaction,
 * which may be a subtransaction, and its version.  It is used for what a large
 * transaction writes on its way, and by the worker, to carry forward the batch
 * of a transaction that stays prepared for long.
 *
 * The bytes of the batch stand for themselves, except for NUL, '~' and those
 * that are not ASCII.  "~~" is a '~'.  A stretch of bytes around those others
 * is written as "~...~", six bits a character, high ones first: the characters
 * from '0' to 'o'.
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

#define WTC_MESSAGE_PREFIX	"wtcache"

/* characters of the code; bytes that it stands for */
#define WTC_CODE_CHARS		22
#define WTC_CODE_BYTES		16

typedef struct WtcMessage
{
	TransactionId xid;			/* InvalidTransactionId: the record's */
	XLogRecPtr	lsn;			/* version; 0: the end of the record */
	WtcSpan		batch;			/* to be opened with wtc_batch_open() */
} WtcMessage;

/*
 * Appends a message, whose code is yet to be filled in, see key.h.  May raise
 * an error (out of memory).
 */
extern void wtc_put_message(StringInfo buf, const WtcMessage *message);

/*
 * Takes a message apart, and checks the batch to its end, but not the code.
 * Overwrites the message with the bytes of the batch.  False: it is none.
 */
extern bool wtc_get_message(char *data, size_t len, WtcMessage *message);

/* Writes bytes as six bits a character; returns the end of them. */
extern char *wtc_put_sixbit(char *to, const uint8 *data, size_t len);

#endif							/* WTC_CHANGE_MESSAGE_H */
