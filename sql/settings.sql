-- The settings: kinds, ranges, the check of wtcache.url, prefixes
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SELECT name, context, vartype, unit, boot_val, min_val, max_val FROM pg_settings WHERE name LIKE 'wtcache.%'
 ORDER BY name COLLATE "C";
SELECT count(*) FROM pg_settings WHERE name LIKE 'wtcache.%' AND (short_desc IS NULL OR short_desc NOT LIKE '%.');
-- no other name can be set
\set VERBOSITY terse
SET wtcache.nonsense = 1;
\set VERBOSITY default

-- wtcache.url: what is wrong with it; not what it was, for a password may be in it
SET wtcache.url = 'redis://localhost';
ALTER SYSTEM SET wtcache.url = 'localhost:6379';
ALTER SYSTEM SET wtcache.url = 'http://localhost';
ALTER SYSTEM SET wtcache.url = 'rediss://localhost';
ALTER SYSTEM SET wtcache.url = 'redis://';
ALTER SYSTEM SET wtcache.url = 'redis://:6379';
ALTER SYSTEM SET wtcache.url = 'redis://localhost:';
ALTER SYSTEM SET wtcache.url = 'redis://localhost:0';
ALTER SYSTEM SET wtcache.url = 'redis://localhost:65536';
ALTER SYSTEM SET wtcache.url = 'redis://localhost:6379x';
ALTER SYSTEM SET wtcache.url = 'redis://localhost/x';
ALTER SYSTEM SET wtcache.url = 'redis://localhost/-1';
ALTER SYSTEM SET wtcache.url = 'redis://localhost/0/1';
ALTER SYSTEM SET wtcache.url = 'redis://localhost/0?timeout=5';
ALTER SYSTEM SET wtcache.url = 'redis://localhost?db=1';
ALTER SYSTEM SET wtcache.url = 'redis://[::1';
ALTER SYSTEM SET wtcache.url = 'redis://[::1]6379';
ALTER SYSTEM SET wtcache.url = 'redis://[]';
ALTER SYSTEM SET wtcache.url = 'unix://relative/path';
ALTER SYSTEM SET wtcache.url = 'unix://';
ALTER SYSTEM SET wtcache.url = 'unix:///tmp/sock?database=1';
ALTER SYSTEM SET wtcache.url = 'unix:///tmp/sock?db=';
ALTER SYSTEM SET wtcache.url = 'unix:///tmp/sock?db=1&x=2';
SELECT format('ALTER SYSTEM SET wtcache.url = %L', 'unix:///' || repeat('x', 107)) \gexec
ALTER SYSTEM SET wtcache.url = 'redis://user@localhost';
ALTER SYSTEM SET wtcache.url = 'redis://user:pass%zz@localhost';
ALTER SYSTEM SET wtcache.url = 'redis://user:pass@localhost:x';
-- good ones; taken back before anybody reads them
ALTER SYSTEM SET wtcache.url = 'redis://localhost';
ALTER SYSTEM SET wtcache.url = 'redis://localhost/';
ALTER SYSTEM SET wtcache.url = 'redis://user:p%40ss@localhost:6380/15';
ALTER SYSTEM SET wtcache.url = 'redis://:pass@[::1]:6380/15';
ALTER SYSTEM SET wtcache.url = 'unix:///tmp/sock?db=3';
ALTER SYSTEM SET wtcache.url = 'unix://user:pass@/tmp/sock';
ALTER SYSTEM SET wtcache.url = '';
ALTER SYSTEM RESET wtcache.url;

-- what belongs to the server, what to the connection, what to a superuser
SET wtcache.breaker_failures = 5;
SET wtcache.version_memory = '8MB';
SET wtcache.journal = on;
SET wtcache.batch_memory = '1MB';
SHOW wtcache.batch_memory;
SET wtcache.push_timeout = '1500ms';
SHOW wtcache.push_timeout;
\set VERBOSITY sqlstate
SET wtcache.connect_timeout = 0;
\set VERBOSITY default
SET wtcache.default_ttl = '1d';
SHOW wtcache.default_ttl;
RESET ALL;
CREATE ROLE regress_wtc_settings;
SET ROLE regress_wtc_settings;
SET wtcache.batch_memory = '1MB';
SET wtcache.push_timeout = 1;
SET wtcache.connect_timeout = 1;
SET wtcache.default_ttl = 1;
SET wtcache.enabled = off;
SET wtcache.debug_hold_push = on;
RESET ROLE;
GRANT SET ON PARAMETER wtcache.default_ttl TO regress_wtc_settings;
SET ROLE regress_wtc_settings;
SET wtcache.default_ttl = '1min';
RESET ROLE;
REVOKE SET ON PARAMETER wtcache.default_ttl FROM regress_wtc_settings;
DROP ROLE regress_wtc_settings;
RESET ALL;

-- prefixes are for superusers, and meant for a whole database
CREATE TABLE se (id int PRIMARY KEY, v text);
SELECT wtcache.attach('se', tags => '{all}', invalidates => '{list}');
INSERT INTO se VALUES (1, 'no prefix');
SELECT current_database() AS db \gset
ALTER DATABASE :db SET wtcache.key_prefix = 'app1:';
ALTER DATABASE :db SET wtcache.tag_prefix = '#';
\c
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SHOW wtcache.key_prefix;
INSERT INTO se VALUES (2, 'prefix');
UPDATE se SET v = 'both' WHERE id = 1;
SELECT wtcache.set('se:x', '"x"', NULL, '{list}');
\! $REDIS get se:1
\! $REDIS mget app1:se:1 app1:se:2 app1:se:x
\! $REDIS smembers 'app1:#all' | LC_ALL=C sort
\! $REDIS smembers 'app1:#list'
\! $REDIS exists se:2 tag:list app1:tag:all
SELECT wtcache.get('se:2'), wtcache.get('app1:se:2') IS NULL AS none;
SELECT operation, key, tags, invalidates FROM se, wtcache.preview('se', se) WHERE id = 2;
BEGIN;
SELECT wtcache.delete('se:2');
SELECT wtcache.get('se:2') IS NULL AS gone;
COMMIT;
\! $REDIS exists app1:se:2
DELETE FROM se WHERE id = 1;
\! $REDIS exists app1:se:1 app1:se:x 'app1:#list'
\! $REDIS exists se:1
ALTER DATABASE :db RESET wtcache.key_prefix;
ALTER DATABASE :db RESET wtcache.tag_prefix;
\c
SHOW wtcache.key_prefix;
SHOW wtcache.tag_prefix;
DROP TABLE se;
