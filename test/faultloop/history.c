/*-------------------------------------------------------------------------
 *
 * history.c
 *	  What happened lately, and telling it when something is wrong.
 *
 * Writers note what they do in a ring.  An entry may be overwritten while it
 * is read: it is for people to read, and nothing depends on it.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "faultloop.h"

#define RING			(1 << 19)
#define MAX_TOLD		10		/* violations of a class told in full */
#define MAX_EVENTS		60		/* events of the row told for one */
#define TOLD_SECONDS	30

typedef struct Event
{
	double		at;
	const Entity *entity;
	Mark		mark;
	uint16_t	kind;
	uint16_t	who;
	uint32_t	loss;
	uint32_t	trouble;
} Event;

static Event ring[RING];
static _Atomic uint64_t next_event;
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

void
history_note(EventKind kind, int who, const Entity *entity, Mark mark)
{
	Event	   *event = &ring[atomic_fetch_add(&next_event, 1) % RING];

	event->entity = entity;
	event->mark = mark;
	event->kind = kind;
	event->who = who;
	event->loss = LOOK(LOSS);
	event->trouble = LOOK(TROUBLE);
	event->at = now();
}

static void
tell_event(const Event *event)
{
	static const char *const kinds[] = {
		"sends", "acknowledged", "failed", "unheard", "prepared",
		"sends async", "rolls back", "makes a page of", "has the schema"
	};

	printf("  %.6f writer %d: %s %ld%s (loss %u, trouble %u)\n", event->at,
		   event->who, kinds[event->kind], MARK_SEQ(event->mark),
		   odd(event->mark) ? " (deletion)" : "", event->loss,
		   event->trouble);
}

/* The last events of this row */
static void
tell_events(const Entity *entity)
{
	uint64_t	end = atomic_load(&next_event);
	uint64_t	begin = end > RING ? end - RING : 0;
	const Event *events[MAX_EVENTS];
	int			n = 0;

	for (uint64_t i = end; i-- > begin && n < MAX_EVENTS;)
	{
		const Event *event = &ring[i % RING];

		if (event->at < now() - TOLD_SECONDS)
			break;
		if (event->entity == entity)
			events[n++] = event;
	}
	while (n-- > 0)
		tell_event(events[n]);
}

void
report(Word class, const Key *key, const char *text, const char *more)
{
	static const char *const names[] = {
#define WORD(name) #name,
#include "words.h"
#undef WORD
	};
	uint64_t	before = atomic_fetch_add(&control[class], 1);

	if (before >= MAX_TOLD)
		return;
	pthread_mutex_lock(&telling);
	printf("VIOLATION %s at %.6f: ", names[class] + 2, now());
	if (key != NULL)
	{
		printf("%s:%ld: %s\n", table_name(key->table), key->id, text);
		if (more != NULL)
			printf("  %s\n", more);
		tell_events(key->entity);
	}
	else
		printf("%s\n", text);
	fflush(stdout);
	pthread_mutex_unlock(&telling);
}
