-- attach: what is refused, and how it says so
CREATE TABLE ae (id int PRIMARY KEY, a int, b text, UNIQUE (a, b));
CREATE TABLE ae_nopk (id int, v text);

-- templates
SELECT wtcache.attach('ae', key => 'k:{nope}');
SELECT wtcache.attach('ae', tags => '{"t:{nope}"}');
SELECT wtcache.attach('ae', invalidates => '{"t:{nope}"}');
SELECT wtcache.attach('ae', key => 'k:{id');
SELECT wtcache.attach('ae', key => 'k:id}');
SELECT wtcache.attach('ae', key => 'k:{}');
SELECT wtcache.attach('ae', key => 'k:{ctid}');
SELECT wtcache.attach('ae', key => 'k:{ID}');
SELECT wtcache.attach('ae', key => '');
SELECT wtcache.attach('ae', tags => '{""}');
SELECT wtcache.attach('ae', invalidates => '{""}');
SELECT wtcache.attach('ae', key => '{id}{a}');
SELECT wtcache.attach('ae', key => '{id}:{a}{b}');
SELECT wtcache.attach('ae', tags => '{NULL}');
SELECT wtcache.attach('ae', invalidates => '{a,NULL}');
SELECT wtcache.attach('ae', columns => '{id,NULL}');

-- keys that would be records or tag sets
SELECT wtcache.attach('ae', key => 'wtcache:{id}');
SELECT wtcache.attach('ae', key => 'tag:{id}');

-- in tags two placeholders may stand side by side, and none at all
BEGIN;
SELECT wtcache.attach('ae', tags => '{"{id}{a}","fixed"}');
ROLLBACK;

-- a key has to name a single row
SELECT wtcache.attach('ae', key => 'fixed');
SELECT wtcache.attach('ae', key => 'a:{a}');
SELECT wtcache.attach('ae_nopk');
SELECT wtcache.attach('ae_nopk', key => 'n:{id}');
CREATE UNIQUE INDEX ae_nopk_partial ON ae_nopk (id) WHERE v IS NOT NULL;
SELECT wtcache.attach('ae_nopk', key => 'n:{id}');
DROP INDEX ae_nopk_partial;
CREATE UNIQUE INDEX ae_nopk_expr ON ae_nopk (lower(v));
SELECT wtcache.attach('ae_nopk', key => 'n:{v}');
DROP INDEX ae_nopk_expr;
CREATE INDEX ae_nopk_plain ON ae_nopk (id);
SELECT wtcache.attach('ae_nopk', key => 'n:{id}');
CREATE UNIQUE INDEX ae_nopk_include ON ae_nopk (id) INCLUDE (v);
BEGIN;
SELECT wtcache.attach('ae_nopk', key => 'n:{id}');
ROLLBACK;
DROP INDEX ae_nopk_include;

-- columns
SELECT wtcache.attach('ae', columns => '{id,nope}');
SELECT wtcache.attach('ae', columns => '{id,xmin}');
SELECT wtcache.attach('ae', columns => '{id,a,id}');
SELECT wtcache.attach('ae', columns => '{}');

-- format and ttl
SELECT wtcache.attach('ae', format => 'xml');
SELECT wtcache.attach('ae', format => 'JSON');
SELECT wtcache.attach('ae', ttl => '0');
SELECT wtcache.attach('ae', ttl => '-1 hour');
SELECT wtcache.attach('ae', ttl => '10 microseconds');
SELECT wtcache.attach('ae', ttl => '200 years');

-- conditions
SELECT wtcache.attach('ae', condition => '');
SELECT wtcache.attach('ae', condition => 'a >');
SELECT wtcache.attach('ae', condition => 'a > 0, b IS NULL');
SELECT wtcache.attach('ae', condition => 'true WHERE true');
SELECT wtcache.attach('ae', condition => 'true FROM ae');
SELECT wtcache.attach('ae', condition => 'true UNION SELECT false');
SELECT wtcache.attach('ae', condition => 'true; SELECT false');
SELECT wtcache.attach('ae', condition => 'DISTINCT true');
SELECT wtcache.attach('ae', condition => '*');
SELECT wtcache.attach('ae', condition => 'a');
SELECT wtcache.attach('ae', condition => 'nope > 0');
SELECT wtcache.attach('ae', condition => '(SELECT true)');
SELECT wtcache.attach('ae', condition => 'EXISTS (SELECT FROM ae)');
SELECT wtcache.attach('ae', condition => 'max(a) > 0');
SELECT wtcache.attach('ae', condition => 'row_number() OVER () > 0');
SELECT wtcache.attach('ae', condition => 'generate_series(1, a) > 0');
SELECT wtcache.attach('ae', condition => 'random() > 0.5');
SELECT wtcache.attach('ae', condition => 'now() > ''2000-01-01''');
SELECT wtcache.attach('ae', condition => 'xmin IS NOT NULL');
SELECT wtcache.attach('ae', condition => 'tableoid > 0');
SELECT wtcache.attach('ae', condition => 'ae IS NOT NULL');
SELECT wtcache.attach('ae', condition => 'old.a > 0');
SELECT wtcache.attach('ae', condition => '$1');

-- NULL arguments
SELECT wtcache.attach(NULL);
SELECT wtcache.attach(0);

-- relations that are not tables, or not such tables
CREATE VIEW ae_view AS SELECT * FROM ae;
CREATE MATERIALIZED VIEW ae_matview AS SELECT * FROM ae;
CREATE SEQUENCE ae_seq;
CREATE FOREIGN DATA WRAPPER ae_fdw;
CREATE SERVER ae_server FOREIGN DATA WRAPPER ae_fdw;
CREATE FOREIGN TABLE ae_foreign (id int) SERVER ae_server;
CREATE TEMPORARY TABLE ae_temp (id int PRIMARY KEY);
CREATE UNLOGGED TABLE ae_unlogged (id int PRIMARY KEY);
CREATE TYPE ae_type AS (id int);
CREATE TABLE ae_parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE ae_part PARTITION OF ae_parted FOR VALUES FROM (0) TO (10);
SELECT wtcache.attach('ae_view');
SELECT wtcache.attach('ae_matview');
SELECT wtcache.attach('ae_seq');
SELECT wtcache.attach('ae_pkey');
SELECT wtcache.attach('ae_type');
SELECT wtcache.attach('ae_foreign');
SELECT wtcache.attach('ae_temp');
SELECT wtcache.attach('ae_unlogged');
SELECT wtcache.attach('ae_part');
SELECT wtcache.attach('pg_class');
SELECT wtcache.attach('information_schema.sql_features');

-- a partitioned table with a partition that is not fit for it
CREATE UNLOGGED TABLE ae_part_unlogged PARTITION OF ae_parted FOR VALUES FROM (10) TO (20);
SELECT wtcache.attach('ae_parted');
DROP TABLE ae_part_unlogged;
CREATE TABLE ae_parted_nopk (id int) PARTITION BY LIST (id);
SELECT wtcache.attach('ae_parted_nopk');

-- detach of what is not attached
SELECT wtcache.detach('ae');
SELECT wtcache.detach('ae_view');

-- nothing of all this has left a trigger
SELECT * FROM wtcache.attachments;
SELECT count(*) FROM pg_trigger
 WHERE tgfoid IN ('wtcache.capture_row'::regproc, 'wtcache.capture_truncate'::regproc);

-- triggers made by hand
CREATE TRIGGER t BEFORE INSERT ON ae FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=ae:{id}');
INSERT INTO ae VALUES (1);
DROP TRIGGER t ON ae;
CREATE TRIGGER t AFTER INSERT ON ae FOR EACH STATEMENT EXECUTE FUNCTION wtcache.capture_row('key=ae:{id}');
INSERT INTO ae VALUES (1);
DROP TRIGGER t ON ae;
CREATE TRIGGER t AFTER INSERT ON ae FOR EACH ROW EXECUTE FUNCTION wtcache.capture_truncate();
INSERT INTO ae VALUES (1);
DROP TRIGGER t ON ae;
CREATE TRIGGER t AFTER TRUNCATE ON ae FOR EACH STATEMENT EXECUTE FUNCTION wtcache.capture_truncate();
TRUNCATE ae;
DROP TRIGGER t ON ae;
-- ... whose arguments make no sense: they are not made
DO $$
DECLARE
    args text;
    message text;
BEGIN
    FOREACH args IN ARRAY ARRAY[
        '', 'nonsense', 'ttl=1000', 'key=', 'key={nothing}', 'key=ae:{id',
        'key=ae:{id},colour=red', 'key=ae:{id},key=ae:{id}',
        'key=ae:{id},ttl=soon', 'key=ae:{id},ttl=', 'key=ae:{id},ttl=0', 'key=ae:{id},ttl=-1',
        'key=ae:{id},ttl= 5', 'key=ae:{id},ttl=5s', 'key=ae:{id},ttl=3162240000001',
        'key=ae:{id},ttl=18446744073709551000', 'key=ae:{id},ttl=18446744073709552616',
        'key=ae:{id},ttl=1000,ttl=1000',
        'key=ae:{id},format=yaml', 'key=ae:{id},format=json,format=hash',
        'key=ae:{id},always=false', 'key=ae:{id},tag={nothing}', 'key=ae:{id},invalidate={',
        'key=ae:{id},condition=id > 0', 'key=ae:{id},condition=when,condition=when',
        'key=ae:{id},column=nothing', 'key=ae:{id},column=ctid', 'key=ae:{id},column=id,column=id']
    LOOP
        BEGIN
            EXECUTE format('CREATE TRIGGER t AFTER INSERT ON ae FOR EACH ROW'
                           ' EXECUTE FUNCTION wtcache.capture_row(%s)',
                           (SELECT string_agg(quote_literal(a), ', ') FROM unnest(string_to_array(args, ',')) a));
            RAISE WARNING '% is taken', args;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
            RAISE NOTICE '% -> %', args, message;
        END;
    END LOOP;
END $$;
-- a dump restores the condition later
CREATE TRIGGER t AFTER INSERT ON ae FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=ae:{id}', 'condition=when');
INSERT INTO ae VALUES (1);
CREATE TRIGGER c AFTER DELETE ON ae FOR EACH ROW WHEN (old.id > 0) EXECUTE FUNCTION wtcache.capture_condition();
SELECT condition FROM wtcache.attachments WHERE relation = 'ae'::regclass;
-- one is enough, whichever comes first by name
CREATE TRIGGER b AFTER DELETE ON ae FOR EACH ROW WHEN (old.id > 1) EXECUTE FUNCTION wtcache.capture_condition();
CREATE OR REPLACE TRIGGER c AFTER DELETE ON ae FOR EACH ROW WHEN (old.id > 2) EXECUTE FUNCTION wtcache.capture_condition();
SELECT condition FROM wtcache.attachments WHERE relation = 'ae'::regclass;
DROP TRIGGER t ON ae;
DROP TRIGGER c ON ae;
-- one attachment is enough
CREATE TRIGGER a AFTER INSERT ON ae FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=a:{id}');
CREATE TRIGGER b AFTER INSERT ON ae FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=b:{id}');
SELECT wtcache.attach('ae');
DROP TRIGGER a ON ae;
-- and what the catalog holds nevertheless is validated where it is read
SELECT wtcache.attach('ae', ttl => '1 hour', format => 'hash');
SET allow_system_table_mods = on;
UPDATE pg_trigger SET tgargs = replace(encode(tgargs, 'escape'), 'ttl=3600000', 'ttl=18446744073709551000')::bytea
 WHERE tgrelid = 'ae'::regclass AND tgname = 'wtcache_capture';
RESET allow_system_table_mods;
SELECT ttl, definition FROM wtcache.attachments WHERE relation = 'ae'::regclass;
INSERT INTO ae VALUES (10);
SELECT wtcache.alter('ae', format => 'json');
SELECT wtcache.alter('ae', ttl => '1 minute');
INSERT INTO ae VALUES (10);
SELECT wtcache.detach('ae');
DELETE FROM ae;
SELECT count(*) FROM ae;

-- trigger functions are no functions
SELECT wtcache.capture_row();
SELECT wtcache.capture_truncate();
SELECT wtcache.cover_partitions() IS NULL;

DROP TABLE ae_parted, ae_parted_nopk, ae_nopk, ae_unlogged;
DROP TABLE ae CASCADE;
DROP SEQUENCE ae_seq;
DROP TYPE ae_type;
DROP FOREIGN DATA WRAPPER ae_fdw CASCADE;
