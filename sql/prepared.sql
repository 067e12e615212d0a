-- PREPARE TRANSACTION: refused while there are cache operations
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SELECT current_setting('max_prepared_transactions')::int > 0 AS prepared_transactions;
CREATE TABLE pp (id int PRIMARY KEY, v text);
CREATE TABLE pp_other (id int);
SELECT wtcache.attach('pp');
INSERT INTO pp VALUES (1, 'one');

-- a captured row, an explicit operation of each kind
BEGIN;
UPDATE pp SET v = 'prepared';
PREPARE TRANSACTION 'wtc_1';
BEGIN;
SELECT wtcache.set('pp:set', '1');
PREPARE TRANSACTION 'wtc_1';
BEGIN;
SELECT wtcache.delete('pp:1');
PREPARE TRANSACTION 'wtc_1';
BEGIN;
SELECT wtcache.invalidate_tag('pp');
PREPARE TRANSACTION 'wtc_1';
SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'wtc%';
SELECT v FROM pp;
\! $REDIS get pp:1
\! $REDIS exists pp:set

-- without cache operations, or with none left, it is allowed
BEGIN;
INSERT INTO pp_other VALUES (1);
SELECT wtcache.get('pp:1');
PREPARE TRANSACTION 'wtc_2';
BEGIN;
INSERT INTO pp_other VALUES (2);
SAVEPOINT a;
UPDATE pp SET v = 'rolled back';
ROLLBACK TO a;
UPDATE pp SET v = 'no row' WHERE id = 2;
PREPARE TRANSACTION 'wtc_3';
SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'wtc%' ORDER BY gid;
-- the session goes on as if nothing had been
UPDATE pp SET v = 'after';
\! $REDIS get pp:1
SELECT pushes_ok, pushes_failed FROM wtcache.stat \gset m_
COMMIT PREPARED 'wtc_2';
ROLLBACK PREPARED 'wtc_3';
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed FROM wtcache.stat;
SELECT * FROM pp_other;
\! $REDIS get pp:1
SELECT in_flight FROM wtcache.status;

DROP TABLE pp, pp_other;
