/*-------------------------------------------------------------------------
 *
 * verify_orphans.c
 *	  Looking for keys in the cache that have no row.
 *
 * All keys that match the key template are gone through, in steps.  What the
 * template made of columns is taken apart again, and the rows are looked up by
 * these columns, among which are those of a unique index: the memory needed is
 * that of a step, whatever the size of the table.
 *
 * A key that no row can have is none of ours, though it may match: where the
 * text is no value of the column's type, or not as that type writes it.  Nor is
 * one that matches the template of another attached table, or that is reserved.
 *
 * A key without a row is a suspect.  It counts if
 *
 *		 ask Redis when it expires
 *	  A  there is still no row
 *		 wait until Redis holds what is committed
 *		 it is there still, and expires at the same moment
 *	  B  and there is still no row
 *
 * Whoever stores a key gives it another time to expire, so nobody has stored it
 * in between, and what deleted the row has come and gone.  Repairing goes by
 * that moment as well: the key is deleted at once, if it is the same still (see
 * expel.lua).  So the row may be inserted meanwhile: its key is another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "api/api.h"
#include "api/verify.h"
#include "capture/image.h"
#include "catalog/namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "push/push.h"
#include "txn/pending.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* most keys in a query, and in a call of the script */
#define LOOKUP_KEYS		1000

/* A key that a row might have. */
typedef struct Candidate
{
	WtcSpan		name;
	char	  **values;			/* by column of the template */
	bool		possible;
	bool		has_row;
	int64		expires;
} Candidate;

typedef struct Hunt
{
	WtcVerify  *run;
	Relation	root;
	WtcAttachment *att;
	int			ncolumns;
	AttrNumber *columns;
	List	   *others;			/* templates of other tables */
	SPIPlanPtr	lookup;

	/* the table whose rows have been found last */
	Relation	part;
	WtcAttachment *part_att;
	TupleTableSlot *slot;
} Hunt;

/*
 * Templates, backwards
 */

static void
append_escaped(StringInfo buf, const char *text)
{
	for (const char *c = text; *c; c++)
	{
		if (strchr("*?[]\\", *c) != NULL)
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *c);
	}
}

/* Matches every key of the template, in UTF-8. */
static char *
glob_of(const WtcTemplate *tpl)
{
	StringInfoData buf;
	WtcSpan		pattern;

	initStringInfo(&buf);
	append_escaped(&buf, wtc_key_prefix);
	for (int i = 0; i < tpl->nparts; i++)
	{
		if (tpl->parts[i].attno == 0)
			append_escaped(&buf, tpl->parts[i].literal);
		else
			appendStringInfoChar(&buf, '*');
	}
	if (!wtc_to_utf8(buf.data, buf.len, &pattern))
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("key template \"%s\" cannot be written in UTF-8",
						tpl->text)));
	return pnstrdup(pattern.data, pattern.len);
}

/* Could the template of some table make this text? */
static bool
could_make(const char *tpl, const char *text)
{
	for (; *tpl; tpl++, text++)
	{
		if ((tpl[0] == '{' || tpl[0] == '}') && tpl[1] == tpl[0])
			tpl++;
		else if (*tpl == '{')
		{
			tpl = strchr(tpl, '}');
			if (tpl == NULL)
				return false;
			while (!could_make(tpl + 1, text))
			{
				if (*text++ == '\0')
					return false;
			}
			return true;
		}
		if (*text != *tpl)
			return false;
	}
	return *text == '\0';
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes the percent-encoding in values of keys of several columns. */
static char *
decode(const WtcTemplate *tpl, const char *text, size_t len)
{
	char	   *value = pnstrdup(text, len);
	char	   *out = value;

	if (bms_num_members(tpl->columns) < 2)
		return value;
	for (const char *c = value; *c; c++)
	{
		if (c[0] == '%' && hex_digit(c[1]) >= 0 && hex_digit(c[2]) >= 0)
		{
			*out++ = (char) (hex_digit(c[1]) * 16 + hex_digit(c[2]));
			c += 2;
		}
		else
			*out++ = *c;
	}
	*out = '\0';
	return value;
}

/* Where the value that begins at text ends; NULL: there is none. */
static const char *
value_end(const WtcTemplate *tpl, int part, const char *text)
{
	const char *end = text + strlen(text);
	const char *literal;

	if (part + 1 == tpl->nparts)
		return end;
	literal = tpl->parts[part + 1].literal;
	if (literal == NULL)
		return NULL;
	if (part + 2 < tpl->nparts)
		return strstr(text, literal);
	end -= Min(strlen(literal), strlen(text));
	return strcmp(end, literal) == 0 ? end : NULL;
}

static int
column_index(const Hunt *hunt, AttrNumber attno)
{
	int			i = 0;

	while (hunt->columns[i] != attno)
		i++;
	return i;
}

/* The values of the columns that have made the text; NULL: none. */
static char **
take_apart(const Hunt *hunt, const char *text)
{
	const WtcTemplate *tpl = hunt->att->key;
	char	  **values = palloc0(sizeof(char *) * hunt->ncolumns);

	for (int i = 0; i < tpl->nparts; i++)
	{
		const char *literal = tpl->parts[i].literal;
		const char *end;
		char	  **value;
		char	   *decoded;

		if (tpl->parts[i].attno == 0)
		{
			if (strncmp(text, literal, strlen(literal)) != 0)
				return NULL;
			text += strlen(literal);
			continue;
		}
		end = value_end(tpl, i, text);
		if (end == NULL)
			return NULL;
		value = &values[column_index(hunt, tpl->parts[i].attno)];
		decoded = decode(tpl, text, end - text);
		if (*value != NULL && strcmp(*value, decoded) != 0)
			return NULL;
		*value = decoded;
		text = end;
	}
	return *text == '\0' ? values : NULL;
}

/* UTF-8 in the server's encoding; NULL: that is not possible. */
static char *
to_server(WtcSpan name)
{
	int			encoding = GetDatabaseEncoding();
	Oid			proc;
	Size		room = ((Size) name.len + 2) * MAX_CONVERSION_GROWTH;
	char	   *buf;

	if (!pg_verify_mbstr(PG_UTF8, name.data, name.len, true) ||
		room > MaxAllocSize)
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(name.data, name.len);
	proc = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(proc))
		return NULL;
	buf = palloc(room);
	if (pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding,
									  (unsigned char *) name.data, name.len,
									  (unsigned char *) buf, room, true) !=
		(int) name.len)
		return NULL;
	return buf;
}

/* Could a row have this key?  Then it is taken apart. */
static bool
take_name(const Hunt *hunt, WtcSpan name, Candidate *candidate)
{
	size_t		prefix = strlen(wtc_key_prefix);
	char	   *text = to_server(name);
	ListCell   *lc;

	if (text == NULL || strncmp(text, wtc_key_prefix, prefix) != 0)
		return false;
	text += prefix;
	if (wtc_key_is_reserved(text))
		return false;
	memset(candidate, 0, sizeof(*candidate));
	candidate->name = name;
	candidate->values = take_apart(hunt, text);
	if (candidate->values == NULL)
		return false;
	foreach(lc, hunt->others)
	{
		if (could_make(lfirst(lc), text))
			return false;
	}
	return true;
}

/*
 * Rows
 */

/* The type's own equality, which its indexes know. */
static void
append_equality(StringInfo sql, Oid type, const char *column, int i,
				const char *cast)
{
	Oid			operator = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an equality operator for type %s",
						format_type_be(type))));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(sql, "%s t.%s OPERATOR(%s.%s) CAST(k.c%d AS %s)",
					 i > 0 ? " AND" : " ON", column,
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname), i, cast);
	ReleaseSysCache(tuple);
}

/*
 * For keys $1[n], $2[n], ...: n, the place of the row, and whether the texts
 * are those that the types would have written.
 */
static char *
lookup_query(const Hunt *hunt)
{
	StringInfoData sql;
	StringInfoData from;
	StringInfoData names;
	StringInfoData join;

	initStringInfo(&sql);
	initStringInfo(&from);
	initStringInfo(&names);
	initStringInfo(&join);
	appendStringInfoString(&sql, "SELECT k.n, t.tableoid, t.ctid");
	for (int i = 0; i < hunt->ncolumns; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(hunt->root),
											   hunt->columns[i] - 1);
		char	   *cast = format_type_extended(attr->atttypid, -1,
												FORMAT_TYPE_TYPEMOD_GIVEN |
												FORMAT_TYPE_FORCE_QUALIFY);

		appendStringInfo(&sql, "%s pg_catalog.format('%%s', CAST(k.c%d AS %s))"
						 " OPERATOR(pg_catalog.=) k.c%d",
						 i > 0 ? " AND" : ",", i, cast, i);
		appendStringInfo(&from, "%s pg_catalog.unnest($%d)",
						 i > 0 ? "," : "", i + 1);
		appendStringInfo(&names, "c%d, ", i);
		append_equality(&join, attr->atttypid,
						quote_identifier(NameStr(attr->attname)), i, cast);
	}
	appendStringInfo(&sql, " FROM ROWS FROM (%s) WITH ORDINALITY AS k(%sn)"
					 " LEFT JOIN %s %s t%s", from.data, names.data,
					 hunt->root->rd_rel->relkind == RELKIND_RELATION ? "ONLY" : "",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(hunt->root)),
												RelationGetRelationName(hunt->root)),
					 join.data);
	return sql.data;
}

/*
 * By the index, and so for any number of rows: a plan that knew how many keys
 * there are might rather read the whole table every time.
 */
static void
prepare_lookup(Hunt *hunt)
{
	Oid		   *types = palloc(sizeof(Oid) * hunt->ncolumns);
	char	   *sql = lookup_query(hunt);

	for (int i = 0; i < hunt->ncolumns; i++)
		types[i] = TEXTARRAYOID;
	hunt->lookup = SPI_prepare_cursor(sql, hunt->ncolumns, types,
									  CURSOR_OPT_GENERIC_PLAN);
	if (hunt->lookup == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
}

static void
close_part(Hunt *hunt)
{
	if (hunt->part == NULL)
		return;
	ExecDropSingleTupleTableSlot(hunt->slot);
	table_close(hunt->part, NoLock);
	hunt->part = NULL;
}

static void
open_part(Hunt *hunt, Oid relid)
{
	if (hunt->part != NULL && RelationGetRelid(hunt->part) == relid)
		return;
	close_part(hunt);
	hunt->part = table_open(relid, RowExclusiveLock);
	hunt->part_att = wtc_attachment_get(hunt->part,
										wtc_attached_trigger(hunt->part));
	hunt->slot = table_slot_create(hunt->part, NULL);
}

/* Should the row be in the cache under this key? */
static bool
row_has_key(Hunt *hunt, Oid relid, ItemPointer tid, WtcSpan key)
{
	WtcLook		expected;
	bool		has;

	open_part(hunt, relid);
	has = table_tuple_fetch_row_version(hunt->part, tid, GetActiveSnapshot(),
										hunt->slot) &&
		wtc_verify_expect(hunt->part_att, hunt->slot, &expected) &&
		wtc_span_equal(expected.key, key);
	ExecClearTuple(hunt->slot);
	return has;
}

static Datum
column_values(Candidate *const *candidates, int n, int column)
{
	Datum	   *elems = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elems[i] = CStringGetTextDatum(candidates[i]->values[column]);
	return PointerGetDatum(construct_array(elems, n, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

static void
run_lookup(Hunt *hunt, Candidate *const *candidates, int n)
{
	Datum	   *args = palloc(sizeof(Datum) * hunt->ncolumns);
	SPITupleTable *found;
	uint64		nfound;

	for (int i = 0; i < hunt->ncolumns; i++)
		args[i] = column_values(candidates, n, i);
	if (SPI_execute_plan(hunt->lookup, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look up keys");
	found = SPI_tuptable;
	nfound = SPI_processed;
	for (uint64 row = 0; row < nfound; row++)
	{
		Datum		values[4];
		bool		nulls[4];
		Candidate  *candidate;

		for (int i = 0; i < 4; i++)
			values[i] = SPI_getbinval(found->vals[row], found->tupdesc, i + 1,
									  &nulls[i]);
		candidate = candidates[DatumGetInt64(values[0]) - 1];
		candidate->possible = !nulls[3] && DatumGetBool(values[3]);
		if (!nulls[2] && candidate->possible && !candidate->has_row)
			candidate->has_row = row_has_key(hunt, DatumGetObjectId(values[1]),
											 (ItemPointer) DatumGetPointer(values[2]),
											 candidate->name);
	}
	SPI_freetuptable(found);
}

/* Does an error say that a text is no value of a type? */
static bool
is_about_values(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR);
}

/* The same; false: one of the texts is no value of its type. */
static bool
try_lookup(Hunt *hunt, Candidate *const *candidates, int n)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	/* what it opens must not be closed by the subtransaction */
	close_part(hunt);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		run_lookup(hunt, candidates, n);
		close_part(hunt);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		if (!is_about_values(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		hunt->part = NULL;
		ok = false;
	}
	PG_END_TRY();
	return ok;
}

/*
 * Which candidates have rows, as of now?  One text that is no value spoils
 * the query, so that halves of it are tried.
 */
static void
look_up_some(Hunt *hunt, Candidate *const *candidates, int n)
{
	if (try_lookup(hunt, candidates, n))
		return;
	if (n == 1)
		candidates[0]->possible = false;
	else
	{
		look_up_some(hunt, candidates, n / 2);
		look_up_some(hunt, candidates + n / 2, n - n / 2);
	}
}

static void
look_up(Hunt *hunt, Candidate *const *candidates, int n)
{
	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		candidates[i]->has_row = candidates[i]->possible = false;
	/* partitions may come in spite of our lock, and the plan must know them */
	AcceptInvalidationMessages();
	prepare_lookup(hunt);
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < n; i += LOOKUP_KEYS)
		look_up_some(hunt, candidates + i, Min(n - i, LOOKUP_KEYS));
	PopActiveSnapshot();
	SPI_freeplan(hunt->lookup);
}

/*
 * Suspects
 */

/* Those that a row could have and none has; returns how many remain. */
static int
keep_orphans(Candidate **candidates, int n)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		if (candidates[i]->possible && !candidates[i]->has_row)
			candidates[left++] = candidates[i];
	}
	return left;
}

/*
 * Asks when the keys expire.  again: those remain for which it is the same.
 * Otherwise those that exist.
 */
static int
keep_existing(Candidate **candidates, int n, bool again)
{
	WtcLook    *looks = palloc0(sizeof(WtcLook) * n);
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		looks[i].key = candidates[i]->name;
		looks[i].op.kind = WTC_OP_DELETE;
	}
	wtc_verify_check(wtc_push_look(looks, n));
	for (int i = 0; i < n; i++)
	{
		Candidate  *candidate = candidates[i];

		if (!looks[i].exists ||
			(again && looks[i].expires != candidate->expires))
			continue;
		candidate->expires = looks[i].expires;
		candidates[left++] = candidate;
	}
	pfree(looks);
	return left;
}

/* Those that this transaction changes are none; it knows what they will be. */
static int
keep_settled(WtcVerify *run, Candidate **candidates, int n, bool flushed)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		WtcOperation own;

		if (flushed && !wtc_pending_find(candidates[i]->name, &own))
			candidates[left++] = candidates[i];
		else
			wtc_verify_report(run, WTC_DIFF_IN_FLIGHT, candidates[i]->name,
							  InvalidOid, NULL, "no row", false);
	}
	return left;
}

static void
expel(Candidate *const *orphans, int n, WtcAnswer *answer)
{
	const char **args = palloc(sizeof(char *) * n * 2);

	for (int i = 0; i < n; i++)
	{
		args[i] = pnstrdup(orphans[i]->name.data, orphans[i]->name.len);
		args[n + i] = psprintf("%lld", (long long) orphans[i]->expires);
	}
	wtc_verify_check(wtc_push_expel(n, args, answer));
}

static void
take_orphans(WtcVerify *run, Candidate *const *orphans, int n)
{
	WtcAnswer	answer = {0};

	if (run->repair)
		expel(orphans, n, &answer);
	for (int i = 0; i < n; i++)
	{
		bool		gone = answer.n > 0 && strcmp(answer.text[i], "1") == 0;

		run->checked++;
		run->differing++;
		run->repaired += gone;
		wtc_verify_report(run, WTC_DIFF_ORPHAN, orphans[i]->name, InvalidOid,
						  NULL, NULL, gone);
	}
}

static void
settle_orphans(Hunt *hunt, Candidate **suspects, int n)
{
	bool		flushed;

	n = keep_existing(suspects, n, false);
	look_up(hunt, suspects, n);
	n = keep_orphans(suspects, n);
	flushed = n > 0 && wtc_verify_flush(hunt->run);
	n = keep_existing(suspects, n, true);
	look_up(hunt, suspects, n);
	n = keep_orphans(suspects, n);
	n = keep_settled(hunt->run, suspects, n, flushed);
	for (int i = 0; i < n; i += LOOKUP_KEYS)
		take_orphans(hunt->run, suspects + i, Min(n - i, LOOKUP_KEYS));
}

/* The keys of a step. */
static void
check_names(Hunt *hunt, const WtcValue *names)
{
	const char *end = names->data + names->len;
	int			most = names->len / sizeof(uint32) + 1;
	Candidate  *candidates = palloc(sizeof(Candidate) * most);
	Candidate **suspects = palloc(sizeof(Candidate *) * most);
	int			n = 0;

	for (const char *p = names->data; p < end;)
	{
		WtcSpan		name;

		memcpy(&name.len, p, sizeof(name.len));
		name.data = p + sizeof(name.len);
		p = name.data + name.len;
		if (take_name(hunt, name, &candidates[n]))
		{
			suspects[n] = &candidates[n];
			n++;
		}
	}
	look_up(hunt, suspects, n);
	n = keep_orphans(suspects, n);
	if (n > 0)
		settle_orphans(hunt, suspects, n);
}

/*
 * The search
 */

static List *
other_templates(Relation root)
{
	Oid			type = REGCLASSOID;
	Datum		relid = ObjectIdGetDatum(RelationGetRelid(root));
	List	   *templates = NIL;

	if (SPI_execute_with_args("SELECT key FROM wtcache.attachments()"
							  " WHERE relation <> $1 AND key IS NOT NULL",
							  1, &type, &relid, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the attachments");
	for (uint64 i = 0; i < SPI_processed; i++)
		templates = lappend(templates, SPI_getvalue(SPI_tuptable->vals[i],
													SPI_tuptable->tupdesc, 1));
	return templates;
}

void
wtc_verify_orphans(WtcVerify *run, Relation root, WtcAttachment *att)
{
	Hunt		hunt = {.run = run,.root = root,.att = att};
	char		cursor[WTC_SCAN_CURSOR] = "0";
	char	   *pattern = glob_of(att->key);
	int			attno = -1;
	MemoryContext cxt;
	MemoryContext old;

	hunt.columns = palloc(sizeof(AttrNumber) *
						  bms_num_members(att->key->columns));
	while ((attno = bms_next_member(att->key->columns, attno)) >= 0)
		hunt.columns[hunt.ncolumns++] = attno;
	hunt.others = other_templates(root);

	cxt = AllocSetContextCreate(CurrentMemoryContext, "wtcache verified keys",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	do
	{
		WtcValue	names;

		wtc_verify_check(wtc_push_scan(cursor, pattern, &names));
		check_names(&hunt, &names);
		MemoryContextReset(cxt);
	} while (strcmp(cursor, "0") != 0);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
