-- versions: the envelope of an image, and wtcache.compare_and_set()
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE FUNCTION ve_set(relation regclass, pk jsonb, expected jsonb, changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d text;
BEGIN
    RETURN wtcache.compare_and_set(relation, pk, expected, changes);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || coalesce(nullif(': ' || d, ': '), '');
END $$;
CREATE TABLE ve (id int PRIMARY KEY, name varchar(5), price numeric(8,2), v int NOT NULL DEFAULT 1);

-- the version beside the image; it need not be in the image
SELECT wtcache.attach('ve', columns => '{id,name,cost=price}', version => 'v', envelope => 'versioned');
SELECT columns, version, envelope, definition FROM wtcache.attachments WHERE relation = 've'::regclass;
INSERT INTO ve VALUES (1, 'one', 1.50), (2, 'two', 2.50);
\! $REDIS mget ve:1 ve:2
SELECT value FROM ve t, wtcache.preview('ve', t) ORDER BY id;
SELECT wtcache.get('ve:1');
SELECT * FROM wtcache.verify('ve');

-- the row has the version that is expected: the new one comes back, and stands in Redis
SELECT wtcache.compare_and_set('ve', '1', '1', '{"name": "first", "price": 1.499}');
\! $REDIS get ve:1
SELECT wtcache.compare_and_set('ve', '{"id": 1}', '2', '{"name": null}');
\! $REDIS get ve:1
SELECT wtcache.compare_and_set('ve', '1', '"3"', '{"price": "7"}');
SELECT * FROM ve ORDER BY id;
-- another version, or no row
SELECT wtcache.compare_and_set('ve', '1', '3', '{"name": "late"}');
SELECT ve_set('ve', '1', '3', '{"name": "late"}');
SELECT ve_set('ve', '3', '3', '{"name": "none"}');
SELECT ve_set('ve', 'null', '3', '{"name": "none"}');
-- the cache is not asked
\! $REDIS set ve:1 '{"version":99,"data":{"id":1}}'
SELECT ve_set('ve', '1', '99', '{"name": "late"}');
SELECT wtcache.compare_and_set('ve', '1', '4', '{"name": "late"}');
\! $REDIS get ve:1
-- what is rolled back is nowhere
BEGIN;
SELECT wtcache.compare_and_set('ve', '1', '5', '{"name": "gone"}');
SELECT wtcache.get('ve:1');
ROLLBACK;
\! $REDIS get ve:1
-- several columns in the key; versions with a time; columns that are renamed
CREATE TABLE ve_time (a text, b uuid, "the v" timestamptz, w int, PRIMARY KEY (b, a));
SELECT wtcache.attach('ve_time', version => 'the v', envelope => 'versioned', shape => '{utc_timestamps}', columns => '{w}');
INSERT INTO ve_time VALUES ('x''y', '00000000-0000-0000-0000-000000000001', '2999-01-01 00:00+00', 1);
\! $REDIS get "ve_time:00000000-0000-0000-0000-000000000001:x'y"
SELECT wtcache.compare_and_set('ve_time', '{"a": "x''y", "b": "00000000-0000-0000-0000-000000000001"}', '"2999-01-01T00:00:00Z"', '{"w": 2}');
ALTER TABLE ve_time RENAME "the v" TO changed;
SELECT version FROM wtcache.attachments WHERE relation = 've_time'::regclass;
UPDATE ve_time SET changed = '1999-01-01 00:00+00';
SET TimeZone = 'Asia/Tokyo';
SELECT wtcache.compare_and_set('ve_time', '{"a": "x''y", "b": "00000000-0000-0000-0000-000000000001"}', '"1998-12-31T15:00:00Z"', '{"w": 3}');
SELECT wtcache.compare_and_set('ve_time', '{"a": "x''y", "b": "00000000-0000-0000-0000-000000000001"}', '"1999-01-01T00:00:00Z"', '{"w": 3}')::text ~ '^"20.*Z"$';
RESET TimeZone;
SELECT changed > now() - interval '1 minute' AS now, w FROM ve_time;
SELECT ve_set('ve_time', '{"a": "x"}', '1', '{"w": 2}');
SELECT ve_set('ve_time', '"x"', '1', '{"w": 2}');
SELECT ve_set('ve_time', '{"a": "x", "w": 1}', '1', '{"w": 2}');
-- the version's column cannot be dropped, nor be virtual
ALTER TABLE ve_time DROP COLUMN changed;
DROP TABLE ve_time;

-- a version that a trigger sets
CREATE TABLE ve_trigger (id text PRIMARY KEY, w int, v text);
SELECT wtcache.attach('ve_trigger', version => 'v');
INSERT INTO ve_trigger VALUES ('a"b', 1, 'x');
\! $REDIS get 've_trigger:a"b'
SELECT ve_set('ve_trigger', '"a\"b"', '"x"', '{"w": 2}');
SELECT w FROM ve_trigger;
CREATE FUNCTION ve_next() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := OLD.v || 'x'; RETURN NEW; END $$;
CREATE TRIGGER next BEFORE UPDATE ON ve_trigger FOR EACH ROW EXECUTE FUNCTION ve_next();
SELECT ve_set('ve_trigger', '"a\"b"', '"x"', '{"w": 2}');
\! $REDIS get 've_trigger:a"b'
SELECT ve_set('ve_trigger', '"a\"b"', '"x"', '{"w": 3}');
-- a trigger that skips the update
CREATE OR REPLACE FUNCTION ve_next() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT ve_set('ve_trigger', '"a\"b"', '"xx"', '{"w": 3}');
DROP TABLE ve_trigger;
DROP FUNCTION ve_next;

-- what it refuses
SELECT ve_set('ve', '1', '5', '{"v": 7}');
SELECT ve_set('ve', '1', '5', '{"nothing": 7}');
SELECT ve_set('ve', '1', '5', '{"ctid": "(0,1)"}');
SELECT ve_set('ve', '1', '5', '{}');
SELECT ve_set('ve', '1', '5', '[]');
SELECT ve_set('ve', '{"v": 1}', '5', '{"name": "x"}');
SELECT ve_set('ve', '1', '"x"', '{"name": "x"}');
SELECT ve_set('ve', '1', '5', '{"name": "too long"}');
SELECT ve_set('ve', NULL, '5', '{"name": "x"}');
SELECT ve_set('ve', '1', NULL, '{"name": "x"}');
SELECT ve_set('ve', '1', '5', NULL);
SELECT ve_set(NULL, '1', '5', '{"name": "x"}');
CREATE TABLE ve_plain (id int PRIMARY KEY);
SELECT ve_set('ve_plain', '1', '5', '{"name": "x"}');
SELECT wtcache.attach('ve_plain');
SELECT ve_set('ve_plain', '1', '5', '{"name": "x"}');
SELECT wtcache.alter('ve_plain', version => 'nothing');
SELECT wtcache.alter('ve_plain', envelope => 'versioned');
SELECT wtcache.alter('ve_plain', envelope => 'brown');
SELECT wtcache.alter('ve_plain', envelope => 'versioned', version => 'id', format => 'hash');
DROP TABLE ve_plain;

-- the rights are those of an UPDATE by the caller
CREATE ROLE regress_ve;
SET ROLE regress_ve;
SELECT ve_set('ve', '1', '5', '{"name": "x"}');
RESET ROLE;
GRANT SELECT (id, v), UPDATE (name, v) ON ve TO regress_ve;
SET ROLE regress_ve;
SELECT ve_set('ve', '1', '5', '{"name": "x"}');
SELECT ve_set('ve', '1', '6', '{"price": 1}');
SELECT ve_set('ve', '1', '5', '{"name": "x"}');
RESET ROLE;
REVOKE UPDATE (v) ON ve FROM regress_ve;
SET ROLE regress_ve;
SELECT ve_set('ve', '1', '6', '{"name": "x"}');
RESET ROLE;
GRANT UPDATE (v) ON ve TO regress_ve;
-- and so are the rows
ALTER TABLE ve ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON ve FOR SELECT USING (id < 3);
CREATE POLICY changed ON ve FOR UPDATE USING (id = 1) WITH CHECK (name <> 'never');
INSERT INTO ve VALUES (3, 'three');
SET ROLE regress_ve;
SELECT ve_set('ve', '1', '6', '{"name": "y"}');
SELECT ve_set('ve', '1', '7', '{"name": "never"}');
SELECT ve_set('ve', '2', '1', '{"name": "y"}');
SELECT ve_set('ve', '3', '1', '{"name": "y"}');
RESET ROLE;
SELECT * FROM ve ORDER BY id;
REVOKE ALL ON ve FROM regress_ve;
DROP ROLE regress_ve;
-- names are not looked up where the caller says
CREATE SCHEMA ve_own;
CREATE FUNCTION ve_own.never(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR ve_own.= (LEFTARG = integer, RIGHTARG = integer, PROCEDURE = ve_own.never);
SET search_path = ve_own, pg_catalog;
SELECT wtcache.compare_and_set('public.ve', '1', '7', '{"name": "z"}');
RESET search_path;
DROP SCHEMA ve_own CASCADE;
-- a partitioned table, and one that others inherit from
CREATE TABLE ve_parts (id int PRIMARY KEY, v bigint NOT NULL DEFAULT 0, w int) PARTITION BY RANGE (id);
CREATE TABLE ve_part PARTITION OF ve_parts FOR VALUES FROM (0) TO (100);
SELECT wtcache.attach('ve_parts', version => 'v', envelope => 'versioned');
INSERT INTO ve_parts VALUES (1, 9007199254740992);
SELECT wtcache.compare_and_set('ve_parts', '1', '9007199254740992', '{"w": 1}');
\! $REDIS get ve_parts:1
DROP TABLE ve_parts;

-- the place in WAL as version: it grows with every change, whichever process pushes it
CREATE TABLE ve_lsn (id int PRIMARY KEY, lsn int, w int);
CREATE FUNCTION ve_version(key text) RETURNS pg_lsn LANGUAGE sql AS
    $$ SELECT '0/0'::pg_lsn + (wtcache.get(key) ->> 'version')::numeric $$;
SELECT wtcache.attach('ve_lsn', version => 'lsn', envelope => 'versioned', tags => '{all}');
SELECT version, definition FROM wtcache.attachments WHERE relation = 've_lsn'::regclass;
SELECT pg_current_wal_lsn() AS l0 \gset
INSERT INTO ve_lsn VALUES (1, 1, 1);
SELECT ve_version('ve_lsn:1') AS v1, pg_current_wal_lsn() AS l1 \gset
SELECT :'v1'::pg_lsn > :'l0' AND :'v1'::pg_lsn < :'l1' AS between, wtcache.get('ve_lsn:1') -> 'data' AS data;
\! $REDIS get ve_lsn:1 | sed 's/[0-9][0-9]*/N/'
UPDATE ve_lsn SET w = 2;
SELECT ve_version('ve_lsn:1') > :'l1' AS later \gset
\echo :later
SELECT * FROM wtcache.verify('ve_lsn');
\! $REDIS set ve_lsn:1 '{"version":1,"data":{"id":1,"lsn":1,"w":3}}' px 10000
\! $REDIS set ve_lsn:2 '{"version":"data":{}}' px 10000
SELECT kind, key, repaired FROM wtcache.verify('ve_lsn', repair => true);
SELECT ve_version('ve_lsn:1') > :'l1' AS later, wtcache.get('ve_lsn:1') -> 'data' AS data;
-- not known before the commit
BEGIN;
UPDATE ve_lsn SET w = 4;
SELECT wtcache.get('ve_lsn:1');
SELECT value FROM ve_lsn t, wtcache.preview('ve_lsn', t);
ROLLBACK;
-- by the worker; of a transaction that spills; filled from the table
SELECT pg_current_wal_lsn() AS l2 \gset
SET wtcache.mode = async;
UPDATE ve_lsn SET w = 5;
SELECT wtcache.wait();
RESET wtcache.mode;
SELECT ve_version('ve_lsn:1') > :'l2' AS later, wtcache.get('ve_lsn:1') -> 'data' AS data;
SELECT pg_current_wal_lsn() AS l3 \gset
SET wtcache.batch_memory = '64kB';
INSERT INTO ve_lsn SELECT i, 0, 0 FROM generate_series(2, 2000) i;
RESET wtcache.batch_memory;
SELECT wtcache.wait();
SELECT id, ve_version('ve_lsn:' || id) > :'l3' AS later FROM ve_lsn WHERE id IN (1, 2, 1000, 2000) ORDER BY id;
SELECT pg_current_wal_lsn() AS l4 \gset
\! $REDIS del ve_lsn:1 ve_lsn:2
CALL wtcache.warm('ve_lsn');
SELECT ve_version('ve_lsn:1') > :'l4' AS later, ve_version('ve_lsn:2') > :'l4' AS later2;
SELECT * FROM wtcache.verify('ve_lsn');
-- prepared
SELECT pg_current_wal_lsn() AS l5 \gset
BEGIN;
UPDATE ve_lsn SET w = 7 WHERE id = 1;
PREPARE TRANSACTION 've';
COMMIT PREPARED 've';
SELECT ve_version('ve_lsn:1') > :'l5' AS later, wtcache.get('ve_lsn:1') -> 'data' AS data;
-- not for compare_and_set(), as it is not in the row
SELECT ve_set('ve_lsn', '1', '5', '{"w": 1}');
SELECT wtcache.alter('ve_lsn', reset => '{envelope}');
-- a column of that name is quoted
SELECT wtcache.alter('ve_lsn', version => '"lsn"', reset => '{envelope}');
SELECT wtcache.compare_and_set('ve_lsn', '1', '1', '{"w": 6}');
ALTER TABLE ve_lsn RENAME lsn TO "=";
SELECT version FROM wtcache.attachments WHERE relation = 've_lsn'::regclass;
ALTER TABLE ve_lsn RENAME "=" TO lsn;
SELECT version FROM wtcache.attachments WHERE relation = 've_lsn'::regclass;
SELECT wtcache.alter('ve_lsn', version => 'a=b');
DROP TABLE ve_lsn, ve;
DROP FUNCTION ve_version;
DROP FUNCTION ve_set;
