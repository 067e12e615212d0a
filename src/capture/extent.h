/*-------------------------------------------------------------------------
 *
 * extent.h
 *	  How long the text of a value will be, before it is made.
 *
 * Output functions make their whole text at once.  That of a few bytes can be
 * more than a gigabyte, which fails: 1e100000 has 100,000 zeros, and an array
 * has room for many of them.
 *
 * May raise an error; belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_EXTENT_H
#define WTC_CAPTURE_EXTENT_H

/*
 * For a value of a type that is stored in so many bytes: can its text be longer
 * than limit?  False is sure; asks no catalog.
 */
extern bool wtc_extent_matters(uint64 stored, uint64 limit);

/*
 * About how many bytes the text takes, some multiple of it at most, in JSON, too;
 * once it is more than limit, any number above.
 */
extern uint64 wtc_extent(Oid type, Datum value, uint64 limit);

#endif							/* WTC_CAPTURE_EXTENT_H */
