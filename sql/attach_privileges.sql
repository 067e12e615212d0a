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
SELECT wtcache.invalidate_tag('ap');
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

-- attaching creates triggers, so it takes EXECUTE on their functions as well
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA wtcache FROM regress_wtc_owner;
GRANT EXECUTE ON FUNCTION wtcache.attach, wtcache.detach TO regress_wtc_owner;
SET ROLE regress_wtc_owner;
\set VERBOSITY terse
SELECT wtcache.attach('ap.t');
\set VERBOSITY default
RESET ROLE;
GRANT EXECUTE ON FUNCTION wtcache.capture_row, wtcache.capture_truncate TO regress_wtc_owner;
SET ROLE regress_wtc_owner;
SELECT wtcache.attach('ap.t');
INSERT INTO ap.t VALUES (1, 'again');
\! $REDIS get t:1
RESET ROLE;

-- a superuser may attach anything that can be attached
SELECT wtcache.attach('ap.t', key => 'ap:{id}');

-- PostgreSQL wants EXECUTE on capture_row() of whoever adds a partition to an
-- attached table, and nothing else
SET ROLE regress_wtc_owner;
CREATE TABLE ap.p (id int PRIMARY KEY) PARTITION BY RANGE (id);
RESET ROLE;
SELECT wtcache.attach('ap.p');
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA wtcache FROM regress_wtc_owner;
SET ROLE regress_wtc_owner;
\set VERBOSITY sqlstate
CREATE TABLE ap.p1 PARTITION OF ap.p FOR VALUES FROM (0) TO (10);
\set VERBOSITY default
RESET ROLE;
GRANT EXECUTE ON FUNCTION wtcache.capture_row TO regress_wtc_owner;
SET ROLE regress_wtc_owner;
CREATE TABLE ap.p1 PARTITION OF ap.p FOR VALUES FROM (0) TO (10);
INSERT INTO ap.p VALUES (1);
\! $REDIS get p:1
TRUNCATE ap.p;
\! $REDIS exists p:1
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

DROP SCHEMA ap CASCADE;
DROP OWNED BY regress_wtc_owner, regress_wtc_user, regress_wtc_nobody;
DROP ROLE regress_wtc_owner, regress_wtc_user, regress_wtc_nobody;
