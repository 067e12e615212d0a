-- PREPARE TRANSACTION: the cache follows COMMIT PREPARED
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SELECT current_setting('max_prepared_transactions')::int > 0 AS prepared_transactions;
CREATE TABLE pp (id int PRIMARY KEY, v text);
CREATE TABLE pp_other (id int);
SELECT wtcache.attach('pp', tags => '{pp:all}');
INSERT INTO pp SELECT i, 'old' FROM generate_series(1, 6) i;

-- a captured row, an explicit operation of each kind
BEGIN;
UPDATE pp SET v = 'prepared' WHERE id = 1;
PREPARE TRANSACTION 'wtc_1';
BEGIN;
SELECT wtcache.set('pp:set', '1');
PREPARE TRANSACTION 'wtc_2';
BEGIN;
SELECT wtcache.delete('pp:2');
PREPARE TRANSACTION 'wtc_3';
SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'wtc%' ORDER BY gid;
-- nothing of it is seen yet
SELECT wtcache.wait('60s');
\! $REDIS mget pp:1 pp:2
\! $REDIS exists pp:set
SELECT in_flight FROM wtcache.status;
-- the session goes on as if nothing had been, and later ones do not wait
UPDATE pp SET v = 'after' WHERE id = 3;
\! $REDIS get pp:3
-- who commits reads his own write
COMMIT PREPARED 'wtc_1';
\! $REDIS get pp:1
COMMIT PREPARED 'wtc_2';
\! $REDIS get pp:set
COMMIT PREPARED 'wtc_3';
\! $REDIS exists pp:2

-- a tag: all that carry it
BEGIN;
SELECT wtcache.invalidate_tags('pp:all');
UPDATE pp SET v = 'stays' WHERE id = 4;
PREPARE TRANSACTION 'wtc_tag';
\! $REDIS exists pp:1 pp:3 pp:5
COMMIT PREPARED 'wtc_tag';
\! $REDIS exists pp:1 pp:3 pp:5
\! $REDIS get pp:4

-- rolled back: as if it had never been
UPDATE pp SET v = 'again';
BEGIN;
UPDATE pp SET v = 'never';
DELETE FROM pp WHERE id = 5;
PREPARE TRANSACTION 'wtc_never';
ROLLBACK PREPARED 'wtc_never';
SELECT wtcache.wait('60s');
\! $REDIS mget pp:1 pp:5
UPDATE pp SET v = 'later' WHERE id = 1;
\! $REDIS get pp:1

-- savepoints
BEGIN;
UPDATE pp SET v = 'one' WHERE id = 1;
SAVEPOINT a;
UPDATE pp SET v = 'undone' WHERE id IN (1, 2);
ROLLBACK TO a;
SAVEPOINT b;
UPDATE pp SET v = 'two' WHERE id = 2;
RELEASE b;
PREPARE TRANSACTION 'wtc_sub';
COMMIT PREPARED 'wtc_sub';
\! $REDIS mget pp:1 pp:2

-- one that fails is rolled back
BEGIN;
UPDATE pp SET v = 'failed' WHERE id = 1;
CREATE TEMP TABLE pp_temp (id int);
PREPARE TRANSACTION 'wtc_temp';
\! $REDIS get pp:1
SELECT in_flight FROM wtcache.status;

-- without cache operations, or with none left
BEGIN;
INSERT INTO pp_other VALUES (1);
SELECT wtcache.get('pp:1') ->> 'v' AS v;
PREPARE TRANSACTION 'wtc_4';
BEGIN;
INSERT INTO pp_other VALUES (2);
SAVEPOINT a;
UPDATE pp SET v = 'rolled back';
ROLLBACK TO a;
UPDATE pp SET v = 'no row' WHERE id = 7;
PREPARE TRANSACTION 'wtc_5';
SELECT pushes_ok, pushes_failed, replayed FROM wtcache.stat \gset m_
COMMIT PREPARED 'wtc_4';
ROLLBACK PREPARED 'wtc_5';
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed,
       replayed - :m_replayed AS replayed FROM wtcache.stat;
SELECT * FROM pp_other;
-- one that is not there
COMMIT PREPARED 'wtc_none';
SELECT in_flight, uncommitted_batches FROM wtcache.status;

DROP TABLE pp, pp_other;
