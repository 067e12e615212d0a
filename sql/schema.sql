-- What becomes of the cache when the schema changes
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE FUNCTION sh_held(VARIADIC keys text[]) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(k || ' ' || wtcache.get(k), '; '), 'nothing')
      FROM unnest(keys) k WHERE wtcache.get(k) IS NOT NULL $$;

-- columns are added: images of all columns go, others stay
CREATE TABLE sh (id int PRIMARY KEY, v text, w text);
CREATE TABLE sh_some (id int PRIMARY KEY, v text, w text);
SELECT wtcache.attach('sh'), wtcache.attach('sh_some', columns => '{id,v}');
INSERT INTO sh VALUES (1, 'v', 'w'), (2, 'v', 'w');
INSERT INTO sh_some VALUES (1, 'v', 'w');
ALTER TABLE sh ADD COLUMN n int DEFAULT 7;
ALTER TABLE sh_some ADD COLUMN n int DEFAULT 7;
SELECT sh_held('sh:1', 'sh:2', 'sh_some:1');
UPDATE sh SET v = 'x';
-- not if it is there already; not if it comes to nothing
ALTER TABLE sh ADD COLUMN IF NOT EXISTS n int;
ALTER TABLE IF EXISTS sh_not_there ADD COLUMN n int;
ALTER TABLE sh ADD COLUMN n int;
BEGIN;
ALTER TABLE sh ADD COLUMN m int;
SELECT sh_held('sh:1', 'sh:2');
ROLLBACK;
SELECT sh_held('sh:1', 'sh:2');
BEGIN;
SAVEPOINT a;
ALTER TABLE sh ADD COLUMN m int;
ROLLBACK TO a;
COMMIT;
SELECT sh_held('sh:1', 'sh:2');
-- in a function, with others in one command, changed again in the transaction
DO $$ BEGIN
    ALTER TABLE sh ADD COLUMN m int, ALTER COLUMN n TYPE text, DROP COLUMN w;
    UPDATE sh SET m = 1 WHERE id = 2;
END $$;
SELECT sh_held('sh:1', 'sh:2');
-- a privilege that is not there is missed as ever, and nothing is locked
CREATE ROLE regress_wtc_schema;
SET ROLE regress_wtc_schema;
ALTER TABLE sh ADD COLUMN secret int;
ALTER TABLE sh RENAME COLUMN v TO secret;
RESET ROLE;
DROP ROLE regress_wtc_schema;
SELECT sh_held('sh:2');
-- nor in a transaction that may only read
BEGIN READ ONLY;
ALTER TABLE sh ADD COLUMN secret int;
ROLLBACK;
SELECT sh_held('sh:2');
-- what leaves rows alone leaves the cache alone
ALTER TABLE sh ALTER COLUMN v SET DEFAULT 'd', ALTER COLUMN n SET NOT NULL, ADD CHECK (id > 0),
    ALTER COLUMN v SET STATISTICS 10, SET (fillfactor = 50), REPLICA IDENTITY FULL;
CLUSTER sh USING sh_pkey;
VACUUM FULL sh;
ALTER TABLE sh RENAME TO sh_renamed;
CREATE SCHEMA sh_schema;
ALTER TABLE sh_renamed SET SCHEMA sh_schema;
SELECT sh_held('sh:2');
UPDATE sh_schema.sh_renamed SET v = 'moved' WHERE id = 2;
SELECT sh_held('sh:2');
ALTER TABLE sh_schema.sh_renamed SET SCHEMA public;
ALTER TABLE sh_renamed RENAME TO sh;

-- types: of columns that are in the image, and that are not
UPDATE sh_some SET v = 'v';
ALTER TABLE sh_some ALTER COLUMN w TYPE varchar;
SELECT sh_held('sh_some:1');
ALTER TABLE sh_some ALTER COLUMN v TYPE int USING 5;
SELECT sh_held('sh_some:1');
SELECT wtcache.attach('sh_some', columns => '{id,v}', condition => 'n > 5', replace => true);
UPDATE sh_some SET v = 6;
-- the condition must still be one
ALTER TABLE sh_some ALTER COLUMN n DROP DEFAULT, ALTER COLUMN n TYPE text[] USING '{}';
SELECT sh_held('sh_some:1');
ALTER TABLE sh_some ALTER COLUMN n TYPE bigint;
SELECT sh_held('sh_some:1');
UPDATE sh_some SET v = 7;
-- types that columns are made of
CREATE TYPE sh_mood AS ENUM ('sad', 'ok');
CREATE TYPE sh_pair AS (a int, mood sh_mood);
CREATE DOMAIN sh_pairs AS sh_pair[];
CREATE TABLE sh_typed (id int PRIMARY KEY, p sh_pairs);
CREATE TABLE sh_row (id int PRIMARY KEY, r sh_some);
CREATE TABLE sh_of OF sh_pair (PRIMARY KEY (a));
SELECT wtcache.attach('sh_typed'), wtcache.attach('sh_row'), wtcache.attach('sh_of');
CREATE FUNCTION sh_fill() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO sh_typed VALUES (1, '{"(1,sad)"}') ON CONFLICT (id) DO UPDATE SET id = 1;
    INSERT INTO sh_row SELECT 1, sh_some FROM sh_some ON CONFLICT (id) DO UPDATE SET id = 1;
    INSERT INTO sh_of VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1;
    RETURN sh_held('sh_typed:1', 'sh_row:1', 'sh_of:1');
END $$;
SELECT sh_fill();
ALTER TYPE sh_mood ADD VALUE 'happy';
SELECT sh_held('sh_typed:1', 'sh_row:1', 'sh_of:1');
ALTER TYPE sh_mood RENAME VALUE 'sad' TO 'blue';
SELECT sh_held('sh_typed:1', 'sh_row:1', 'sh_of:1');
UPDATE sh_typed SET id = 1;
UPDATE sh_of SET a = 1;
ALTER TYPE sh_pair ADD ATTRIBUTE b text CASCADE;
SELECT sh_held('sh_typed:1', 'sh_row:1', 'sh_of:1');
UPDATE sh_typed SET id = 1;
UPDATE sh_of SET a = 1;
ALTER TYPE sh_pair RENAME ATTRIBUTE a TO first CASCADE;
SELECT sh_held('sh_typed:1', 'sh_row:1', 'sh_of:1');
SELECT key FROM wtcache.attachments WHERE relation = 'sh_of'::regclass;
UPDATE sh_typed SET id = 1;
UPDATE sh_of SET mood = 'ok';
SELECT sh_held('sh_typed:1', 'sh_of:1');
ALTER TYPE sh_pair DROP ATTRIBUTE b CASCADE;
SELECT sh_held('sh_typed:1', 'sh_row:1', 'sh_of:1');
ALTER TABLE sh_some ADD COLUMN in_row int;
ALTER TABLE sh_some RENAME COLUMN w TO ww;
SELECT sh_held('sh_row:1', 'sh_some:1');
UPDATE sh_row SET id = 1;
ALTER TABLE sh_some DROP COLUMN in_row;
SELECT sh_held('sh_row:1', 'sh_some:1');
-- a dropped type takes columns with it
UPDATE sh_typed SET id = 1;
DROP DOMAIN sh_pairs CASCADE;
SELECT sh_held('sh_typed:1');
CREATE TABLE sh_mooded (id int PRIMARY KEY, m sh_mood);
SELECT wtcache.attach('sh_mooded', tags => '{"{m}"}');
INSERT INTO sh_mooded VALUES (1, 'ok');
\set VERBOSITY terse
DROP TYPE sh_mood CASCADE;
\set VERBOSITY default
SELECT sh_held('sh_mooded:1');
DROP TABLE sh_typed, sh_row, sh_of, sh_mooded;
DROP TYPE sh_pair, sh_mood;
DROP FUNCTION sh_fill;

-- a crash empties unlogged tables
ALTER TABLE sh SET UNLOGGED;
SELECT sh_held('sh:2');
ALTER TABLE sh SET LOGGED;

-- triggers that do not fire
ALTER TABLE sh DISABLE TRIGGER wtcache_capture;
SELECT relation, enabled, always FROM wtcache.attachments WHERE relation = 'sh'::regclass;
SELECT sh_held('sh:2');
UPDATE sh SET v = 'unseen';
ALTER TABLE sh DISABLE TRIGGER ALL;
ALTER TABLE sh ENABLE TRIGGER wtcache_capture;
UPDATE sh SET v = 'seen';
TRUNCATE sh;
SELECT sh_held('sh:1', 'sh:2');
INSERT INTO sh VALUES (1, 'again', 1), (2, 'again', 2);
BEGIN;
ALTER TABLE sh DISABLE TRIGGER USER;
ROLLBACK;
SELECT sh_held('sh:1');
ALTER TABLE sh ENABLE REPLICA TRIGGER wtcache_capture;
ALTER TABLE sh DISABLE TRIGGER wtcache_capture_truncate;
ALTER TABLE sh ENABLE ALWAYS TRIGGER wtcache_capture;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'sh'::regclass ORDER BY 1;
ALTER TABLE sh ENABLE ALWAYS TRIGGER wtcache_capture_truncate;
ALTER TABLE sh ENABLE TRIGGER wtcache_capture_truncate;
-- by hand, in either order: keys go with the first one, and none come back
BEGIN;
DROP TRIGGER wtcache_capture ON sh;
DROP TRIGGER wtcache_capture_truncate ON sh;
COMMIT;
SELECT sh_held('sh:1', 'sh:2');
SELECT wtcache.attach('sh');
UPDATE sh SET v = 'attached';
DROP TRIGGER wtcache_capture_truncate ON sh;
SELECT sh_held('sh:1', 'sh:2');
UPDATE sh SET v = 'uncovered';
SELECT operation FROM sh, wtcache.preview('sh', sh);
CALL wtcache.warm('sh');
SELECT sh_held('sh:1', 'sh:2');
DROP TRIGGER wtcache_capture ON sh;

-- nor replaced by another one unnoticed
SELECT wtcache.attach('sh');
UPDATE sh SET v = 'attached';
CREATE FUNCTION sh_nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER wtcache_capture_truncate BEFORE TRUNCATE ON sh EXECUTE FUNCTION sh_nothing();
SELECT sh_held('sh:1', 'sh:2');
SELECT wtcache.attach('sh', replace => true);
UPDATE sh SET v = 'attached';
CREATE OR REPLACE TRIGGER other AFTER UPDATE ON sh EXECUTE FUNCTION sh_nothing();
CREATE OR REPLACE TRIGGER other AFTER DELETE ON sh EXECUTE FUNCTION sh_nothing();
SELECT sh_held('sh:1', 'sh:2');
CREATE ROLE regress_wtc_schema;
SET ROLE regress_wtc_schema;
CREATE OR REPLACE TRIGGER wtcache_capture AFTER UPDATE ON sh EXECUTE FUNCTION sh_nothing();
RESET ROLE;
DROP ROLE regress_wtc_schema;
CREATE OR REPLACE TRIGGER wtcache_capture AFTER INSERT OR UPDATE OR DELETE ON sh FOR EACH ROW
    EXECUTE FUNCTION wtcache.capture_row('key=other:{id}');
SELECT sh_held('sh:1', 'sh:2');
UPDATE sh SET v = 'other';
SELECT sh_held('sh:1', 'other:1');
CREATE OR REPLACE TRIGGER wtcache_capture AFTER UPDATE ON sh FOR EACH ROW EXECUTE FUNCTION sh_nothing();
SELECT sh_held('sh:1', 'other:1');
DROP TRIGGER wtcache_capture ON sh;
DROP FUNCTION sh_nothing CASCADE;

-- replicated changes
SELECT wtcache.attach('sh', always => true), wtcache.attach('sh_some', replace => true);
SELECT relation, enabled, always FROM wtcache.attachments WHERE relation IN ('sh'::regclass, 'sh_some'::regclass) ORDER BY 1;
SET session_replication_role = replica;
UPDATE sh SET v = 'replica';
UPDATE sh_some SET v = 8;
SELECT sh_held('sh:1', 'sh_some:1');
TRUNCATE sh;
SELECT sh_held('sh:1');
-- DDL is followed there as well
INSERT INTO sh VALUES (1, 'replica', 1);
ALTER TABLE sh ADD COLUMN r int;
SELECT sh_held('sh:1');
RESET session_replication_role;
-- attached again without
SELECT wtcache.attach('sh', replace => true);
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'sh'::regclass ORDER BY 1;
UPDATE sh SET r = 1;

-- attached again in another way: as above for tags, key and columns; not if
-- nothing changes but the time to live
SELECT wtcache.attach('sh', ttl => '1 day', replace => true);
SELECT sh_held('sh:1');
SELECT wtcache.attach('sh', ttl => '1 day', columns => '{id}', replace => true);
SELECT sh_held('sh:1');

-- partitions: rows leave with one, and come in with one
CREATE TABLE sp (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE sp_1 PARTITION OF sp FOR VALUES FROM (0) TO (10);
CREATE TABLE sp_2 PARTITION OF sp FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE sp_2a PARTITION OF sp_2 FOR VALUES FROM (10) TO (20);
SELECT wtcache.attach('sp', invalidates => '{"list:{v}"}', always => true);
INSERT INTO sp VALUES (1, 'a'), (11, 'b');
SELECT wtcache.set('list', '[1]', NULL, '{list:a}'), wtcache.set('list2', '[11]', NULL, '{list:b}');
ALTER TABLE sp DETACH PARTITION sp_1;
SELECT sh_held('sp:1', 'sp:11', 'list', 'list2');
UPDATE sp_1 SET v = 'changed';
SELECT wtcache.set('list', '[1]', NULL, '{list:changed}');
ALTER TABLE sp ATTACH PARTITION sp_1 FOR VALUES FROM (0) TO (10);
SELECT sh_held('sp:1', 'sp:11', 'list', 'list2');
UPDATE sp SET v = 'both';
SELECT sh_held('sp:1', 'sp:11');
ALTER TABLE sp DETACH PARTITION sp_2 CONCURRENTLY;
SELECT sh_held('sp:1', 'sp:11');
ALTER TABLE sp ATTACH PARTITION sp_2 FOR VALUES FROM (10) TO (20);
UPDATE sp SET v = 'all';
ALTER TABLE sp ADD COLUMN w int;
SELECT sh_held('sp:1', 'sp:11');
UPDATE sp SET w = 1;
ALTER TABLE sp RENAME COLUMN id TO ident;
SELECT sh_held('sp:1', 'sp:11');
UPDATE sp SET w = 2;
SELECT sh_held('sp:1', 'sp:11');
ALTER TABLE sp DROP COLUMN v;
SELECT sh_held('sp:1', 'sp:11');
SELECT wtcache.attach('sp', always => true, replace => true);
ALTER TABLE sp DROP COLUMN v;
UPDATE sp SET w = 3;
-- all triggers of all partitions, also of a new one, fire always
CREATE TABLE sp_3 PARTITION OF sp FOR VALUES FROM (20) TO (30);
SELECT tgenabled, count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'sp%' GROUP BY 1;
ALTER TABLE sp DISABLE TRIGGER wtcache_capture;
SELECT tgenabled, count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'sp%' GROUP BY 1;
SELECT sh_held('sp:1', 'sp:11');
ALTER TABLE sp ENABLE TRIGGER wtcache_capture;
SELECT tgenabled, count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'sp%' GROUP BY 1;
UPDATE sp SET w = 4;
-- one alone
ALTER TABLE sp_1 DISABLE TRIGGER wtcache_capture;
SELECT sh_held('sp:1', 'sp:11');
ALTER TABLE sp_1 ENABLE TRIGGER wtcache_capture;
UPDATE sp SET w = 5;
ALTER TABLE sp_2a SET UNLOGGED;
-- what cannot be a partition
CREATE UNLOGGED TABLE sp_u PARTITION OF sp FOR VALUES FROM (30) TO (40);
CREATE UNLOGGED TABLE sp_u (w int, ident int PRIMARY KEY);
ALTER TABLE sp ATTACH PARTITION sp_u FOR VALUES FROM (30) TO (40);
ALTER TABLE sp_u SET LOGGED;
SELECT wtcache.attach('sp_u');
ALTER TABLE sp ATTACH PARTITION sp_u FOR VALUES FROM (30) TO (40);
-- nor one that has such a partition
CREATE TABLE sp_v (w int, ident int PRIMARY KEY) PARTITION BY RANGE (ident);
ALTER TABLE sp_v ATTACH PARTITION sp_u FOR VALUES FROM (30) TO (40);
ALTER TABLE sp ATTACH PARTITION sp_v FOR VALUES FROM (30) TO (40);
SELECT wtcache.attach('sp_v');
ALTER TABLE sp_v DETACH PARTITION sp_u;
DROP TABLE sp_v;
SELECT wtcache.detach('sp_u');
ALTER TABLE sp ATTACH PARTITION sp_u FOR VALUES FROM (30) TO (40);
-- a table of that name that is found earlier is another one
CREATE TEMP TABLE sp_w (a int);
DO $$ BEGIN CREATE UNLOGGED TABLE sp_w PARTITION OF sp FOR VALUES FROM (40) TO (50); END $$;
DROP TABLE sp_w;
-- dropped: one, all
DROP TABLE sp_1;
SELECT sh_held('sp:1', 'sp:11');
BEGIN;
DROP TABLE sp;
ROLLBACK;
SELECT sh_held('sp:11');
DROP TABLE sp;
SELECT sh_held('sp:11');

-- of another owner, who has granted what attaching needs
CREATE ROLE regress_wtc_owner;
CREATE ROLE regress_wtc_part_owner;
CREATE SCHEMA so AUTHORIZATION regress_wtc_owner;
GRANT ALL ON SCHEMA so TO regress_wtc_part_owner;
GRANT EXECUTE ON FUNCTION wtcache.attach, wtcache.detach, wtcache.capture_row, wtcache.capture_truncate TO regress_wtc_owner;
CREATE TABLE so.p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE so.p_1 PARTITION OF so.p FOR VALUES FROM (0) TO (10);
ALTER TABLE so.p OWNER TO regress_wtc_owner;
ALTER TABLE so.p_1 OWNER TO regress_wtc_part_owner;
GRANT TRIGGER ON so.p_1 TO regress_wtc_owner;
SET ROLE regress_wtc_owner;
SELECT wtcache.attach('so.p');
ALTER TABLE so.p DISABLE TRIGGER wtcache_capture;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'so.p%' ORDER BY 1, 2;
ALTER TABLE so.p ENABLE ALWAYS TRIGGER wtcache_capture;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'so.p%' ORDER BY 1, 2;
SELECT wtcache.detach('so.p');
SELECT count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'so.p%';
RESET ROLE;
-- a parent's trigger alone: those of the partitions fire; a TRUNCATE trigger
-- that was renamed is one still
SELECT wtcache.attach('so.p');
INSERT INTO so.p VALUES (1, 'v');
ALTER TABLE ONLY so.p DISABLE TRIGGER wtcache_capture;
SELECT sh_held('p:1');
ALTER TABLE ONLY so.p ENABLE TRIGGER wtcache_capture;
ALTER TRIGGER wtcache_capture_truncate ON so.p_1 RENAME TO renamed;
CREATE TABLE so.p_2 PARTITION OF so.p FOR VALUES FROM (10) TO (20);
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'so.p%' ORDER BY 1, 2;
SELECT wtcache.detach('so.p');
SELECT count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'so.p%';
SELECT wtcache.delete('p:1');
\set VERBOSITY terse
DROP SCHEMA so CASCADE;
\set VERBOSITY default
REVOKE EXECUTE ON FUNCTION wtcache.attach, wtcache.detach, wtcache.capture_row, wtcache.capture_truncate FROM regress_wtc_owner;
DROP ROLE regress_wtc_owner, regress_wtc_part_owner;

-- inheritance: the attachment is of the table alone
CREATE TABLE si (id int PRIMARY KEY, v text);
CREATE TABLE si_child (PRIMARY KEY (id)) INHERITS (si);
SELECT wtcache.attach('si'), wtcache.attach('si_child');
INSERT INTO si VALUES (1, 'own');
INSERT INTO si_child VALUES (2, 'child');
UPDATE si SET v = 'both';
SELECT sh_held('si:1', 'si:2', 'si_child:1', 'si_child:2');
CREATE TABLE si_other () INHERITS (si);
ALTER TABLE si_child NO INHERIT si;
ALTER TABLE si_child INHERIT si;
SELECT sh_held('si:1', 'si_child:2');
-- commands go down to the children
ALTER TABLE ONLY si ALTER COLUMN v SET DEFAULT 'x';
ALTER TABLE si ADD COLUMN w int;
SELECT sh_held('si:1', 'si_child:2');
UPDATE si SET w = 1;
ALTER TABLE si RENAME COLUMN id TO ident;
UPDATE si SET w = 2;
SELECT sh_held('si:1', 'si_child:2');
ALTER TABLE si DROP COLUMN w;
SELECT sh_held('si:1', 'si_child:2');
UPDATE si SET v = 'last';

-- DROP, in each of its ways
CREATE SCHEMA sd;
CREATE FUNCTION sd.good(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1 <> 'bad' $$;
CREATE DOMAIN sd.dom AS text;
CREATE TABLE sd.t (id int PRIMARY KEY, d sd.dom, big text);
CREATE TABLE sd_kept (id int PRIMARY KEY, d sd.dom);
SELECT wtcache.attach('sd.t', tags => '{"{big}"}', condition => 'sd.good(d)'), wtcache.attach('sd_kept');
INSERT INTO sd.t SELECT i, 'x', string_agg(md5(i::text || j), '') FROM generate_series(1, 3) i, generate_series(1, 300) j GROUP BY i;
INSERT INTO sd_kept VALUES (1, 'x');
-- its TOAST table is younger than its trigger, and dropped first
CREATE TABLE sd.late (id int PRIMARY KEY);
SELECT wtcache.attach('sd.late');
ALTER TABLE sd.late ADD COLUMN big text;
SELECT wtcache.attach('sd.late', tags => '{"{big}"}', replace => true);
INSERT INTO sd.late SELECT id, big FROM sd.t;
\! $REDIS exists t:1 t:2 t:3 late:1 late:2 late:3 sd_kept:1
SET client_min_messages = debug1;
\set VERBOSITY terse
DROP SCHEMA sd CASCADE;
\set VERBOSITY default
RESET client_min_messages;
\! $REDIS exists t:1 t:2 t:3 late:1 late:2 late:3 sd_kept:1
\! $REDIS --scan --pattern 'tag:*' | awk 'length > 1000' | wc -l
UPDATE sd_kept SET id = 1;
SELECT sh_held('sd_kept:1');
CREATE ROLE regress_wtc_owner;
ALTER TABLE sd_kept OWNER TO regress_wtc_owner;
DROP OWNED BY regress_wtc_owner;
SELECT sh_held('sd_kept:1');
DROP ROLE regress_wtc_owner;
DROP TABLE IF EXISTS sh_not_there, si, sh CASCADE;
SELECT sh_held('si:1', 'si_child:2', 'sh:1');
-- detached: what there is goes; on request it stays
UPDATE sh_some SET v = 9;
BEGIN;
SELECT wtcache.detach('sh_some');
ROLLBACK;
SELECT sh_held('sh_some:1');
SELECT wtcache.detach('sh_some', drop_keys => false);
SELECT sh_held('sh_some:1');
DROP TABLE sh_some;
SELECT sh_held('sh_some:1');
SELECT wtcache.delete('sh_some:1', 'list', 'list2');
DROP SCHEMA sh_schema;
DROP FUNCTION sh_held;

-- what event triggers do is followed, also while wtcache runs statements itself
CREATE TABLE se (id int PRIMARY KEY, v text);
CREATE TABLE se_other (id int PRIMARY KEY, v text);
CREATE TABLE se_dropped (id int PRIMARY KEY, v text);
SELECT wtcache.attach('se'), wtcache.attach('se_dropped');
INSERT INTO se VALUES (1, 'v');
INSERT INTO se_dropped VALUES (1, 'v');
CREATE FUNCTION se_event() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'se'::regclass AND attname = 'w') THEN
        ALTER TABLE se ADD COLUMN w int;
        DROP TABLE se_dropped;
    END IF;
END $$;
CREATE EVENT TRIGGER se_event ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION se_event();
SELECT wtcache.attach('se_other');
SELECT wtcache.get('se:1'), wtcache.get('se_dropped:1');
DROP EVENT TRIGGER se_event;
DROP FUNCTION se_event;
DROP TABLE se, se_other;

-- our triggers are found by name
ALTER SCHEMA wtcache RENAME TO other;
ALTER FUNCTION wtcache.capture_row RENAME TO other;
ALTER FUNCTION wtcache.capture_truncate SET SCHEMA public;
ALTER EXTENSION wtcache SET SCHEMA public;

-- somebody who may not use the schema of the extension changes his own
CREATE ROLE regress_wtc_nobody;
CREATE SCHEMA regress_wtc_own AUTHORIZATION regress_wtc_nobody;
BEGIN;
REVOKE USAGE ON SCHEMA wtcache FROM PUBLIC;
SET LOCAL ROLE regress_wtc_nobody;
CREATE TABLE regress_wtc_own.t (id int PRIMARY KEY);
ALTER TABLE regress_wtc_own.t ADD COLUMN v text;
DROP TABLE regress_wtc_own.t;
ROLLBACK;
DROP SCHEMA regress_wtc_own;
DROP ROLE regress_wtc_nobody;

-- what is not attached is left alone: no locks but those of the statement, no
-- reading of all triggers for a new table, no rows of a temporary one
CREATE FUNCTION sh_locks(text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(l.relation::regclass || ' ' || l.mode, ', ' ORDER BY l.relation::regclass::text)
      FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
     WHERE l.pid = pg_backend_pid() AND c.relname LIKE $1 AND c.relkind IN ('r', 'p') $$;
CREATE FUNCTION sh_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE sh_far (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE sh_far_1 PARTITION OF sh_far FOR VALUES FROM (0) TO (10);
CREATE TABLE sh_old (id int);
CREATE TABLE sh_old_1 () INHERITS (sh_old);
BEGIN;
CREATE OR REPLACE TRIGGER t AFTER INSERT ON sh_far EXECUTE FUNCTION sh_nothing();
SELECT sh_locks('sh\_far%');
ROLLBACK;
BEGIN;
ALTER TABLE sh_old DISABLE TRIGGER USER;
SELECT sh_locks('sh\_old%');
ROLLBACK;
BEGIN;
SELECT pg_stat_get_xact_numscans('pg_trigger'::regclass) AS before \gset
CREATE TABLE sh_new (id int);
CREATE TEMPORARY TABLE sh_new_temp (id int);
ALTER TABLE sh_new ADD COLUMN v text;
SELECT pg_stat_get_xact_numscans('pg_trigger'::regclass) - :before AS scans;
ROLLBACK;
-- but new partitions are found, wherever they are made
CREATE TABLE sh_near (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT wtcache.attach('sh_near');
CREATE SCHEMA sh_schema CREATE TABLE sh_near_1 PARTITION OF sh_near FOR VALUES FROM (0) TO (10);
INSERT INTO sh_near VALUES (1);
TRUNCATE sh_schema.sh_near_1;
\! $REDIS exists sh_near:1
\c -
CREATE TEMPORARY TABLE sh_temp (id int PRIMARY KEY);
CREATE TRIGGER t AFTER INSERT ON sh_temp FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=sh_temp:{id}');
INSERT INTO sh_temp VALUES (1);
SELECT relnamespace::regnamespace::text AS temp FROM pg_class WHERE oid = 'sh_temp'::regclass \gset
\setenv SH_TEMP :temp
\setenv PGDATABASE :DBNAME
-- another session's; orphaned ones are dropped by autovacuum
\! psql -XAtqc "SET client_min_messages = warning; DROP TABLE $SH_TEMP.sh_temp"
SELECT count(*) FROM pg_class WHERE relname = 'sh_temp';
SET client_min_messages = warning;
DROP SCHEMA sh_schema CASCADE;
DROP TABLE sh_near, sh_far, sh_old, sh_old_1;
DROP FUNCTION sh_locks, sh_nothing;
RESET client_min_messages;
