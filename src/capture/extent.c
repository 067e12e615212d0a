/*-------------------------------------------------------------------------
 *
 * extent.c
 *	  How long the text of a value will be, before it is made.
 *
 * Of the types of PostgreSQL only numeric has texts that are many times longer
 * than what is stored; and jsonb, arrays, ranges and composite types may contain
 * it.  An array's nulls take a bit each, and a composite value in JSON repeats
 * the names of its columns.  All others, and those of extensions, are taken to
 * be about as long as they are stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "capture/extent.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/numeric.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

/*
 * The longest numeric has 131,072 digits before the point and 16,383 behind it,
 * and takes no less than so many bytes wherever it is stored.
 */
#define LONGEST_NUMERIC		150000
#define SHORTEST_NUMERIC	6

/* what stands between values, and around them */
#define BETWEEN				2
/* null */
#define NULL_TEXT			4

/*
 * The header of a numeric as it is stored, see numeric.c: in a short one the
 * upper bits tell apart, and there are six for the weight and its sign.
 */
#define NUMERIC_SPECIAL		0xC000
#define NUMERIC_SHORT		0x8000
#define NUMERIC_SIGN_MASK	0xC000
#define SHORT_DSCALE(h)		(((h) & 0x1F80) >> 7)
#define SHORT_WEIGHT(h)		((h) & 0x0040 ? -1 : (h) & 0x003F)
#define LONG_DSCALE(h)		((h) & 0x3FFF)
/* decimal digits in one of the base */
#define DIGITS				4

bool
wtc_extent_matters(uint64 stored, uint64 limit)
{
	return (stored / SHORTEST_NUMERIC + 1) * LONGEST_NUMERIC > limit;
}

static uint64
numeric_extent(Numeric numeric)
{
	uint16		header;
	int16		weight;
	int			dscale;

	memcpy(&header, VARDATA_ANY(numeric), sizeof(header));
	if ((header & NUMERIC_SIGN_MASK) == NUMERIC_SPECIAL)
		return sizeof("-Infinity");
	if (header & NUMERIC_SHORT)
	{
		weight = SHORT_WEIGHT(header);
		dscale = SHORT_DSCALE(header);
	}
	else
	{
		memcpy(&weight, VARDATA_ANY(numeric) + sizeof(header), sizeof(weight));
		dscale = LONG_DSCALE(header);
	}
	return (Max(weight, 0) + 1) * DIGITS + dscale + BETWEEN;
}

static uint64
jsonb_extent(Jsonb *jsonb, uint64 limit)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	v;
	uint64		sum = 0;

	while (sum <= limit &&
		   (token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		sum += BETWEEN;
		if (token != WJB_KEY && token != WJB_VALUE && token != WJB_ELEM)
			continue;
		if (v.type == jbvString)
			sum += v.val.string.len;
		else if (v.type == jbvNumeric)
			sum += numeric_extent(v.val.numeric);
		else
			sum += NULL_TEXT;
	}
	return sum;
}

static uint64
array_extent(ArrayType *array, Oid element, uint64 limit)
{
	ArrayIterator it;
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	int16		len = get_typlen(element);
	uint64		sum = 0;
	Datum		value;
	bool		isnull;

	if (len > 0)
	{
		/* the bits behind the last one may be set as well */
		int64		nulls = ARR_HASNULL(array) ?
		n - (int64) pg_popcount((const char *) ARR_NULLBITMAP(array),
								(n + 7) / 8) : 0;

		return Max((uint64) n * BETWEEN, VARSIZE(array)) +
			Max(nulls, 0) * NULL_TEXT;
	}
	if ((uint64) n * BETWEEN > limit)
		return (uint64) n * BETWEEN;
	it = array_create_iterator(array, 0, NULL);
	while (sum <= limit && array_iterate(it, &value, &isnull))
		sum += BETWEEN +
			(isnull ? NULL_TEXT : wtc_extent(element, value, limit));
	array_free_iterator(it);
	return sum;
}

static uint64
row_extent(HeapTupleHeader header, uint64 limit)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {
		.t_len = HeapTupleHeaderGetDatumLength(header),.t_data = header
	};
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	uint64		sum = BETWEEN;

	heap_deform_tuple(&tuple, desc, values, nulls);
	for (int i = 0; i < desc->natts && sum <= limit; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (attr->attisdropped)
			continue;
		sum += strlen(NameStr(attr->attname)) + 2 * BETWEEN;
		sum += nulls[i] ? NULL_TEXT : wtc_extent(attr->atttypid, values[i], limit);
	}
	pfree(values);
	pfree(nulls);
	ReleaseTupleDesc(desc);
	return sum;
}

static uint64
range_extent(const RangeType *range, TypeCacheEntry *type, uint64 limit)
{
	RangeBound	bounds[2];
	bool		empty;
	uint64		sum = 2 * BETWEEN;

	range_deserialize(type, range, &bounds[0], &bounds[1], &empty);
	for (int i = 0; i < 2 && !empty; i++)
	{
		if (!bounds[i].infinite)
			sum += wtc_extent(type->rngelemtype->type_id, bounds[i].val, limit);
	}
	return sum;
}

static uint64
multirange_extent(MultirangeType *multirange, TypeCacheEntry *type,
				  uint64 limit)
{
	RangeType **ranges;
	int32		n;
	uint64		sum = BETWEEN;

	multirange_deserialize(type->rngtype, multirange, &n, &ranges);
	for (int i = 0; i < n && sum <= limit; i++)
		sum += range_extent(ranges[i], type->rngtype, limit);
	return sum;
}

uint64
wtc_extent(Oid type, Datum value, uint64 limit)
{
	Oid			base = getBaseType(type);
	Oid			element;
	uint64		stored;
	int16		len = get_typlen(base);

	check_stack_depth();
	if (len != -1)
		return len > 0 ? len : strlen(DatumGetCString(value));
	stored = toast_raw_datum_size(value) - VARHDRSZ;
	if (stored > limit)
		return stored;
	switch (base)
	{
		case NUMERICOID:
			return numeric_extent(DatumGetNumeric(value));
		case JSONBOID:
			return jsonb_extent(DatumGetJsonbP(value), limit);
		case BYTEAOID:
			return 2 * stored;
		case BITOID:
		case VARBITOID:
			return BITS_PER_BYTE * stored;
		case TEXTOID:
		case VARCHAROID:
		case JSONOID:
			return stored;
		default:
			break;
	}
	element = get_element_type(base);
	if (OidIsValid(element))
		return array_extent(DatumGetArrayTypeP(value), element, limit);
	switch (get_typtype(base))
	{
		case TYPTYPE_COMPOSITE:
			return row_extent(DatumGetHeapTupleHeader(value), limit);
		case TYPTYPE_RANGE:
			return range_extent(DatumGetRangeTypeP(value),
								lookup_type_cache(base, TYPECACHE_RANGE_INFO),
								limit);
		case TYPTYPE_MULTIRANGE:
			return multirange_extent(DatumGetMultirangeTypeP(value),
									 lookup_type_cache(base,
													   TYPECACHE_MULTIRANGE_INFO),
									 limit);
		case TYPTYPE_PSEUDO:
			if (base == RECORDOID)
				return row_extent(DatumGetHeapTupleHeader(value), limit);
			return stored;
		default:
			return stored;
	}
}
