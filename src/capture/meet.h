/*-------------------------------------------------------------------------
 *
 * meet.h
 *	  Can two key templates make the same key?
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_CAPTURE_MEET_H
#define WTC_CAPTURE_MEET_H

/*
 * The templates, as texts, with the tables whose columns they name.  No lock is
 * taken on the tables.
 */
extern bool wtc_templates_meet(Oid relid, const char *key,
							   Oid other_relid, const char *other_key);

#endif							/* WTC_CAPTURE_MEET_H */
