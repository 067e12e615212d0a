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
 WHERE attrelid = 'wtcache.attachments'::regclass AND attnum > 0 ORDER BY attnum;

-- values; the endpoint is what wtcache.url says
SELECT count(*) FROM wtcache.status;
SELECT count(*) FROM wtcache.stat;
INSERT INTO st VALUES (1, 'one');
SELECT endpoint = current_setting('wtcache.url') || '?db=0' AS endpoint, breaker, consecutive_failures,
       in_flight, breaker_since <= now() AS since FROM wtcache.status;
SELECT pushes_ok > 0 AS pushes_ok, bytes_sent > 0 AS bytes_sent, pushes_skipped FROM wtcache.stat;
-- each counter counts what it says
SELECT * FROM wtcache.stat \gset m_
BEGIN;
INSERT INTO st VALUES (2, 'two'), (3, 'three');
DELETE FROM st WHERE id = 1;
SELECT wtcache.invalidate_tag('st:a', 'st:b', 'st:c');
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

-- privileges
CREATE ROLE regress_wtc_monitor IN ROLE pg_monitor;
CREATE ROLE regress_wtc_ordinary;
SET ROLE regress_wtc_monitor;
SELECT count(*), count(endpoint) FROM wtcache.status;
SELECT count(*) FROM wtcache.stat;
SELECT count(*) FROM wtcache.stat();
SET ROLE regress_wtc_ordinary;
SELECT * FROM wtcache.status;
SELECT * FROM wtcache.stat;
SELECT wtcache.status();
SELECT wtcache.stat();
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
