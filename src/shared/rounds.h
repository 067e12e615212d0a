/*-------------------------------------------------------------------------
 *
 * rounds.h
 *	  What is asked of the worker: a round, to store how far Redis is, and to take
 *	  Redis over.
 *
 * A process that wants a round counts the wanted ones up, and waits until those
 * that are done have reached that number.  Meanwhile the worker counts its
 * progress up.
 *
 * Raises nothing, allocates nothing, takes no lock: callable on either side of
 * the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SHARED_ROUNDS_H
#define WTC_SHARED_ROUNDS_H

#include "access/xlogdefs.h"

/* For wtc_shmem_add(). */
extern Size wtc_rounds_size(void);
extern void wtc_rounds_attach(void *place, bool initialise);

/* --- for any process --- */

/*
 * Asks the worker for a round: to look again at everything that it has to
 * replay and to push what is committed by now.  The number returned is for
 * wtc_round_done(), which is true once such a round is over.
 */
extern uint64 wtc_round_ask(void);
extern bool wtc_round_done(uint64 number);

/* A number that grows with every batch that the worker has pushed. */
extern uint64 wtc_rounds_progress(void);

/*
 * A reader may be waiting until the position in Redis is as far as this: asks the
 * worker to store it soon.
 */
extern void wtc_position_ask(XLogRecPtr lsn);

/* A superuser has asked to take Redis over from another server. */
extern void wtc_take_over_ask(void);

/* --- for the worker --- */

/* The number of the last round that was asked for; a full barrier follows. */
extern uint64 wtc_round_number(void);

/* Is there one that is not done? */
extern bool wtc_round_wanted(void);

extern void wtc_round_over(uint64 number);
extern void wtc_rounds_note_progress(void);

/* The last position that was asked for. */
extern XLogRecPtr wtc_position_asked(void);

extern bool wtc_take_over_asked(void);
extern void wtc_take_over_done(void);

#endif							/* WTC_SHARED_ROUNDS_H */
