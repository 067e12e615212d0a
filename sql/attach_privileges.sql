-- attach, detach and the functions: who may call them
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE ROLE regress_wtc_owner;
CREATE ROLE regress_wtc_user;
CREATE ROLE regress_wtc_nobody;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA wtcache TO regress_wtc_owner, regress_wtc_user;
CREATE SCHEMA ap;
GRANT USAGE, CREATE ON SCHEMA ap TO regress_wtc_owner;
GRANT USAGE ON SCHEMA ap TO regress_wtc_user, regress_wtc_nobody;

-- the owner may; not with EXECUTE alone, not with TRIGGER and all the rest
SET ROLE regress_wtc_owner;
CREATE TABLE ap.t (id int PRIMARY KEY, v text);
SELECT wtcache.attach('ap.t');
GRANT ALL ON ap.t TO regress_wtc_user;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ap.t TO regress_wtc_nobody;
SET ROLE regress_wtc_user;
SELECT wtcache.attach('ap.t', format => 'hash');
SELECT wtcache.detach('ap.t');
SELECT wtcache.attach('pg_catalog.pg_class');

-- whoever may write the table need not know of the cache
SET ROLE regress_wtc_nobody;
INSERT INTO ap.t VALUES (1, 'one'), (2, 'two'), (3, 'three');
UPDATE ap.t SET v = 'eins' WHERE id = 1;
DELETE FROM ap.t WHERE id = 2;
\! $REDIS get t:1
\! $REDIS exists t:2
TRUNCATE ap.t;
\! $REDIS exists t:1 t:3

-- but may call nothing that changes or reads the cache
SELECT wtcache.attach('ap.t');
SELECT wtcache.detach('ap.t');
SELECT wtcache.set('ap', '1');
SELECT wtcache.delete('ap');
SELECT wtcache.invalidate_tags('ap');
SELECT wtcache.get('ap');
CREATE TEMPORARY TABLE ap_temp (id int PRIMARY KEY);
CREATE TRIGGER t AFTER INSERT ON ap_temp FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=ap:{id}');
-- what is attached anybody may know
SELECT relation, key FROM wtcache.attachments WHERE relation = 'ap.t'::regclass;

-- the owner needs no privilege but EXECUTE
SET ROLE regress_wtc_owner;
SELECT wtcache.set('ap:set', '{"by": "owner"}');
SELECT wtcache.get('ap:set');
SELECT wtcache.detach('ap.t');
RESET ROLE;

-- attaching takes EXECUTE on attach() and nothing else, whether by the function or
-- by hand, as when a dump is restored
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA wtcache FROM regress_wtc_owner;
SET ROLE regress_wtc_owner;
SELECT wtcache.attach('ap.t');
CREATE TRIGGER wtcache_capture AFTER INSERT OR UPDATE OR DELETE ON ap.t FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=t:{id}');
CREATE TRIGGER wtcache_capture_truncate BEFORE TRUNCATE ON ap.t EXECUTE FUNCTION wtcache.capture_truncate();
CREATE FUNCTION ap.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t AFTER INSERT ON ap.t FOR EACH ROW EXECUTE FUNCTION ap.nothing();
CREATE OR REPLACE TRIGGER t AFTER INSERT ON ap.t FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=t:{id}');
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON ap.t FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=t:{id}');
DROP FUNCTION ap.nothing CASCADE;
RESET ROLE;
GRANT EXECUTE ON FUNCTION wtcache.attach TO regress_wtc_owner;
SET ROLE regress_wtc_owner;
SELECT wtcache.attach('ap.t');
INSERT INTO ap.t VALUES (1, 'again');
\! $REDIS get t:1
DROP TRIGGER wtcache_capture ON ap.t;
DROP TRIGGER wtcache_capture_truncate ON ap.t;
CREATE TRIGGER wtcache_capture AFTER INSERT OR UPDATE OR DELETE ON ap.t FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=t:{id}');
CREATE TRIGGER wtcache_capture_truncate BEFORE TRUNCATE ON ap.t EXECUTE FUNCTION wtcache.capture_truncate();
INSERT INTO ap.t VALUES (2, 'by hand');
\! $REDIS get t:2
RESET ROLE;

-- a superuser may attach anything that can be attached
SELECT wtcache.attach('ap.t', key => 'ap:{id}', replace => true);

-- a role that adds partitions to an attached table needs no privilege of ours,
-- whichever role has attached it
SET ROLE regress_wtc_owner;
CREATE TABLE ap.p (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE ap.p2 (id int PRIMARY KEY);
RESET ROLE;
SELECT wtcache.attach('ap.p');
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA wtcache FROM regress_wtc_owner;
SET ROLE regress_wtc_owner;
CREATE TABLE ap.p1 PARTITION OF ap.p FOR VALUES FROM (0) TO (10);
ALTER TABLE ap.p ATTACH PARTITION ap.p2 FOR VALUES FROM (10) TO (20);
INSERT INTO ap.p VALUES (1), (11);
\! $REDIS mget p:1 p:11
TRUNCATE ap.p;
\! $REDIS exists p:1 p:11
ALTER TABLE ap.p DETACH PARTITION ap.p2;
-- but cannot take away or change what is attached, nor attach more
SELECT wtcache.detach('ap.p');
SELECT wtcache.alter('ap.p', ttl => '1 day');
SELECT wtcache.attach('ap.p2');
RESET ROLE;

-- row level security hides nothing from the capture
ALTER TABLE ap.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON ap.t USING (v = current_user) WITH CHECK (true);
GRANT SELECT, INSERT, TRUNCATE ON ap.t TO regress_wtc_nobody;
SET ROLE regress_wtc_nobody;
INSERT INTO ap.t VALUES (5, 'unseen by the writer');
SELECT count(*) FROM ap.t;
\! $REDIS get ap:5
TRUNCATE ap.t;
\! $REDIS exists ap:5
RESET ROLE;

-- conditions run with the rights of the table's owner: nobody else makes the
-- triggers, whoever may make others
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA wtcache TO regress_wtc_owner, regress_wtc_user;
SET ROLE regress_wtc_owner;
CREATE TABLE ap.lent (id int PRIMARY KEY);
CREATE TABLE ap.lent_parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE ap.lent_part PARTITION OF ap.lent_parts FOR VALUES FROM (0) TO (10);
GRANT ALL ON ap.lent, ap.lent_parts TO regress_wtc_user;
RESET ROLE;
ALTER TABLE ap.lent_part OWNER TO regress_wtc_user;
SET ROLE regress_wtc_user;
CREATE TRIGGER t AFTER INSERT ON ap.lent FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=lent:{id}');
CREATE TRIGGER t AFTER INSERT ON ap.lent_parts FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=parts:{id}');
CREATE TRIGGER t AFTER INSERT ON ap.lent_part FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=ap:{id}');
CREATE TRIGGER t AFTER INSERT ON ap.lent FOR EACH ROW WHEN (new.id > 0) EXECUTE FUNCTION wtcache.capture_condition();
SET ROLE regress_wtc_owner;
CREATE TRIGGER t AFTER INSERT ON ap.lent FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=lent:{id}');
CREATE TRIGGER t AFTER INSERT ON ap.lent_parts FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=parts:{id}');
RESET ROLE;

-- a writer, and whoever renames something, need no USAGE of the schemas that a
-- condition names
CREATE SCHEMA ap_hidden;
CREATE FUNCTION ap_hidden.good(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE TYPE ap.mood AS ENUM ('sad', 'ok');
CREATE TABLE ap.hidden (id int PRIMARY KEY, m ap.mood);
SELECT wtcache.attach('ap.hidden', condition => $$ap_hidden.good(id) AND m = 'ok'$$);
GRANT INSERT ON ap.hidden TO regress_wtc_nobody;
ALTER TYPE ap.mood OWNER TO regress_wtc_user;
SET ROLE regress_wtc_nobody;
INSERT INTO ap.hidden VALUES (1, 'ok');
\! $REDIS get hidden:1
SET ROLE regress_wtc_user;
ALTER TYPE ap.mood RENAME VALUE 'ok' TO 'fine';
RESET ROLE;
INSERT INTO ap.hidden VALUES (2, 'fine');
\! $REDIS get hidden:2
-- nor does a new owner
ALTER TABLE ap.hidden OWNER TO regress_wtc_owner;
UPDATE ap.hidden SET m = 'sad' WHERE id = 1;
UPDATE ap.hidden SET id = 3 WHERE id = 2;
\! $REDIS mget hidden:1 hidden:2 hidden:3
SET ROLE regress_wtc_owner;
ALTER TABLE ap.hidden RENAME COLUMN m TO mood;
DELETE FROM ap.hidden WHERE id = 3;
INSERT INTO ap.hidden VALUES (4, 'fine');
\! $REDIS mget hidden:3 hidden:4
TRUNCATE ap.hidden;
\! $REDIS exists hidden:4
RESET ROLE;
ALTER FUNCTION ap_hidden.good RENAME TO better;
SELECT condition FROM wtcache.attachments WHERE relation = 'ap.hidden'::regclass;

-- a function that the owner may not execute: rows are not cached until that
-- changes, and whoever writes them is told
INSERT INTO ap.hidden VALUES (5, 'fine');
REVOKE EXECUTE ON FUNCTION ap_hidden.better FROM PUBLIC;
UPDATE ap.hidden SET id = 6;
\! $REDIS exists hidden:5 hidden:6
CALL wtcache.warm('ap.hidden');
GRANT EXECUTE ON FUNCTION ap_hidden.better TO regress_wtc_owner;
CALL wtcache.warm('ap.hidden');
\! $REDIS get hidden:6
-- also one that is called by another one, or by a domain; or names in one
CREATE FUNCTION ap_hidden.inner(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 > 1; END $$;
CREATE FUNCTION ap_hidden.outer(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ap_hidden.inner($1) AND $1 <> 7';
CREATE DOMAIN ap_hidden.small AS int CHECK (ap_hidden.inner(VALUE));
SELECT wtcache.alter('ap.hidden', condition => 'ap_hidden.outer(id)');
GRANT USAGE ON SCHEMA ap_hidden TO regress_wtc_owner;
SELECT wtcache.alter('ap.hidden', condition => 'ap_hidden.outer(id)');
UPDATE ap.hidden SET mood = mood;
\! $REDIS get hidden:6
REVOKE USAGE ON SCHEMA ap_hidden FROM regress_wtc_owner;
UPDATE ap.hidden SET mood = mood;
GRANT USAGE ON SCHEMA ap_hidden TO regress_wtc_owner;
REVOKE EXECUTE ON FUNCTION ap_hidden.inner FROM PUBLIC;
UPDATE ap.hidden SET mood = mood;
\! $REDIS exists hidden:6
SELECT wtcache.alter('ap.hidden', condition => 'id::ap_hidden.small > 0');
SELECT wtcache.alter('ap.hidden', condition => $$ap_hidden.better(id) AND mood = 'fine'$$);
ALTER TABLE ap.hidden OWNER TO regress_wtc_user;
UPDATE ap.hidden SET id = 7;
\! $REDIS exists hidden:6 hidden:7
SELECT wtcache.attach('ap.hidden', condition => 'ap_hidden.better(id)', replace => true);
SELECT wtcache.alter('ap.hidden', ttl => '1 day');
SELECT wtcache.alter('ap.hidden', condition => 'id > 0');
UPDATE ap.hidden SET id = 8;
\! $REDIS get hidden:8

-- nor can a session put something of its own in the place of what is named: not
-- in the statements that are run as the owner of the extension, ...
GRANT EXECUTE ON PROCEDURE wtcache.warm TO regress_wtc_owner;
SET ROLE regress_wtc_owner;
CREATE TABLE ap.warmed (id int PRIMARY KEY);
CREATE TABLE ap.warmed_2 (id int PRIMARY KEY);
SELECT wtcache.attach('ap.warmed'), wtcache.attach('ap.warmed_2');
CALL wtcache.warm('ap.warmed');
CREATE FUNCTION ap.loud() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    RAISE WARNING 'runs as %', current_user;
    RETURN true;
END $$;
CREATE TEMPORARY VIEW pg_class AS
    SELECT oid FROM pg_catalog.pg_class WHERE ap.loud();
CALL wtcache.warm('ap.warmed_2');
RESET ROLE;
SELECT relation, rows_done FROM wtcache.stat_progress_warm WHERE relation::text LIKE 'ap.warmed%' ORDER BY 1;
DROP VIEW pg_temp.pg_class;
-- ... and not in a condition that another role has given
CREATE TABLE ap.named (id int PRIMARY KEY, v varchar);
SELECT wtcache.attach('ap.named', condition => $$v = 'x'$$);
GRANT INSERT ON ap.named TO regress_wtc_nobody;
CREATE FUNCTION ap.never(pg_catalog.text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
    RAISE 'the condition has another type';
END $$;
SET ROLE regress_wtc_nobody;
CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (ap.never(VALUE));
INSERT INTO ap.named VALUES (1, 'x'), (2, 'y');
\! $REDIS exists named:1 named:2
DROP DOMAIN pg_temp.text;
RESET ROLE;

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA ap_hidden CASCADE;
DROP SCHEMA ap CASCADE;
DROP OWNED BY regress_wtc_owner, regress_wtc_user, regress_wtc_nobody;
DROP ROLE regress_wtc_owner, regress_wtc_user, regress_wtc_nobody;

-- row security: the image is for all, and who cannot see all rows cannot warm
CREATE TABLE ap_rls (id int PRIMARY KEY, v text);
CREATE POLICY p ON ap_rls USING (v = 'mine');
SELECT wtcache.attach('ap_rls');
ALTER TABLE ap_rls ENABLE ROW LEVEL SECURITY;
SELECT wtcache.attach('ap_rls', replace => true);
INSERT INTO ap_rls VALUES (1, 'mine'), (2, 'other');
CREATE ROLE ap_rls_owner;
GRANT USAGE, CREATE ON SCHEMA public TO ap_rls_owner;
GRANT USAGE ON SCHEMA wtcache TO ap_rls_owner;
GRANT EXECUTE ON FUNCTION wtcache.verify(regclass, boolean, double precision, boolean, interval) TO ap_rls_owner;
GRANT EXECUTE ON PROCEDURE wtcache.warm(regclass, integer, double precision, text, boolean, interval) TO ap_rls_owner;
GRANT EXECUTE ON FUNCTION wtcache.capture_row(), wtcache.capture_truncate() TO ap_rls_owner;
ALTER TABLE ap_rls OWNER TO ap_rls_owner;
SET ROLE ap_rls_owner;
CALL wtcache.warm('ap_rls');
SELECT count(*) FROM wtcache.verify('ap_rls');
RESET ROLE;
ALTER TABLE ap_rls FORCE ROW LEVEL SECURITY;
SET ROLE ap_rls_owner;
CALL wtcache.warm('ap_rls');
SELECT count(*) FROM wtcache.verify('ap_rls');
RESET ROLE;
DROP TABLE ap_rls;
REVOKE ALL ON SCHEMA public, wtcache FROM ap_rls_owner;
DROP OWNED BY ap_rls_owner;
DROP ROLE ap_rls_owner;
