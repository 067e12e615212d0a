/*-------------------------------------------------------------------------
 *
 * advice.h
 *	  What is wrong, and what would have to happen for all to be well.
 *
 * Before the commit record; may raise an error (out of memory).
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_ADVICE_H
#define WTC_API_ADVICE_H

/*
 * In plain words, without passwords; a line for each thing that is wrong, the
 * worst one first.  NULL: all is well.
 */
extern const char *wtc_advice(void);

/* Where Redis is, without user and password; NULL: nowhere. */
extern const char *wtc_endpoint_text(void);

/* How old the oldest change is that is not in Redis yet; 0: there is none. */
extern double wtc_lag_seconds(void);

#endif							/* WTC_API_ADVICE_H */
