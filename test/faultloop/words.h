/*-------------------------------------------------------------------------
 *
 * words.h
 *	  The words of the control file, 64 bits each, by which conduct.pl and
 *	  load.c talk: both read this list.  No include guard: it is included for
 *	  what WORD is at that place.
 *
 *-------------------------------------------------------------------------
 */

/*
 * Written by conduct.pl.  LOSS, SWITCH and TROUBLE are odd while what they are named
 * for may happen, and another number each time after that.
 */
WORD(LOSS)						/* Redis itself loses what it holds */
WORD(SWITCH)					/* another server takes PostgreSQL's place */
WORD(TROUBLE)					/* a push may fail although its commit does not */
WORD(CALM)						/* nothing at all is done to anyone; 0: not so */
WORD(RUN)						/* writers write; 0: they come to rest */
WORD(MIX)						/* what kinds of transactions: see faultloop.h */
WORD(STOP)						/* everybody ends */
WORD(AT_WORK)					/* which operators are: see faultloop.h */

/* Written by load.c */
WORD(READY)						/* it has begun */
WORD(IDLE)						/* how many writers have come to rest */
WORD(PREPARED)					/* prepared transactions not finished yet */
WORD(OPERATORS)					/* threads of operators */
WORD(OPERATORS_IDLE)			/* how many have left everything in order */

/* counters */
WORD(COMMITS)
WORD(ROWS)
WORD(ROLLBACKS)
WORD(SAVEPOINTS)
WORD(ASYNC)
WORD(PREPARES)
WORD(COMMIT_PREPARED)
WORD(ROLLBACK_PREPARED)
WORD(BIG)
WORD(PAGES)						/* stored in transactions meant to commit */
WORD(UNKNOWN)					/* commits whose outcome the client never heard */
WORD(ERRORS)
WORD(CONNECTIONS)
WORD(STALL_US)					/* the longest commit */
WORD(CALM_STALL_US)				/* the longest one in calm */
WORD(READS)						/* replies */
WORD(CHECKED)					/* values and absences in them */
WORD(ABSENT)
WORD(PAGES_READ)
WORD(CHECKED_SURE)				/* ... against an acknowledged commit */
WORD(CHECKED_PRESENT)			/* ... that had to be there */
WORD(CHECKED_AHEAD)				/* ... against the table, afterwards */
WORD(READ_ERRORS)
WORD(VERIFIES)					/* of tables that others write */
WORD(VERIFIES_SURE)				/* ... where nothing may differ */
WORD(VERIFY_IN_FLIGHT)			/* rows of which they knew nothing */
WORD(CLEARS)
WORD(DETACHES)					/* with their keys, and attached again */
WORD(WARMS)						/* calls */
WORD(WARMS_RESUMED)				/* of those go on with another one */
WORD(WARMS_NOT_BEGUN)			/* killed before it was on record */
WORD(WARMS_FINISHED)
WORD(PLANTED)					/* differences, of every kind */
WORD(PLANTED_FOUND)
WORD(PLANTED_REPAIRED)
WORD(RACES)						/* of a repair with a write */
WORD(SCHEMA_CHANGES)			/* committed */
WORD(SHAPES_READ)				/* images of the tables that they change */
WORD(SHAPES_SURE)				/* ... against an acknowledged change */

/* violations by class, see oracle.c */
WORD(V_POISON)
WORD(V_BROKEN)
WORD(V_AHEAD)
WORD(V_UNSENT)
WORD(V_BACKWARDS)
WORD(V_STALE)
WORD(V_MISSING)
WORD(V_STUCK)
WORD(V_FALSE_ALARM)				/* these: see operator.c, planter.c, shape.c */
WORD(V_UNFOUND)
WORD(V_UNREPAIRED)
WORD(V_KEPT)
WORD(V_NOT_WARM)
WORD(V_SHAPE)
