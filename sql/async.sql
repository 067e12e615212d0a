-- wtcache.mode, wtcache.wait()
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE ay (id int PRIMARY KEY, v text);
SELECT wtcache.attach('ay');

SHOW wtcache.mode;
SELECT context, vartype, enumvals FROM pg_settings WHERE name = 'wtcache.mode';
SET wtcache.mode = 'sometimes';
-- the worker pushes, and not the backend
SET wtcache.mode = async;
SELECT pushes_ok, pushes_failed, pushes_skipped FROM wtcache.stat \gset m_
INSERT INTO ay VALUES (1, 'one'), (2, 'two');
SELECT wtcache.wait('60s');
\! $REDIS mget ay:1 ay:2
SELECT pushes_ok - :m_pushes_ok AS ok, pushes_failed - :m_pushes_failed AS failed,
       pushes_skipped - :m_pushes_skipped AS skipped FROM wtcache.stat;
-- not before the commit, and not after a rollback
BEGIN;
UPDATE ay SET v = 'pending' WHERE id = 1;
SELECT wtcache.wait('60s');
SELECT wtcache.get('ay:1') ->> 'v' AS v;
\! $REDIS get ay:1
ROLLBACK;
SELECT wtcache.wait('60s');
\! $REDIS get ay:1
-- without waiting for the disk, too
SET synchronous_commit = off;
UPDATE ay SET v = 'unflushed' WHERE id = 1;
SELECT wtcache.wait('60s');
\! $REDIS get ay:1
RESET synchronous_commit;
-- the last of many, by both ways
DO $$ BEGIN
    FOR i IN 1 .. 100 LOOP
        PERFORM set_config('wtcache.mode', CASE i % 3 WHEN 0 THEN 'async' ELSE 'write_through' END, false);
        UPDATE ay SET v = 'no ' || i WHERE id = 1;
        COMMIT;
    END LOOP;
END $$;
SELECT wtcache.wait('60s');
\! $REDIS get ay:1
-- what counts is the value at the end of the transaction
SET wtcache.mode = write_through;
SELECT pushes_ok FROM wtcache.stat \gset m_
BEGIN;
SET LOCAL wtcache.mode = async;
UPDATE ay SET v = 'local' WHERE id = 2;
COMMIT;
SELECT pushes_ok - :m_pushes_ok AS ok FROM wtcache.stat;
SELECT wtcache.wait('60s');
\! $REDIS get ay:2
SET wtcache.mode = async;
BEGIN;
UPDATE ay SET v = 'changed' WHERE id = 2;
SET LOCAL wtcache.mode = write_through;
COMMIT;
\! $REDIS get ay:2
SELECT pushes_ok - :m_pushes_ok AS ok FROM wtcache.stat;
RESET wtcache.mode;

-- timeouts
SELECT wtcache.wait('-1 ms');
SELECT wtcache.wait('1 day -25 hours');
SELECT wtcache.wait(NULL) IS NULL AS strict;
SELECT wtcache.wait('1000 years');
SELECT wtcache.wait();
SELECT wtcache.wait('0');
-- a large transaction of one's own is not waited for
SET wtcache.batch_memory = '64kB';
BEGIN;
INSERT INTO ay SELECT i, repeat('x', 2000) FROM generate_series(101, 200) i;
SELECT in_flight FROM wtcache.status;
SELECT wtcache.wait('60s');
ROLLBACK;
RESET wtcache.batch_memory;
SELECT in_flight FROM wtcache.status;
-- privileges
CREATE ROLE regress_wtc_async;
SET ROLE regress_wtc_async;
SELECT wtcache.wait();
SET wtcache.mode = async;
RESET wtcache.mode;
RESET ROLE;
DROP ROLE regress_wtc_async;

DROP TABLE ay;
