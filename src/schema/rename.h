/*-------------------------------------------------------------------------
 *
 * rename.h
 *	  Attachments that follow renamings.
 *
 * Everything here may raise an error and belongs before the commit record.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WTC_SCHEMA_RENAME_H
#define WTC_SCHEMA_RENAME_H

/* A column of an attached table gets another name. */
typedef struct WtcRenaming
{
	Oid			relid;
	const char *from;
	const char *to;
} WtcRenaming;

/* Writes the attachment anew, if that makes a difference. */
extern void wtc_follow_renaming(const WtcRenaming *renaming);

#endif							/* WTC_SCHEMA_RENAME_H */
