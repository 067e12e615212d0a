-- Settings of a session do not change what is written
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE SCHEMA ss;
CREATE TABLE ss.other (x int);
CREATE TYPE ss.pair AS (t timestamptz, f float8);
CREATE TABLE ss_plain (d date, t timestamptz, v interval, f float8, b bytea, tt timetz, ts timestamp, r float4, n numeric, a timestamptz[],
                       PRIMARY KEY (d, t, v, f, b));
CREATE TABLE ss_exotic (d date, t timestamptz, c regclass, m money, p ss.pair, r tstzrange, y regtype, q text,
                        PRIMARY KEY (d, t, c));
SELECT wtcache.attach('ss_plain', key => 'ssp|{d}|{t}|{v}|{f}|{b}', tags => '{"ss|{t}|{f}"}', invalidates => '{"ssi|{d}"}');
SELECT wtcache.attach('ss_exotic', key => 'sse|{d}|{t}|{c}', tags => '{"ss|{m}|{p}|{r}|{y}"}');
CREATE FUNCTION ss_insert() RETURNS void LANGUAGE sql AS $$
    INSERT INTO ss_plain VALUES (date '2024-02-03', timestamptz '2024-07-01 12:00:00+00', make_interval(1, 2, 0, 3, 4, 5, 6.7),
        0.1::float8 + 0.2::float8, decode('00ff', 'hex'), timetz '04:05:06+02', timestamp '2024-02-03 04:05:06',
        1::float4 / 3::float4, 1.50, array[timestamptz '2024-07-01 12:00:00+00']);
    INSERT INTO ss_exotic VALUES (date '2024-02-03', timestamptz '2024-07-01 12:00:00+00', 'ss.other'::regclass, 12.5::numeric::money,
        ROW(timestamptz '2024-07-01 12:00:00+00', 0.1::float8 + 0.2::float8),
        tstzrange(timestamptz '2024-07-01 12:00:00+00', NULL), 'ss.pair'::regtype, 'q');
$$;
-- keys and values, then tags
\setenv DUMP '$REDIS --scan --pattern "ss[pe]|*" | LC_ALL=C sort | while read -r k; do printf "%s\n%s\n" "$k" "$($REDIS get "$k" </dev/null)"; done; $REDIS --scan --pattern "tag:ss|*" | LC_ALL=C sort'

SELECT ss_insert();
\! eval "$DUMP"
\set before `eval "$DUMP"`
-- a session with every setting that output functions look at
SET DateStyle = 'German, DMY';
SET TimeZone = 'Asia/Kathmandu';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SET search_path = ss, public;
SET lc_monetary = 'C';
SET quote_all_identifiers = on;
SET xmlbinary = hex;
SELECT d, t, v, f, b FROM ss_plain;
SELECT c, y FROM ss_exotic;
-- the same keys: the rows are found, updated, deleted there
UPDATE ss_plain SET n = n;
UPDATE ss_exotic SET q = q;
\set after `eval "$DUMP"`
SELECT :'before' = :'after' AS same, length(:'after') > 500 AS whole;
DELETE FROM ss_plain;
DELETE FROM ss_exotic;
\! eval "$DUMP"
-- and written the same
SELECT ss_insert();
\set after `eval "$DUMP"`
SELECT :'before' = :'after' AS same, length(:'after') > 500 AS whole;
-- the settings are back afterwards, also after an error in the capture
SHOW DateStyle;
SHOW TimeZone;
SHOW IntervalStyle;
SHOW extra_float_digits;
SHOW bytea_output;
SHOW search_path;
SHOW quote_all_identifiers;
SELECT d, t, v, f, b FROM ss_plain;
SELECT c, y FROM ss_exotic;
CREATE FUNCTION public.ss_fail(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN IF $1 = 'fail' THEN RAISE EXCEPTION 'condition failed'; END IF; RETURN true; END $$;
SELECT wtcache.attach('ss_exotic', key => 'sse|{d}|{t}|{c}', condition => 'ss_fail(q)', replace => true);
\set VERBOSITY terse
UPDATE ss_exotic SET q = 'fail';
\set VERBOSITY default
SHOW search_path;
SELECT d, t, v, f, b FROM ss_plain;
BEGIN;
SET LOCAL search_path = pg_catalog, ss;
SAVEPOINT a;
\set VERBOSITY terse
UPDATE public.ss_exotic SET q = 'fail';
\set VERBOSITY default
ROLLBACK TO a;
SHOW search_path;
UPDATE public.ss_exotic SET q = 'pass';
SHOW search_path;
COMMIT;
SHOW search_path;
-- a function of the condition sees pinned settings, too; the session does not
CREATE FUNCTION public.ss_year(date) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN $1::text = '2024-02-03'; END $$;
SELECT wtcache.attach('ss_exotic', key => 'sse|{d}|{t}|{c}', condition => 'ss_year(d)', replace => true);
UPDATE ss_exotic SET q = 'seen';
\! $REDIS exists 'sse|2024-02-03|2024-07-01 12:00:00+00|ss.other'

-- preview pins them as well
SELECT key FROM ss_plain p, wtcache.preview('ss_plain', p);
-- TRUNCATE finds the keys in any session
SET TimeZone = 'America/Caracas';
TRUNCATE ss_plain, ss_exotic;
\! $REDIS --scan --pattern 'ss[pe]|*'
RESET ALL;

DROP TABLE ss_plain, ss_exotic;
DROP FUNCTION ss_insert, ss_fail, ss_year;
DROP SCHEMA ss CASCADE;
