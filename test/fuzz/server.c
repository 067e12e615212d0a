/*-------------------------------------------------------------------------
 *
 * server.c
 *	  The server's functions that the code under test calls, outside of it.
 *
 * Memory comes from malloc(), so that the sanitizers see the bounds of every
 * piece; there are no contexts, and all of it is freed after each input.  An
 * error jumps to where the harness expects it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "executor/tuptable.h"
#include "fuzz.h"
#include "nodes/bitmapset.h"

unsigned long fuzz_accepted = 0;
jmp_buf    *fuzz_on_error = NULL;

/* ------------------------------------------------------------------------
 * Memory
 * ------------------------------------------------------------------------
 */
MemoryContext CurrentMemoryContext = NULL;

static void **pieces = NULL;
static size_t npieces = 0;
static size_t room = 0;

static void *
keep(void *piece)
{
	if (piece == NULL)
		abort();
	if (npieces == room)
	{
		room = room == 0 ? 64 : room * 2;
		pieces = realloc(pieces, room * sizeof(void *));
		if (pieces == NULL)
			abort();
	}
	pieces[npieces++] = piece;
	return piece;
}

/* Where the piece stands; the newest ones are looked for most. */
static size_t
find(const void *piece)
{
	size_t		i = npieces;

	while (i-- > 0)
	{
		if (pieces[i] == piece)
			return i;
	}
	fprintf(stderr, "not palloc'd\n");
	abort();
}

void
fuzz_free_all(void)
{
	while (npieces > 0)
		free(pieces[--npieces]);
}

void *
palloc(Size size)
{
	return keep(malloc(size));
}

void *
palloc0(Size size)
{
	return keep(calloc(1, size));
}

void
pfree(void *piece)
{
	pieces[find(piece)] = pieces[npieces - 1];
	npieces--;
	free(piece);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return palloc(size);
}

void *
repalloc_huge(void *piece, Size size)
{
	return repalloc(piece, size);
}

void *
repalloc(void *piece, Size size)
{
	size_t		i = find(piece);

	pieces[i] = realloc(piece, size);
	if (pieces[i] == NULL)
		abort();
	return pieces[i];
}

char *
pnstrdup(const char *in, Size len)
{
	return keep(strndup(in, len));
}

char *
pstrdup(const char *in)
{
	return keep(strdup(in));
}

/* ------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------
 */
bool
errstart(int elevel, const char *domain)
{
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (fuzz_on_error != NULL)
		longjmp(*fuzz_on_error, 1);
	fprintf(stderr, "unexpected error in %s, %s:%d\n", funcname, filename,
			lineno);
	abort();
}

int
errcode(int sqlerrcode)
{
	return 0;
}

/* What the arguments of a message are is looked at, to find stray pointers. */
static int
format(const char *fmt, va_list args)
{
	char		text[256];

	vsnprintf(text, sizeof(text), fmt, args);
	return 0;
}

#define MESSAGE_PART(name) \
int \
name(const char *fmt,...) \
{ \
	va_list		args; \
\
	va_start(args, fmt); \
	format(fmt, args); \
	va_end(args); \
	return 0; \
}

MESSAGE_PART(errmsg)
MESSAGE_PART(errmsg_internal)
MESSAGE_PART(errdetail)
MESSAGE_PART(errdetail_internal)
MESSAGE_PART(errhint)

/* ------------------------------------------------------------------------
 * The rest
 * ------------------------------------------------------------------------
 */
char *
GetMockAuthenticationNonce(void)
{
	static char nonce[MOCK_AUTH_NONCE_LEN];

	return nonce;
}

void
slot_getsomeattrs_int(TupleTableSlot *slot, int attnum)
{
	abort();					/* all attributes are there */
}

/* Sets of small numbers are enough here: one word. */
Bitmapset *
bms_add_member(Bitmapset *set, int x)
{
	if (x < 0 || x >= BITS_PER_BITMAPWORD)
		abort();
	if (set == NULL)
	{
		set = palloc0(offsetof(Bitmapset, words) + sizeof(bitmapword));
		set->nwords = 1;
	}
	set->words[0] |= (bitmapword) 1 << x;
	return set;
}

bool
bms_is_member(int x, const Bitmapset *set)
{
	return set != NULL && (set->words[0] & ((bitmapword) 1 << x)) != 0;
}

int
bms_num_members(const Bitmapset *set)
{
	int			n = 0;

	if (set != NULL)
	{
		for (bitmapword word = set->words[0]; word != 0; word &= word - 1)
			n++;
	}
	return n;
}
