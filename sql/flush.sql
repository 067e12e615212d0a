-- What others do to Redis behind our back: SCRIPT FLUSH, FLUSHALL, a lost token
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE fl (id int PRIMARY KEY, v text, tag text);
SELECT wtcache.attach('fl', tags => '{"fl:{tag}"}');
-- The worker has noted that everything committed so far is in Redis
CREATE PROCEDURE fl_noted() LANGUAGE plpgsql AS $$
DECLARE
  lsn pg_lsn := pg_current_wal_insert_lsn();
BEGIN
  COMMIT;
  FOR i IN 1 .. 6000 LOOP
    PERFORM wtcache.wait('60s');
    IF (SELECT watermark >= lsn FROM wtcache.status) THEN
      RETURN;
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RAISE 'the watermark stays before %', lsn;
END $$;
INSERT INTO fl VALUES (1, 'one', 'a'), (2, 'two', 'a');
\! $REDIS mget fl:1 fl:2

-- the scripts are lost: loaded again, in the same push
\! $REDIS script flush
SELECT pushes_ok, pushes_failed FROM wtcache.stat \gset m_
UPDATE fl SET v = 'scripts' WHERE id = 1;
SELECT wtcache.invalidate_tags('fl:b');
\! $REDIS get fl:1
\! $REDIS script flush
SELECT wtcache.set('fl:list', '[]', NULL, '{fl:b}');
SELECT wtcache.invalidate_tags('fl:b');
\! $REDIS exists fl:list
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed FROM wtcache.stat;

-- everything is lost: the next push waits for the worker, which sets a new
-- token, and succeeds under it; other keys stay away until they are written
CALL fl_noted();
SELECT pushes_ok, pushes_failed, pushes_skipped, cold_starts FROM wtcache.stat \gset m_
\set before `$REDIS get wtcache:token`
\! $REDIS flushall
UPDATE fl SET v = 'first' WHERE id = 1;
\! $REDIS mget fl:1 fl:2
\! $REDIS smembers tag:fl:a
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed,
       pushes_skipped - :m_pushes_skipped AS skipped, cold_starts - :m_cold_starts AS cold_starts FROM wtcache.stat;
-- the token of the same server, another number
\set after `$REDIS get wtcache:token`
SELECT split_part(:'before', ' ', 1) = system_identifier::text AS system, split_part(:'before', ' ', 2) AS timeline,
       split_part(:'before', ' ', 3) = split_part(:'after', ' ', 3) AS started,
       split_part(:'before', ' ', 4) = split_part(:'after', ' ', 4) AS number FROM pg_control_system();
SELECT redis_open FROM wtcache.status;
CALL fl_noted();
\! $REDIS mget fl:1 fl:2
UPDATE fl SET v = 'written' WHERE id = 2;
\! $REDIS mget fl:1 fl:2
\! $REDIS sort tag:fl:a alpha
-- a row that is deleted, a key that another program has put there
CALL fl_noted();
\! $REDIS flushall
\! $REDIS set fl:1 foreign
DELETE FROM fl WHERE id = 1;
\! $REDIS exists fl:1
CALL fl_noted();
\! $REDIS exists fl:1 fl:2
-- a new connection
\! $REDIS flushall
\c -
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
UPDATE fl SET v = 'connected' WHERE id = 2;
\! $REDIS get fl:2
-- without any commit the worker notices by itself
\! $REDIS flushall
\! timeout 60 sh -c 'until $REDIS exists wtcache:position | grep -q 1; do sleep 0.1; done' || echo no position
\! $REDIS type wtcache:token
UPDATE fl SET v = 'noticed' WHERE id = 2;
\! $REDIS get fl:2

-- the token is lost, or overwritten; what else is there stays
UPDATE fl SET v = 'token' WHERE id = 2;
INSERT INTO fl VALUES (1, 'one again', 'a');
SELECT pushes_ok, pushes_failed, cold_starts FROM wtcache.stat \gset m_
\! $REDIS del wtcache:token
UPDATE fl SET v = 'without' WHERE id = 1;
\! $REDIS mget fl:1 fl:2
\! $REDIS set wtcache:token mine
UPDATE fl SET v = 'foreign' WHERE id = 1;
\! $REDIS mget fl:1 fl:2
\! $REDIS del wtcache:token
\! $REDIS lpush wtcache:token mine
UPDATE fl SET v = 'a list' WHERE id = 1;
\! $REDIS mget fl:1 fl:2
\! $REDIS type wtcache:token
-- the same value set once more: refused all the same, and sent again
\set before `$REDIS get wtcache:token`
\setenv TOKEN :before
\! $REDIS set wtcache:token "$TOKEN"
UPDATE fl SET v = 'the same' WHERE id = 1;
\! $REDIS mget fl:1 fl:2
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed,
       cold_starts - :m_cold_starts AS cold_starts FROM wtcache.stat;
-- the position is lost: stored again with the next beat
\! $REDIS del wtcache:position
UPDATE fl SET v = 'no position' WHERE id = 1;
\! $REDIS mget fl:1 fl:2
\! timeout 60 sh -c 'until $REDIS exists wtcache:position | grep -q 1; do sleep 0.1; done' || echo no position
\! $REDIS hkeys wtcache:position

-- the connection is closed by the server: a new one is made
\! $REDIS client kill type normal skipme yes >/dev/null
SELECT pushes_ok, pushes_failed FROM wtcache.stat \gset m_
UPDATE fl SET v = 'reconnected' WHERE id = 2;
\! $REDIS get fl:2
SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed FROM wtcache.stat;
-- without both, what else is there is of an unknown time
\! $REDIS del wtcache:position wtcache:token
UPDATE fl SET v = 'neither' WHERE id = 2;
\! $REDIS mget fl:1 fl:2
-- lost, and the worker meets Redis anew: it may have been put back to an earlier
-- state, so the cache is emptied
\! printf 'MULTI\nDEL wtcache:position\nCLIENT KILL TYPE normal SKIPME yes\nEXEC\n' | $REDIS >/dev/null
\! timeout 60 sh -c 'until $REDIS exists wtcache:position | grep -q 1; do sleep 0.1; done' || echo no position
\! $REDIS mget fl:1 fl:2
SELECT cold_starts - :m_cold_starts AS cold_starts FROM wtcache.stat;

DROP PROCEDURE fl_noted();
DROP TABLE fl;
