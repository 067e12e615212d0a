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
 * one that is reserved.  No other attached table can have one: that is seen to
 * when tables are attached (see schema/keys.c).
 *
 * A key without a row is a suspect.  It counts if
 *
 *		 ask Redis when it expires
 *	  A  there is still no row
 *		 wait until Redis holds what is committed
 *		 it is there still, and expires at the same moment
 *	  B  and there is still no row
 *
 * Each store gives the key another time to expire, so the key has not been stored
 * in between, and what deleted the row has come and gone.  Repairing goes by
 * that moment as well: the key is deleted at once, if it is the same still (see
 * expel.lua).  So the row may be inserted meanwhile: its key is another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "attempt.h"
#include "bulk/verify_keys.h"
#include "bulk/verify_orphans.h"
#include "bulk/verify_rows.h"
#include "capture/attached.h"
#include "capture/attachment_cache.h"
#include "capture/image.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "read/ask.h"
#include "read/answer.h"
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
	WtcKeyForm	form;
	SPIPlanPtr	lookup;

	/* the table whose rows have been found last */
	Relation	part;
	WtcAttachment *part_att;
	TupleTableSlot *slot;
} Hunt;

/* Could a row have this key?  Then it is taken apart. */
static bool
take_name(const Hunt *hunt, WtcSpan name, Candidate *candidate)
{
	char	   *text = wtc_key_text(name);

	if (text == NULL || text[0] == '\0' || wtc_key_is_reserved(text))
		return false;
	memset(candidate, 0, sizeof(*candidate));
	candidate->name = name;
	candidate->values = wtc_key_values(&hunt->form, text);
	return candidate->values != NULL;
}

/*
 * Rows
 */

/*
 * The type's own equality, which its indexes know.  A type may have none: then
 * it is in no unique index, and the others decide which row it is.
 */
static void
append_equality(StringInfo sql, Oid type, const char *column, int i,
				const char *cast)
{
	Oid			operator = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple;
	Form_pg_operator form;

	if (!OidIsValid(operator))
		return;
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(sql, "%s t.%s OPERATOR(%s.%s) CAST(k.c%d AS %s)",
					 sql->len > 0 ? " AND" : " ON", column,
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname), i, cast);
	ReleaseSysCache(tuple);
}

/*
 * For keys $1[n], $2[n], ...: n, the place of the row, and whether the texts
 * are those that the columns would have written (as numeric(5,2) writes 1.00).
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
	for (int i = 0; i < hunt->form.ncolumns; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(hunt->root),
											   hunt->form.columns[i] - 1);
		char	   *cast = format_type_extended(attr->atttypid,
												attr->atttypmod,
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
	if (join.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("no column of key template \"%s\" has a default equality operator",
						hunt->form.tpl->text),
				 errhint("Call it with orphans => false.")));
	appendStringInfo(&sql, " FROM ROWS FROM (%s) WITH ORDINALITY AS k(%sn)"
					 " LEFT JOIN %s %s t%s", from.data, names.data,
					 hunt->root->rd_rel->relkind == RELKIND_RELATION ? "ONLY" : "",
					 wtc_qualified_name(RelationGetRelid(hunt->root)),
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
	Oid		   *types = palloc(sizeof(Oid) * hunt->form.ncolumns);
	char	   *sql = lookup_query(hunt);

	for (int i = 0; i < hunt->form.ncolumns; i++)
		types[i] = TEXTARRAYOID;
	hunt->lookup = SPI_prepare_cursor(sql, hunt->form.ncolumns, types,
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
	Datum	   *args = palloc(sizeof(Datum) * hunt->form.ncolumns);
	SPITupleTable *found;
	uint64		nfound;

	for (int i = 0; i < hunt->form.ncolumns; i++)
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

typedef struct Lookup
{
	Hunt	   *hunt;
	Candidate  *const *candidates;
	int			n;
} Lookup;

static void
run_lookup_alone(void *arg)
{
	Lookup	   *lookup = arg;

	run_lookup(lookup->hunt, lookup->candidates, lookup->n);
	close_part(lookup->hunt);
}

/* The same; false: one of the texts is no value of its type. */
static bool
try_lookup(Hunt *hunt, Candidate *const *candidates, int n)
{
	Lookup		lookup = {hunt, candidates, n};
	ErrorData  *error;

	/* what it opens must not be closed by the subtransaction */
	close_part(hunt);
	error = wtc_attempt(run_lookup_alone, &lookup);
	if (error == NULL)
		return true;
	hunt->part = NULL;
	if (!is_about_values(error->sqlerrcode))
		ReThrowError(error);
	return false;
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
	wtc_check_answer(wtc_read_look(looks, n));
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
keep_settled(WtcVerify *run, Candidate **candidates, int n, bool pushed)
{
	int			left = 0;

	for (int i = 0; i < n; i++)
	{
		WtcOperation own;

		if (pushed && !wtc_pending_find(candidates[i]->name, &own))
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
	wtc_check_answer(wtc_read_expel(n, args, answer));
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
	bool		pushed;

	n = keep_existing(suspects, n, false);
	look_up(hunt, suspects, n);
	n = keep_orphans(suspects, n);
	pushed = n > 0 && wtc_verify_wait(hunt->run);
	n = keep_existing(suspects, n, true);
	look_up(hunt, suspects, n);
	n = keep_orphans(suspects, n);
	n = keep_settled(hunt->run, suspects, n, pushed);
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

		CHECK_FOR_INTERRUPTS();
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

void
wtc_verify_orphans(WtcVerify *run, Relation root, WtcAttachment *att)
{
	Hunt		hunt = {.run = run,.root = root};
	char		cursor[WTC_SCAN_CURSOR] = "0";
	char	   *pattern = wtc_key_glob(att->key);
	MemoryContext cxt;
	MemoryContext old;

	wtc_key_form_init(&hunt.form, att->key);

	cxt = AllocSetContextCreate(CurrentMemoryContext, "wtcache verified keys",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	do
	{
		WtcValue	names;

		wtc_check_answer(wtc_read_scan(cursor, pattern, &names));
		check_names(&hunt, &names);
		MemoryContextReset(cxt);
	} while (strcmp(cursor, "0") != 0);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
