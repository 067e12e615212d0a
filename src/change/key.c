/*-------------------------------------------------------------------------
 *
 * key.c
 *	  The key that messages in WAL are authenticated with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "change/key.h"
#include "change/message.h"
#include "storage/fd.h"
#include "utils/resowner.h"

#define KEY_BYTES		32
#define ID_BYTES		8

/* the file is renamed to its name when it is complete */
#define NEW_FILE		WTC_KEY_FILE ".new"

/* The file, and what shared memory has of it. */
typedef struct Key
{
	uint8		secret[KEY_BYTES];	/* set at start-up */
	uint64		since;			/* 0: not known yet; by the worker only */
} Key;

/* What a message is bound to, besides its content. */
typedef struct Place
{
	uint64		xid;
	uint32		timeline;
	uint32		database;
} Place;

static Key *key = NULL;

/* --- the file --- */

static void
write_file(const Key *content)
{
	int			fd = OpenTransientFile(NEW_FILE,
									   O_CREAT | O_TRUNC | O_WRONLY | PG_BINARY);

	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", NEW_FILE)));
	errno = 0;
	if (write(fd, content, sizeof(Key)) != sizeof(Key))
	{
		/* if write didn't set errno, assume problem is no disk space */
		int			problem = errno != 0 ? errno : ENOSPC;

		/* the worker has no transaction whose end would close it */
		(void) CloseTransientFile(fd);
		errno = problem;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", NEW_FILE)));
	}
	if (CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", NEW_FILE)));
	(void) durable_rename(NEW_FILE, WTC_KEY_FILE, ERROR);
}

/* False: there is none. */
static bool
read_file(Key *content)
{
	char		buf[sizeof(Key) + 1];
	int			fd = OpenTransientFile(WTC_KEY_FILE, O_RDONLY | PG_BINARY);
	ssize_t		len;

	if (fd < 0 && errno == ENOENT)
		return false;
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", WTC_KEY_FILE)));
	len = read(fd, buf, sizeof(buf));
	if (len < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", WTC_KEY_FILE)));
	if (len != sizeof(Key))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" has not the size of a key of wtcache",
						WTC_KEY_FILE),
				 errhint("Restore it from a backup, or remove it: then a new key is made, and the cache is emptied.")));
	(void) CloseTransientFile(fd);
	memcpy(content, buf, sizeof(Key));
	return true;
}

Size
wtc_key_size(void)
{
	return sizeof(Key);
}

void
wtc_key_attach(void *place, bool initialise)
{
	key = place;
	if (!initialise || read_file(key))
		return;
	if (!pg_strong_random(key->secret, KEY_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random key for wtcache")));
	key->since = InvalidXLogRecPtr;
	write_file(key);
}

XLogRecPtr
wtc_key_since(void)
{
	return key->since;
}

void
wtc_key_set_since(XLogRecPtr since)
{
	Key			content = *key;

	content.since = since;
	write_file(&content);
	key->since = since;
}

/* --- codes --- */

/*
 * One context for the life of the process, because making one costs more than
 * a code.  It belongs to a resource owner that is never released.
 */
static pg_hmac_ctx *
get_context(void)
{
	static pg_hmac_ctx * context = NULL;
	ResourceOwner owner = CurrentResourceOwner;

	if (context != NULL)
		return context;
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "wtcache");
	context = pg_hmac_create(PG_SHA256);
	CurrentResourceOwner = owner;
	if (context == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	return context;
}

static void
compute(const void *head, size_t head_len, const char *data, size_t len,
		uint8 *result)
{
	pg_hmac_ctx *context = get_context();

	if (pg_hmac_init(context, key->secret, KEY_BYTES) < 0 ||
		pg_hmac_update(context, head, head_len) < 0 ||
		pg_hmac_update(context, (const uint8 *) data, len) < 0 ||
		pg_hmac_final(context, result, PG_SHA256_DIGEST_LENGTH) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the code of a message: %s",
						pg_hmac_error(context))));
}

static void
compute_code(const Place *place, const char *data, size_t len,
			 char code[WTC_CODE_CHARS])
{
	uint8		result[PG_SHA256_DIGEST_LENGTH];

	compute(place, sizeof(*place), data + WTC_CODE_CHARS, len - WTC_CODE_CHARS,
			result);
	(void) wtc_put_sixbit(code, result, WTC_CODE_BYTES);
}

void
wtc_sign_message(char *data, size_t len, FullTransactionId xid)
{
	Place		place = {
		.xid = U64FromFullTransactionId(xid),
		.timeline = GetWALInsertionTimeLine(),
		.database = MyDatabaseId
	};

	compute_code(&place, data, len, data);
}

bool
wtc_verify_message(const char *data, size_t len, TimeLineID timeline,
				   Oid database, FullTransactionId xid)
{
	Place		place = {
		.xid = U64FromFullTransactionId(xid),
		.timeline = timeline,
		.database = database
	};
	char		code[WTC_CODE_CHARS];
	char		differ = 0;

	if (len < WTC_CODE_CHARS)
		return false;
	compute_code(&place, data, len, code);
	/* how long it takes does not tell where they differ */
	for (int i = 0; i < WTC_CODE_CHARS; i++)
		differ |= code[i] ^ data[i];
	return differ == 0;
}

const char *
wtc_key_id(void)
{
	static const char what[] = "wtcache:key";
	static char id[2 * ID_BYTES + 1];
	uint8		result[PG_SHA256_DIGEST_LENGTH];

	if (id[0] == '\0')
	{
		/* shorter than what a code is made from, so it is none */
		StaticAssertStmt(sizeof(what) < sizeof(Place), "not a place");
		compute(what, sizeof(what), "", 0, result);
		for (int i = 0; i < ID_BYTES; i++)
			snprintf(id + 2 * i, 3, "%02x", result[i]);
	}
	return id;
}
