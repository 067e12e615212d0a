/*-------------------------------------------------------------------------
 *
 * attach.h
 *	  What is checked of a table that is to be attached.
 *
 * Raises an error if it cannot be, and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_API_ATTACH_H
#define WTC_API_ATTACH_H

#include "capture/template.h"
#include "utils/rel.h"

/* It is of a kind whose changes triggers see. */
extern void wtc_check_attachable(Relation rel);

/* No key of this template is one that wtcache keeps for itself. */
extern void wtc_check_key_names(Relation rel, const WtcTemplate *key);

#endif							/* WTC_API_ATTACH_H */
