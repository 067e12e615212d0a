/*-------------------------------------------------------------------------
 *
 * wal.c
 *	  Reading our messages back from WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "compat.h"
#include "miscadmin.h"
#include "change/key.h"
#include "change/message.h"
#include "utils/memutils.h"
#include "walpos.h"
#include "worker/check.h"
#include "worker/order.h"
#include "worker/report.h"
#include "worker/wal.h"
#include "worker/worker.h"

static XLogReaderState *reader = NULL;
static XLogRecPtr end_lsn;
static bool at_end;
static ReadLocalXLogPageNoWaitPrivate page_private;

/* The timelines of this server; it stays on the last one as long as it runs. */
List *
wtc_wal_history(void)
{
	static List *history = NIL;

	if (history == NIL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		history = readTimeLineHistory(GetWALInsertionTimeLine());
		MemoryContextSwitchTo(old);
	}
	return history;
}

TimeLineID
wtc_wal_timeline(XLogRecPtr lsn)
{
	return tliOfPointInHistory(lsn, wtc_wal_history());
}

void
wtc_wal_flush(XLogRecPtr lsn)
{
	XLogFlush(wtc_flushable(lsn));
}

bool
wtc_wal_flushed(XLogRecPtr lsn)
{
	return GetFlushRecPtr(NULL) >= wtc_flushable(lsn);
}

static bool
segment_exists(TimeLineID timeline, XLogSegNo segno)
{
	char		path[MAXPGPATH];

	XLogFilePath(path, timeline, segno, wal_segment_size);
	return access(path, R_OK) == 0;
}

bool
wtc_wal_exists(XLogRecPtr lsn)
{
	XLogSegNo	segno;

	/* what has not been written yet cannot be missing */
	if (wtc_flushable(lsn) >= GetFlushRecPtr(NULL))
		return true;
	XLByteToSeg(lsn, segno, wal_segment_size);
	/* a segment in which the timeline changed goes by the name of the later */
	return segno > XLogGetLastRemovedSegno() &&
		(segment_exists(GetWALInsertionTimeLine(), segno) ||
		 segment_exists(wtc_wal_timeline(lsn), segno));
}

XLogRecPtr
wtc_wal_written_before(int seconds)
{
	time_t		limit = time(NULL) - seconds;
	XLogRecPtr	end = GetFlushRecPtr(NULL);
	XLogSegNo	segno;
	XLogRecPtr	start;
	char		path[MAXPGPATH];
	struct stat st;

	/* those behind the end may be old ones that wait to be used again */
	XLByteToSeg(end, segno, wal_segment_size);
	do
	{
		XLogSegNoOffsetToRecPtr(segno, 0, wal_segment_size, start);
		if (segno-- <= 1)
			return InvalidXLogRecPtr;
		XLogFilePath(path, wtc_wal_timeline(start - 1), segno, wal_segment_size);
		if (stat(path, &st) != 0)
			return InvalidXLogRecPtr;
	} while (st.st_mtime > limit);
	return start;
}

void
wtc_wal_open(XLogRecPtr from, XLogRecPtr upto)
{
	XLogRecPtr	first;

	Assert(reader == NULL);
	reader = XLogReaderAllocate(wal_segment_size, NULL,
								XL_ROUTINE(.page_read = read_local_xlog_page_no_wait,
										   .segment_open = wal_segment_open,
										   .segment_close = wal_segment_close),
								&page_private);
	if (reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while allocating a WAL reading processor.")));
	page_private.end_of_wal = false;
	end_lsn = upto;
	at_end = from >= upto;
	if (at_end)
		return;

	/* positions that were stored somewhere are not trusted to be exact */
	first = XLogFindNextRecord(reader, from);
	if (XLogRecPtrIsInvalid(first))
	{
		if (!page_private.end_of_wal)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("could not find a valid record in WAL at or after %X/%X",
							LSN_FORMAT_ARGS(from))));
		at_end = true;
		return;
	}
	XLogBeginRead(reader, first);
}

/* The transaction that a record names, with its epoch. */
static FullTransactionId
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (!TransactionIdIsNormal(xid))
		return InvalidFullTransactionId;
	/* its xid was given out before the next one */
	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

/*
 * Was this message written by wtcache in the transaction of its record?  Any
 * role can write one that was not.
 */
static bool
is_authentic(const xl_logical_message *record)
{
	static XLogRecPtr told = InvalidXLogRecPtr;
	const char *prefix = record->message;
	bool		former = strncmp(prefix, WTC_MESSAGE_PREFIX ":",
								 strlen(WTC_MESSAGE_PREFIX ":")) == 0;

	if (!former && strcmp(prefix, WTC_MESSAGE_PREFIX) != 0)
		return false;
	if (!former &&
		wtc_verify_message(record->message + record->prefix_size,
						   record->message_size,
						   wtc_wal_timeline(reader->ReadRecPtr),
						   record->dbId, full_xid(XLogRecGetXid(reader))))
		return true;
	if (reader->ReadRecPtr < wtc_key_since())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("message in WAL at %X/%X was not written with the key in \"%s\"",
						LSN_FORMAT_ARGS(reader->ReadRecPtr), WTC_KEY_FILE),
				 errdetail("The key is in use since %X/%X, so this may be a message of an earlier key or release.",
						   LSN_FORMAT_ARGS(wtc_key_since()))));
	/* what is read several times is told once */
	if (!former && reader->ReadRecPtr > told)
	{
		told = reader->ReadRecPtr;
		wtc_report_forged(told, XLogRecGetXid(reader));
	}
	return false;
}

/* Is this record a message of ours? */
static bool
take_record(WtcWalMessage *message)
{
	xl_logical_message *record;
	size_t		len = XLogRecGetDataLen(reader);
	WtcMessage	content;

	if (XLogRecGetRmid(reader) != RM_LOGICALMSG_ID || len < SizeOfLogicalMessage)
		return false;
	record = (xl_logical_message *) XLogRecGetData(reader);
	len -= SizeOfLogicalMessage;
	if (record->prefix_size == 0 || record->prefix_size > len ||
		record->message[record->prefix_size - 1] != '\0' ||
		record->message_size != len - record->prefix_size ||
		!is_authentic(record))
		return false;
	if (!wtc_get_message(record->message + record->prefix_size,
						 record->message_size, &content))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("message in WAL at %X/%X is malformed",
						LSN_FORMAT_ARGS(reader->ReadRecPtr))));

	message->start = reader->ReadRecPtr;
	message->xid = content.xid != InvalidTransactionId ? content.xid :
		XLogRecGetXid(reader);
	message->lsn = content.lsn != InvalidXLogRecPtr ? content.lsn :
		reader->EndRecPtr;
	message->database = record->dbId;
	message->batch = content.batch.data;
	message->len = content.batch.len;
	return TransactionIdIsNormal(message->xid);
}

bool
wtc_wal_next(WtcWalMessage *message)
{
	static uint32 n = 0;

	while (!at_end)
	{
		char	   *problem = NULL;

		if (XLogReadRecord(reader, &problem) == NULL)
		{
			at_end = true;
			if (problem != NULL && !page_private.end_of_wal)
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("could not read WAL at %X/%X: %s",
								LSN_FORMAT_ARGS(reader->EndRecPtr), problem)));
			break;
		}
		if (reader->ReadRecPtr >= end_lsn)
		{
			at_end = true;
			break;
		}
		if (++n % 1024 == 0)
			wtc_worker_check();
		wtc_order_take(reader);
		if (take_record(message))
			return true;
	}
	return false;
}

bool
wtc_wal_is_open(void)
{
	return reader != NULL;
}

void
wtc_wal_close(void)
{
	if (reader == NULL)
		return;
	if (reader->seg.ws_file >= 0)
		wal_segment_close(reader);
	XLogReaderFree(reader);
	reader = NULL;
}
