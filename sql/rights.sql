-- whose rights the functions of conditions, types and casts have
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE ROLE regress_wtc_evil;
CREATE ROLE regress_wtc_writer;
GRANT USAGE ON SCHEMA wtcache TO regress_wtc_evil;
CREATE SCHEMA ri AUTHORIZATION regress_wtc_evil;
GRANT USAGE ON SCHEMA ri TO regress_wtc_writer;
CREATE TABLE ri_secret (v text);
INSERT INTO ri_secret VALUES ('secret');

-- functions that try what only a superuser may, and tell how it was
SET ROLE regress_wtc_evil;
CREATE FUNCTION ri.try(what text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
    BEGIN
        ALTER ROLE regress_wtc_evil SUPERUSER;
        RAISE WARNING '%: got superuser as %', what, current_user;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    BEGIN
        PERFORM v FROM public.ri_secret;
        RAISE WARNING '%: read the secret as %', what, current_user;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    BEGIN
        SET LOCAL ROLE NONE;
        RAISE WARNING '%: got out', what;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    PERFORM set_config('search_path', 'ri', false);
    RAISE NOTICE '% runs as %', what, current_user;
    RETURN true;
END $$;
CREATE FUNCTION ri.good(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;
CREATE FUNCTION ri.fits(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;
CREATE DOMAIN ri.num AS int CHECK (ri.fits(VALUE));
CREATE TYPE ri.mood AS ENUM ('sad', 'ok');
CREATE FUNCTION ri.mood_json(ri.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN
    PERFORM ri.try('cast');
    RETURN to_json($1::text);
END $$;
CREATE TYPE ri.box AS (n ri.num);
CREATE TABLE ri.b (id int PRIMARY KEY, b ri.box, v text);
CREATE TABLE ri.t (id int PRIMARY KEY, v text);
CREATE TABLE ri.d (id ri.num PRIMARY KEY);
CREATE TABLE ri.m (id int PRIMARY KEY, mood ri.mood);
RESET ROLE;
GRANT EXECUTE ON FUNCTION wtcache.capture_row, wtcache.capture_truncate, wtcache.attach TO regress_wtc_evil;
SET ROLE regress_wtc_evil;
SELECT wtcache.attach('ri.t', condition => 'ri.good(id)'), wtcache.attach('ri.d'), wtcache.attach('ri.m'),
       wtcache.attach('ri.b', condition => $$b <> '(1)'::ri.box AND v <> ''$$);
INSERT INTO ri.t VALUES (1, 'one');
INSERT INTO ri.d VALUES (1);
INSERT INTO ri.m VALUES (1, 'ok');
\! $REDIS mget t:1 d:1 m:1
GRANT ALL ON ri.t, ri.d, ri.m TO regress_wtc_writer;
CREATE OR REPLACE FUNCTION ri.good(int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN ri.try('condition'); END $$;
CREATE OR REPLACE FUNCTION ri.fits(int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN ri.try('domain'); END $$;
RESET ROLE;
CREATE CAST (ri.mood AS json) WITH FUNCTION ri.mood_json(ri.mood);

-- by a superuser
SHOW search_path;
INSERT INTO ri.t VALUES (2, 'two');
INSERT INTO ri.m VALUES (2, 'ok');
\! $REDIS mget t:2 m:2
SELECT operation, key FROM ri.t, wtcache.preview('ri.t', t) WHERE id = 1;
SELECT operation, key FROM ri.m, wtcache.preview('ri.m', m) WHERE id = 1;
SELECT kind FROM wtcache.verify('ri.t');
SELECT kind FROM wtcache.verify('ri.m');
SELECT wtcache.clear('ri.t');
CALL wtcache.warm('ri.t', batch_size => 1);
CALL wtcache.warm('ri.m', batch_size => 1);
\! $REDIS mget t:1 t:2 m:1 m:2
-- the search for orphans reads keys as values of the columns, domains too
\! $REDIS set d:7 7
-- (a policy that the owner is held to hides no row from that)
ALTER TABLE ri.d ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT kind, key FROM wtcache.verify('ri.d', repair => true) WHERE kind = 'orphan';
DELETE FROM ri.t WHERE id = 2;
TRUNCATE ri.t;
\! $REDIS exists t:1 t:2
-- where a column of a condition changes its type, constants are read anew
\set VERBOSITY terse
ALTER TABLE ri.b ALTER COLUMN v TYPE varchar;
ALTER TABLE ri.b ALTER COLUMN v TYPE int USING 1;
\set VERBOSITY default
SHOW search_path;
SELECT current_user = session_user AS "still myself", rolsuper FROM pg_roles WHERE rolname = 'regress_wtc_evil';

-- by another writer, who may not execute the function
REVOKE EXECUTE ON FUNCTION ri.good FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ri.good TO regress_wtc_evil;
SET ROLE regress_wtc_writer;
INSERT INTO ri.t VALUES (3, 'three');
SELECT current_user;
RESET ROLE;
\! $REDIS get t:3
-- an error leaves everything as it was
CREATE OR REPLACE FUNCTION ri.good(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('search_path', 'ri', false);
    RAISE EXCEPTION 'failed as %', current_user;
END $$;
\set VERBOSITY terse
INSERT INTO ri.t VALUES (4, 'four');
CALL wtcache.warm('ri.t');
SELECT current_user = session_user AS "still myself";
SHOW search_path;

-- a function of the server runs what it is told to: that is the owner's as well
SET ROLE regress_wtc_evil;
SELECT wtcache.attach('ri.t', condition => 'id > 0', replace => true);
\set VERBOSITY default
DROP TRIGGER wtcache_condition ON ri.t;
CREATE TRIGGER by_hand AFTER DELETE ON ri.t FOR EACH ROW
    WHEN (CASE WHEN false THEN query_to_xml('SELECT ri.try(''a condition made by hand'')', false, false, '') IS NOT NULL END)
    EXECUTE FUNCTION wtcache.capture_condition();
INSERT INTO ri.t VALUES (5, 'five');
RESET ROLE;
SELECT operation, key FROM ri.t, wtcache.preview('ri.t', t) WHERE id = 5;
SELECT kind FROM wtcache.verify('ri.t', orphans => false) WHERE key = 't:5';
CALL wtcache.warm('ri.t', condition => 'id = 5');
-- so are constants that are computed when a condition, or a query, is planned
SET client_min_messages = error;
SET SESSION AUTHORIZATION regress_wtc_evil;
CREATE FUNCTION ri.constant(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM ri.try('a constant'); RETURN $1; END $$;
CREATE DOMAIN ri.positive AS int CHECK (VALUE > ri.constant(0));
CREATE TABLE ri.c (id int PRIMARY KEY, v int);
CREATE INDEX ON ri.c ((v + ri.constant(0))) WHERE v > ri.constant(0);
SELECT wtcache.attach('ri.c', condition => 'id::ri.positive > 0');
INSERT INTO ri.c VALUES (1, 1), (2, 2);
\c
SET client_min_messages = warning;
CALL wtcache.warm('ri.c');
SELECT kind FROM wtcache.verify('ri.c');
\c
SET client_min_messages = warning;
\! $REDIS set c:1 1
\! $REDIS set c:7 7
SELECT kind FROM wtcache.verify('ri.c', repair => true);
SELECT operation, key FROM wtcache.preview('ri.c', ROW(3, 3)::ri.c);
RESET client_min_messages;
-- nor can one made by hand name what no condition may
SET ROLE regress_wtc_evil;
DROP TRIGGER by_hand ON ri.t;
CREATE TRIGGER by_hand AFTER UPDATE ON ri.t FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION wtcache.capture_condition();
CREATE TRIGGER by_hand AFTER DELETE ON ri.t FOR EACH ROW WHEN (OLD IS NOT NULL) EXECUTE FUNCTION wtcache.capture_condition();
CREATE TRIGGER by_hand AFTER DELETE ON ri.t FOR EACH ROW WHEN (OLD.tableoid > 0) EXECUTE FUNCTION wtcache.capture_condition();
RESET ROLE;
-- nor are the owner's functions for roles that may not read the table
REVOKE ALL ON ri.m FROM regress_wtc_writer;
SET ROLE regress_wtc_writer;
SELECT operation FROM wtcache.preview('ri.m', ROW(1, 'ok')::ri.m);
RESET ROLE;
GRANT SELECT ON ri.m TO regress_wtc_writer;
SET ROLE regress_wtc_writer;
SELECT operation FROM wtcache.preview('ri.m', ROW(1, 'ok')::ri.m);
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA ri CASCADE;
DROP TABLE ri_secret;
DROP OWNED BY regress_wtc_evil, regress_wtc_writer;
DROP ROLE regress_wtc_evil, regress_wtc_writer;
