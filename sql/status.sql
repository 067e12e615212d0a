-- wtcache.status, wtcache.stat
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE st (id int PRIMARY KEY, v text);
SELECT wtcache.attach('st');

-- columns
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'wtcache.status'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'wtcache.stat'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'wtcache.stat_failure'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'wtcache.attachments'::regclass AND attnum > 0 ORDER BY attnum;

SELECT c.relname, attname, format_type(atttypid, atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
 WHERE attrelid IN ('wtcache.stat_attachment'::regclass, 'wtcache.stat_latency'::regclass, 'wtcache.stat_latency_buckets'::regclass)
   AND attnum > 0 ORDER BY c.relname, attnum;

-- values; the endpoint is what wtcache.url says, the mode is the server's
SELECT wtcache.wait();
SET wtcache.mode = async;
SELECT mode, redis_open, lag_seconds >= 0 AS lag,
       retained_bytes >= 0 AS retained, healthy = (advice IS NULL) AS healthy FROM wtcache.status;
RESET wtcache.mode;
SELECT count(*) FROM wtcache.status;
SELECT count(*) FROM wtcache.stat;
SELECT pushes_skipped FROM wtcache.stat \gset m_
INSERT INTO st VALUES (1, 'one');
SELECT endpoint = current_setting('wtcache.url') || '?db=0' AS endpoint, breaker, consecutive_failures,
       in_flight, breaker_since <= now() AS since FROM wtcache.status;
SELECT pushes_ok > 0 AS pushes_ok, bytes_sent > 0 AS bytes_sent,
       pushes_skipped - :m_pushes_skipped AS pushes_skipped FROM wtcache.stat;
-- each counter counts what it says
SELECT * FROM wtcache.stat \gset m_
BEGIN;
INSERT INTO st VALUES (2, 'two'), (3, 'three');
DELETE FROM st WHERE id = 1;
SELECT wtcache.invalidate_tags('st:a', 'st:b', 'st:c');
COMMIT;
BEGIN;
UPDATE st SET v = 'x';
ROLLBACK;
SELECT pushes_ok - :m_pushes_ok AS pushes_ok, sets - :m_sets AS sets, deletes - :m_deletes AS deletes,
       invalidations - :m_invalidations AS invalidations, stored - :m_stored AS stored,
       rollbacks - :m_rollbacks AS rollbacks, discarded - :m_discarded AS discarded,
       bytes_sent - :m_bytes_sent BETWEEN 300 AND 3000 AS bytes_sent,
       pushes_failed - :m_pushes_failed AS pushes_failed, spilled - :m_spilled AS spilled FROM wtcache.stat;
-- reading in a transaction does not disturb it
BEGIN;
UPDATE st SET v = 'y' WHERE id = 2;
SELECT in_flight FROM wtcache.status;
COMMIT;
\! $REDIS get st:2
SELECT in_flight FROM wtcache.status;

-- statistics by table: what the transaction did in the end, if it was committed
CREATE TABLE st_parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE st_low PARTITION OF st_parts FOR VALUES FROM (0) TO (100);
CREATE TABLE st_high PARTITION OF st_parts FOR VALUES FROM (100) TO (200);
SELECT wtcache.attach('st_parts', key => 'stp:{id}', invalidates => '{stp}');
SELECT wtcache.stat_reset();
SELECT relation, sets, deletes, invalidations, bytes, last_change FROM wtcache.stat_attachment
 WHERE relation::text LIKE 'st%' ORDER BY 1;
BEGIN;
INSERT INTO st_parts SELECT i, 'x' FROM generate_series(98, 101) i;
UPDATE st_parts SET v = 'y';
DELETE FROM st_parts WHERE id = 98;
UPDATE st SET v = 'z';
SAVEPOINT s;
DELETE FROM st_parts;
ROLLBACK TO s;
SAVEPOINT s;
DELETE FROM st WHERE id = 3;
RELEASE s;
COMMIT;
BEGIN;
DELETE FROM st_parts;
ROLLBACK;
SELECT relation, sets, deletes, invalidations, bytes BETWEEN 20 AND 300 AS bytes, last_change BETWEEN now() - interval '1 minute' AND now() AS last_change
  FROM wtcache.stat_attachment WHERE relation::text LIKE 'st%' ORDER BY 1;
SELECT relation, sets, deletes, invalidations FROM wtcache.stat_attachment() WHERE relation::text LIKE 'st%' ORDER BY 1;
-- pushed or not, in whatever mode
SET wtcache.mode = async;
INSERT INTO st VALUES (10, 'async');
RESET wtcache.mode;
SET wtcache.enabled = off;
INSERT INTO st VALUES (11, 'deleted instead');
RESET wtcache.enabled;
TRUNCATE st;
SELECT relation, sets, deletes FROM wtcache.stat_attachment WHERE relation = 'st'::regclass;
-- explicit operations are no table's; what was detached or dropped is not shown
SELECT wtcache.set('st:x', '1'), wtcache.delete('st:y'), wtcache.invalidate_tags('st');
SELECT wtcache.detach('st_parts');
DROP TABLE st_parts;
SELECT relation, sets, deletes FROM wtcache.stat_attachment WHERE relation::text LIKE 'st%' ORDER BY 1;
-- more tables than a backend keeps by itself
CREATE PROCEDURE st_many(n int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. n LOOP
    EXECUTE format('CREATE TABLE st_many_%s (id int PRIMARY KEY)', i);
    PERFORM wtcache.attach(format('st_many_%s', i)::regclass);
  END LOOP;
  FOR i IN 1 .. n LOOP
    EXECUTE format('INSERT INTO st_many_%s SELECT generate_series(1, %s)', i, i);
  END LOOP;
  COMMIT;
  FOR i IN REVERSE n .. 1 LOOP
    EXECUTE format('DELETE FROM st_many_%s WHERE id = 1', i);
    COMMIT;
  END LOOP;
END $$;
CALL st_many(40);
SELECT count(*), sum(sets), sum(deletes), bool_and(relation::text = 'st_many_' || sets) FROM wtcache.stat_attachment WHERE relation::text LIKE 'st_many%';
DO $$ BEGIN FOR i IN 1 .. 40 LOOP EXECUTE format('DROP TABLE st_many_%s', i); END LOOP; END $$;
DROP PROCEDURE st_many;

-- the histogram of the push
SELECT wtcache.stat_reset();
INSERT INTO st VALUES (20, 'twenty');
INSERT INTO st VALUES (21, 'twenty-one');
SELECT outcome, pushes, total_time > 0 AS total, mean_time BETWEEN 0.001 AND max_time AS mean,
       p50_time <= p95_time AND p95_time <= p99_time AND p99_time <= max_time AS ordered
  FROM wtcache.stat_latency ORDER BY 1;
SELECT outcome, count(*) AS buckets, min(upper_bound), max(upper_bound), sum(pushes), max(cumulative)
  FROM wtcache.stat_latency_buckets GROUP BY 1 ORDER BY 1;
SELECT upper_bound FROM wtcache.stat_latency_buckets WHERE outcome = 'ok' AND upper_bound BETWEEN 0.001 AND 0.020 ORDER BY 1;
SELECT max(upper_bound) / 1000 AS seconds FROM wtcache.stat_latency_buckets WHERE upper_bound < 'Infinity';
SELECT pushes_ok, sets, stored, stats_reset BETWEEN now() - interval '1 minute' AND now() AS stats_reset FROM wtcache.stat;
-- reset
SELECT stats_reset AS before FROM wtcache.stat \gset
SELECT wtcache.stat_reset();
SELECT pushes_ok, sets, deletes, stored, bytes_sent, stats_reset > :'before' AS stats_reset FROM wtcache.stat;
SELECT * FROM wtcache.stat_latency ORDER BY 1;
SELECT relation, sets, last_change FROM wtcache.stat_attachment WHERE relation = 'st'::regclass;
INSERT INTO st VALUES (22, 'twenty-two');
SELECT pushes_ok, sets FROM wtcache.stat;
SELECT outcome, pushes FROM wtcache.stat_latency ORDER BY 1;
SELECT relation, sets FROM wtcache.stat_attachment WHERE relation = 'st'::regclass;

-- privileges
CREATE ROLE regress_wtc_monitor IN ROLE pg_monitor;
CREATE ROLE regress_wtc_ordinary;
SET ROLE regress_wtc_monitor;
SELECT count(*), count(endpoint) FROM wtcache.status;
SELECT count(*) FROM wtcache.stat;
SELECT count(*) FROM wtcache.stat();
SELECT count(*) > 0 AS attachments FROM wtcache.stat_attachment;
SELECT count(*) FROM wtcache.stat_latency;
SELECT count(*) FROM wtcache.stat_latency_buckets;
SELECT wtcache.stat_reset();
SET ROLE regress_wtc_ordinary;
SELECT * FROM wtcache.status;
SELECT * FROM wtcache.stat;
SELECT wtcache.status();
SELECT wtcache.stat();
SELECT * FROM wtcache.stat_attachment;
SELECT * FROM wtcache.stat_latency;
SELECT * FROM wtcache.stat_latency_buckets;
SELECT wtcache.stat_reset();
\set VERBOSITY sqlstate
SHOW wtcache.url;
SHOW wtcache.password_file;
\set VERBOSITY default
SELECT count(*) > 0 AS attachments FROM wtcache.attachments;
RESET ROLE;
DROP ROLE regress_wtc_monitor, regress_wtc_ordinary;

-- every function: volatility, strictness, parallel safety, comment, who may
SELECT p.proname, p.provolatile, p.proisstrict AS strict, p.proparallel, has_function_privilege('public', p.oid, 'EXECUTE') AS public,
       obj_description(p.oid, 'pg_proc') IS NOT NULL AS comment
  FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'wtcache'
 ORDER BY 1;
-- and what else belongs to the extension
SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
 WHERE d.deptype = 'e' AND e.extname = 'wtcache' AND d.classid IN ('pg_class'::regclass, 'pg_event_trigger'::regclass)
 ORDER BY 1;

DROP TABLE st;
