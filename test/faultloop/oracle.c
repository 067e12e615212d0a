/*-------------------------------------------------------------------------
 *
 * oracle.c
 *	  What a reader of Redis may find, by what the writers have done.
 *
 * It knows nothing of wtcache but what README promises.  The classes:
 *
 * POISON		a value that was rolled back, or replaced by the same statement
 * BROKEN		not the whole image of one version of the row
 * UNSENT		a version that nobody has sent to be committed yet
 * AHEAD		newer than what the table shows to a query after the read
 * BACKWARDS	older than what somebody has read of this key before
 * STALE		older than a commit that was acknowledged before the read
 * MISSING		not there, though it has been stored and not changed since
 *
 * POISON, BROKEN, UNSENT and AHEAD hold always.  BACKWARDS holds as long as Redis
 * itself has lost nothing: conduct.pl makes LOSS odd before it restarts Redis
 * without its newest data, or flushes it, and even again when it is back; what
 * is known is forgotten then.  STALE needs an acknowledgement of which it is
 * sure that the push was not in its way: a commit in write-through mode, with
 * TROUBLE even and the same before and after it.  TROUBLE is odd from the
 * first fault on that can make a push fail without failing its commit, until
 * all that was missed is replayed and the breaker closed.  Such a commit stays
 * valid later on, in whatever faults: what is in Redis may be replaced by
 * something newer only.  Killing backends, the server or the worker is not
 * TROUBLE: who is killed acknowledges nothing that is not pushed.
 *
 * MISSING is for calm phases, when nothing is done to anyone: the version was
 * stored in this phase, by a session that had spoken with this Redis before
 * (the first push of a session after a loss may only delete), and no newer one
 * has been sent to be committed by the time of the reply.
 *
 * A page is held against its section: it was current when it was committed, for
 * its maker held a lock of the row, and every later change of the row invalidates
 * it.  So what was acknowledged makes older pages STALE as it does images,
 * and who has read a page may not read an older one (BACKWARDS): its maker
 * saw the change that invalidates that.  A page may be absent at any time.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"

int			nkeys;
Key		   *keys;
Entity	   *hot;
Entity	   *slices;
_Atomic uint64_t hot_detached;
static Entity *own;
static Entity *sections;
static int	first_key[PAGE + 1];	/* of each table */

/* A Mark with the number of a time, so that a later time counts as more. */
#define EPOCH_SHIFT	44

static uint64_t
pack(uint64_t epoch, Mark mark)
{
	return epoch << EPOCH_SHIFT | mark;
}

static bool
of_epoch(uint64_t packed, uint64_t epoch)
{
	return packed != 0 && packed >> EPOCH_SHIFT == epoch;
}

static Mark
mark_of(uint64_t packed)
{
	return packed & (((uint64_t) 1 << EPOCH_SHIFT) - 1);
}

Mark
oracle_known(uint64_t packed, uint64_t epoch)
{
	return of_epoch(packed, epoch) ? mark_of(packed) : 0;
}

static void
raise_to(_Atomic uint64_t *what, uint64_t to)
{
	uint64_t	seen = atomic_load(what);

	while (seen < to && !atomic_compare_exchange_weak(what, &seen, to))
		;
}

const char *
table_name(Table table)
{
	static const char *const names[] = {
		"items", "hot", "bulk", "section", "page", "shaped", "parted"
	};

	return names[table];
}

Entity *
own_entity(int writer, int n)
{
	return n < OWN_ROWS ? &own[writer * OWN_ROWS + n] :
		section_entity(writer, n - OWN_ROWS);
}

Entity *
section_entity(int owner, int n)
{
	return &sections[owner * SECTIONS + n];
}

Key *
key_of(Table table, long n)
{
	return &keys[first_key[table] + n];
}

static void
add_key(Table table, long id, Entity *entity)
{
	if (id == 0)
		first_key[table] = nkeys;
	keys[nkeys].table = table;
	keys[nkeys].id = id;
	keys[nkeys].entity = entity;
	nkeys++;
}

static Entity *
make_entities(Table table, int n)
{
	Entity	   *entities = calloc(n, sizeof(Entity));

	for (int i = 0; i < n; i++)
	{
		entities[i].table = table;
		entities[i].id = i;
	}
	return entities;
}

void
oracle_init(void)
{
	int			nown = nwriters * OWN_ROWS;
	int			nsections = (nwriters + 1) * SECTIONS;

	own = make_entities(ITEMS, nown);
	hot = make_entities(HOT, HOT_ROWS);
	slices = make_entities(BULK, SLICES);
	sections = make_entities(SECTION, nsections);
	keys = calloc(nown + HOT_ROWS + SLICES * SLICE_ROWS + 2 * nsections,
				  sizeof(Key));
	if (own == NULL || hot == NULL || slices == NULL || sections == NULL ||
		keys == NULL)
		die("out of memory");
	for (int i = 0; i < nown; i++)
		add_key(ITEMS, i, &own[i]);
	for (int i = 0; i < HOT_ROWS; i++)
		add_key(HOT, i, &hot[i]);
	for (int i = 0; i < SLICES * SLICE_ROWS; i++)
		add_key(BULK, i, &slices[i / SLICE_ROWS]);
	for (int i = 0; i < nsections; i++)
		add_key(SECTION, i, &sections[i]);
	for (int i = 0; i < nsections; i++)
		add_key(PAGE, i, &sections[i]);
}

/* ------------------------------------------------------------------------
 * Writers
 * ------------------------------------------------------------------------
 */
void
oracle_sent(Entity *entity, Mark mark)
{
	raise_to(&entity->sent, mark);
}

void
claim_begin(Claim *claim)
{
	claim->detached = hot_detached;
	claim->calm = LOOK(CALM);
	claim->trouble = LOOK(TROUBLE);
	claim->loss = LOOK(LOSS);
}

bool
claim_sure(const Claim *claim)
{
	return !odd(claim->loss) && !odd(claim->trouble) &&
		claim->loss == LOOK(LOSS) && claim->trouble == LOOK(TROUBLE);
}

bool
claim_calm(const Claim *claim)
{
	return claim->calm != 0 && claim->calm == LOOK(CALM);
}

static bool
followed(const Entity *entity, const Claim *claim)
{
	return entity->table != HOT ||
		(!odd(claim->detached) && claim->detached == hot_detached);
}

void
oracle_sure(Entity *entity, Mark mark, const Claim *claim)
{
	if (followed(entity, claim))
		raise_to(&entity->sure, pack(claim->loss, mark));
}

void
oracle_present(Entity *entity, Mark mark, const Claim *claim)
{
	if (followed(entity, claim))
		raise_to(&entity->present, pack(claim->calm, mark));
}

/* Less than the push_timeout that conduct.pl sets */
#define AWAITED		4.0

void
oracle_awaited(const Write *writes, int n, const Claim *claim, double begun)
{
	if (!claim_sure(claim) || !claim_calm(claim) || now() - begun > AWAITED)
		return;
	for (int i = 0; i < n; i++)
		oracle_sure(writes[i].entity, writes[i].mark, claim);
}

/* ------------------------------------------------------------------------
 * Readers
 * ------------------------------------------------------------------------
 */
void
oracle_before(const Key *key, Before *before)
{
	before->at = now();
	before->loss = LOOK(LOSS);
	before->calm = LOOK(CALM);
	before->sure = atomic_load(&key->entity->sure);
	before->present = atomic_load(&key->entity->present);
	before->seen = atomic_load(&key->seen);
}

/*
 * The JSON of a row in this version, as row_to_json writes it: all other
 * columns follow from these.  See schema.sql.
 */
static int
make_image(char *buf, size_t size, long id, long seq, long writer)
{
	long		category = (seq / 2 * 7 + id) % CATEGORIES;
	char		pad[100];

	memset(pad, 'x', sizeof(pad));
	return snprintf(buf, size, "{\"id\":%ld,\"seq\":%ld,\"writer\":%ld,"
					"\"category\":%ld,\"note\":\"good-%ld-%ld\","
					"\"pad\":\"%.*s\",\"checksum\":%ld}",
					id, seq, writer, category, id, seq,
					(int) (seq % 100), pad,
					(id * 1000003 + seq * 7919 + writer * 104729 +
					 category * 31) % 2147483647);
}

/* As jsonb writes what pg.c makes */
static int
make_page(char *buf, size_t size, long id, long seq, long writer)
{
	return snprintf(buf, size, "[%ld, %ld, %ld]", id, seq, writer);
}

/* Is it a whole image?  Then *seq is its version. */
static bool
take_apart(const Key *key, const char *value, size_t len, long *seq)
{
	const char *format = key->table == PAGE ? "[%ld, %ld, %ld]" :
		"{\"id\":%ld,\"seq\":%ld,\"writer\":%ld,";
	char		buf[512];
	long		id;
	long		writer;
	int			n;

	if (len >= sizeof(buf) ||
		sscanf(value, format, &id, seq, &writer) != 3 ||
		id != key->id || *seq < 0 || writer < 0)
		return false;
	n = key->table == PAGE ? make_page(buf, sizeof(buf), id, *seq, writer) :
		make_image(buf, sizeof(buf), id, *seq, writer);
	return n == (int) len && memcmp(buf, value, len) == 0;
}

long
oracle_seq(const Key *key, const char *value, size_t len)
{
	long		seq;

	return take_apart(key, value, len, &seq) ? seq : -1;
}

void
oracle_found(Finding *finding, Word class, const Before *before,
			 const char *value, const char *rule, Mark than)
{
	finding->class = class;
	snprintf(finding->text, sizeof(finding->text),
			 "read %.160s; %s %ld%s (read for %.6f s, loss %lu, calm %lu)",
			 value == NULL ? "nothing" : value, rule, MARK_SEQ(than),
			 than & 1 ? " (deleted)" : "", now() - before->at,
			 (unsigned long) before->loss, (unsigned long) before->calm);
}

static void
check_absence(Key *key, const Before *before, Finding *finding)
{
	Mark		mark = mark_of(before->present);

	COUNT(ABSENT, 1);
	if (key->table == PAGE || may_miss || before->calm == 0 ||
		!of_epoch(before->present, before->calm) || odd(mark))
		return;
	/* no newer one under way, and no fault begun */
	if (atomic_load(&key->entity->sent) != mark ||
		LOOK(CALM) != before->calm)
		return;
	COUNT(CHECKED_PRESENT, 1);
	oracle_found(finding, W_V_MISSING, before, NULL, "stored was", mark);
}

void
oracle_age(Key *key, const Before *before, const char *value, Mark mark,
		   Finding *finding)
{
	Mark		sent = atomic_load(&key->entity->sent);
	Mark		sure = mark_of(before->sure);
	Mark		seen = mark_of(before->seen);

	if (mark > sent)
		oracle_found(finding, W_V_UNSENT, before, value,
					 "newest sent to commit is", sent);
	/* the rest is void if Redis has lost data meanwhile */
	if (odd(before->loss) || LOOK(LOSS) != before->loss)
		return;
	if (key->table != PAGE && of_epoch(before->present, before->calm) &&
		before->calm != 0)
		COUNT(CHECKED_PRESENT, 1);
	if (of_epoch(before->sure, before->loss))
	{
		COUNT(CHECKED_SURE, 1);
		if (mark < sure)
			oracle_found(finding, W_V_STALE, before, value, "acknowledged was",
						 sure);
	}
	if (of_epoch(before->seen, before->loss) && mark < seen)
		oracle_found(finding, W_V_BACKWARDS, before, value, "seen before was",
					 seen);
	raise_to(&key->seen, pack(before->loss, mark));
}

void
oracle_after(Key *key, const Before *before, const char *value, size_t len,
			 Finding *finding)
{
	long		seq = value == NULL ? 0 : oracle_seq(key, value, len);

	finding->class = 0;
	COUNT(CHECKED, 1);
	if (key->table == PAGE && value != NULL)
		COUNT(PAGES_READ, 1);
	if (value == NULL)
		check_absence(key, before, finding);
	else if (seq >= 0 && !(key->table == ITEMS && REPLACED(seq)))
		oracle_age(key, before, value, MARK(seq, 0), finding);
	else if (seq >= 0 || strstr(value, "poison") != NULL)
		oracle_found(finding, W_V_POISON, before, value, "sent was",
					 atomic_load(&key->entity->sent));
	else
		oracle_found(finding, W_V_BROKEN, before, value, "sent was",
					 atomic_load(&key->entity->sent));
}
