-- The extension comes and goes
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
\set before :DBNAME
CREATE DATABASE regress_wtc_extension TEMPLATE template0;
ALTER DATABASE :before SET wtcache.key_prefix = 'off:';
\c regress_wtc_extension
SET client_min_messages = warning;
CREATE SCHEMA elsewhere;
CREATE EXTENSION wtcache SCHEMA elsewhere;
-- a schema made beforehand is not taken over: its owner could put functions into
-- it, which would be called in place of ours
CREATE ROLE regress_wtc_creator;
GRANT CREATE ON DATABASE regress_wtc_extension TO regress_wtc_creator;
SET ROLE regress_wtc_creator;
CREATE SCHEMA wtcache;
RESET ROLE;
-- PostgreSQL 18 shows where in the script
\set SHOW_CONTEXT never
CREATE EXTENSION wtcache;
\set SHOW_CONTEXT errors
DROP SCHEMA wtcache;
CREATE EXTENSION wtcache;
SELECT nspname, nspowner::regrole = current_user::regrole AS mine, deptype
  FROM pg_namespace n LEFT JOIN pg_depend d
    ON d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.refclassid = 'pg_extension'::regclass
 WHERE nspname = 'wtcache';
SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'wtcache';
ALTER EXTENSION wtcache SET SCHEMA elsewhere;
CREATE TABLE ex (id int PRIMARY KEY);
CREATE TABLE ex_part (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT wtcache.attach('ex', key => 'ex:{id}'), wtcache.attach('ex_part');
INSERT INTO ex VALUES (1);
\! $REDIS get ex:1
-- dropping it needs CASCADE while tables are attached, and takes the triggers
\set VERBOSITY terse
DROP EXTENSION wtcache;
\set VERBOSITY default
DROP EXTENSION wtcache CASCADE;
SELECT count(*) FROM pg_namespace WHERE nspname = 'wtcache';
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('ex'::regclass, 'ex_part'::regclass);
SELECT count(*) FROM pg_event_trigger;
INSERT INTO ex VALUES (2);
CREATE TABLE ex_part1 PARTITION OF ex_part FOR VALUES FROM (0) TO (10);
\! $REDIS exists ex:2
-- in the same session again
CREATE EXTENSION wtcache;
SELECT wtcache.attach('ex', key => 'ex:{id}'), wtcache.attach('ex_part');
INSERT INTO ex VALUES (3);
INSERT INTO ex_part VALUES (4);
\! $REDIS mget ex:3 ex_part:4
-- dropped and pending
BEGIN;
INSERT INTO ex VALUES (5);
DROP EXTENSION wtcache CASCADE;
INSERT INTO ex VALUES (6);
COMMIT;
\! $REDIS exists ex:5
\! $REDIS exists ex:6
-- a user without superuser rights cannot create it
SET ROLE regress_wtc_creator;
\set VERBOSITY terse
CREATE EXTENSION wtcache;
\set VERBOSITY default
-- and what that user makes in its place does nothing to the cache
RESET ROLE;
SET ROLE regress_wtc_creator;
CREATE SCHEMA wtcache;
CREATE FUNCTION wtcache.capture_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE wtcache.mine (id int PRIMARY KEY);
INSERT INTO wtcache.mine VALUES (3);
CREATE TRIGGER t AFTER INSERT ON wtcache.mine FOR EACH ROW
    EXECUTE FUNCTION wtcache.capture_row('key=regress_wtc:{id}', 'invalidate=regress_wtc');
\! $REDIS set regress_wtc:3 somebody
DROP SCHEMA wtcache CASCADE;
\! $REDIS get regress_wtc:3
\! $REDIS del regress_wtc:3
RESET ROLE;
REVOKE CREATE ON DATABASE regress_wtc_extension FROM regress_wtc_creator;
DROP ROLE regress_wtc_creator;

\c :before
DROP DATABASE regress_wtc_extension;
ALTER DATABASE :before RESET wtcache.key_prefix;
