/*-------------------------------------------------------------------------
 *
 * shape.h
 *	  The tables whose schema is changed: what shape.c knows of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SHAPE_H
#define SHAPE_H

#include "faultloop.h"

#define SHAPE_ROWS	200
#define PARTS		4
#define PART_ROWS	(SHAPE_ROWS / PARTS)

#define SHAPE_RING	512
#define SHAPE_TEXT	240
#define CHANGE_TEXT	100

/*
 * A shape is numbered like the seq of a row, and the numbers' oracle is an
 * Entity: "sent" is the last one that has been sent to be committed, and no
 * image may be of one older than "sure".
 */
typedef struct Shaped
{
	Table		table;
	Entity		shape;
	Entity		rows[SHAPE_ROWS];
	Key			keys[SHAPE_ROWS];

	/*
	 * Newest deletion of the row that its writer has sent.  While that is on
	 * its way the key is there still, and there is no row by which a change of
	 * the schema could know of it.
	 */
	_Atomic uint64_t deleting[SHAPE_ROWS];

	/* columns by the number of the shape, as shape_of_image() writes them */
	char		texts[SHAPE_RING][SHAPE_TEXT];

	/* and what made it so, for people to read */
	char		changes[SHAPE_RING][CHANGE_TEXT];

	/*
	 * Odd while a partition is leaving by itself: its rows are none of the
	 * table's already, and its keys are there still.
	 */
	_Atomic uint64_t leaving;

	/* Odd while the cache may not follow the table. */
	_Atomic uint64_t unfollowed;
} Shaped;

/* By parity of the argument of the threads */
extern Shaped shaped_tables[2];

extern void shape_init(void);

/* For who changes the schema: before the commit is sent. */
extern void shape_sent(Shaped *shaped, long number, const char *text,
					   const char *change);

#endif							/* SHAPE_H */
