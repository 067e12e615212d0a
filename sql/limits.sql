-- wtcache.batch_memory, wtcache.enabled, wtcache.default_ttl
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE lm (id int PRIMARY KEY, v text);
CREATE TABLE lm_hash (id int PRIMARY KEY, v text);
SELECT wtcache.attach('lm', tags => '{lm}');
SELECT wtcache.attach('lm_hash', format => 'hash');
INSERT INTO lm SELECT i, 'old' FROM generate_series(1, 100) i;
INSERT INTO lm_hash SELECT i, 'old' FROM generate_series(1, 100) i;
CREATE FUNCTION lm_state(prefix text) RETURNS TABLE (state text, n bigint) LANGUAGE sql AS $$
    SELECT coalesce(left(wtcache.get(prefix || i) ->> 'v', 3), 'absent'), count(*)
      FROM generate_series(1, 100) i GROUP BY 1 ORDER BY 1 $$;

-- what is beyond the limit goes by way of WAL; the session waits for it
SHOW wtcache.batch_memory;
SET wtcache.batch_memory = '64kB';
SELECT spilled, pushes_ok, pushes_failed FROM wtcache.stat \gset m_
UPDATE lm SET v = 'new' || repeat('x', 2000);
SELECT * FROM lm_state('lm:');
SELECT spilled - :m_spilled BETWEEN 5 AND 100 AS spilled, pushes_ok - :m_pushes_ok AS pushes,
       pushes_failed - :m_pushes_failed AS failed FROM wtcache.stat;
UPDATE lm_hash SET v = 'new' || repeat('x', 2000);
SELECT * FROM lm_state('lm_hash:');
-- get() within the transaction does not know what has left the memory: a miss
BEGIN;
UPDATE lm SET v = 'two' || repeat('x', 2000) WHERE id > 1;
SELECT state, n BETWEEN 5 AND 95 AS some FROM lm_state('lm:') WHERE state <> 'two';
SELECT wtcache.get('lm:1') IS NULL AS miss;
COMMIT;
SELECT * FROM lm_state('lm:');
-- ... until it is rolled back
BEGIN;
SAVEPOINT a;
UPDATE lm SET v = 'not' || repeat('x', 2000);
SELECT wtcache.get('lm:1') IS NULL AS miss;
ROLLBACK TO a;
SELECT left(wtcache.get('lm:1') ->> 'v', 3) AS v;
COMMIT;
SELECT * FROM lm_state('lm:');
-- a rolled-back savepoint that was spilled, within and around what stays
BEGIN;
UPDATE lm SET v = 'out' || repeat('x', 2000);
SAVEPOINT a;
UPDATE lm SET v = 'not' || repeat('x', 2000) WHERE id > 10;
ROLLBACK TO a;
UPDATE lm SET v = 'end' || repeat('x', 2000) WHERE id > 60;
SAVEPOINT b;
DELETE FROM lm WHERE id > 90;
RELEASE b;
COMMIT;
SELECT * FROM lm_state('lm:');
INSERT INTO lm SELECT i, 'back' FROM generate_series(91, 100) i;
-- what is rolled back is counted with what was spilled
SELECT rollbacks, discarded FROM wtcache.stat \gset m_
BEGIN;
UPDATE lm SET v = 'not' || repeat('x', 2000);
ROLLBACK;
SELECT rollbacks - :m_rollbacks AS rollbacks, discarded - :m_discarded AS discarded FROM wtcache.stat;
SELECT in_flight FROM wtcache.status;
-- a row that is larger than the limit all by itself is not stored; set() may be
BEGIN;
UPDATE lm SET v = repeat('x', 100000) WHERE id = 1;
UPDATE lm SET v = 'small' WHERE id = 2;
COMMIT;
\! $REDIS exists lm:1
\! $REDIS get lm:2
SELECT wtcache.set('lm:set', to_jsonb(repeat('x', 100000)));
\! $REDIS exists lm:set
-- the next transaction has it all again
UPDATE lm SET v = 'again' WHERE id = 1;
\! $REDIS get lm:1
-- a row that is written over and over counts once
BEGIN;
DO $$ BEGIN FOR i IN 1 .. 200 LOOP UPDATE lm SET v = repeat(i::text, 1000) WHERE id = 3; END LOOP; END $$;
COMMIT;
\! $REDIS strlen lm:3
-- deletes are not bounded by it
DELETE FROM lm;
\! $REDIS --scan --pattern 'lm:[0-9]*'
\set VERBOSITY sqlstate
SET wtcache.batch_memory = '63kB';
\set VERBOSITY default
RESET wtcache.batch_memory;
-- every row is there again
UPDATE lm_hash SET v = 'all';
SELECT * FROM lm_state('lm_hash:');

-- enabled = off: what is changed is deleted, tags are invalidated
SELECT wtcache.attach('lm', tags => '{lm}', invalidates => '{lm:list}', replace => true);
INSERT INTO lm SELECT i, 'old' FROM generate_series(1, 4) i;
SELECT wtcache.set('lm:thelist', '[1]', NULL, '{lm:list}');
SET wtcache.enabled = off;
UPDATE lm SET v = 'new' WHERE id = 1;
UPDATE lm SET id = 12 WHERE id = 2;
DELETE FROM lm WHERE id = 3;
INSERT INTO lm VALUES (5, 'new');
SELECT wtcache.set('lm:thing', '2');
\! $REDIS exists lm:1 lm:2 lm:12 lm:3 lm:5 lm:thing lm:thelist
\! $REDIS get lm:4
SELECT operation, key FROM lm, wtcache.preview('lm', lm) WHERE id = 1;
BEGIN;
UPDATE lm SET v = 'off' WHERE id = 4;
SELECT wtcache.get('lm:4') IS NULL AS gone;
SET LOCAL wtcache.enabled = on;
UPDATE lm SET v = 'on' WHERE id = 5;
COMMIT;
\! $REDIS exists lm:4
\! $REDIS get lm:5
BEGIN;
SET LOCAL wtcache.enabled = on;
UPDATE lm SET v = 'on' WHERE id IN (1, 4);
SET LOCAL wtcache.enabled = off;
UPDATE lm SET v = 'off' WHERE id = 4;
COMMIT;
\! $REDIS get lm:1
\! $REDIS exists lm:4
RESET wtcache.enabled;
UPDATE lm SET v = 'back' WHERE id = 4;
\! $REDIS get lm:4

-- default_ttl is that of the session at the time of the change; set() as well
SET wtcache.default_ttl = '2min';
UPDATE lm SET v = 'ttl' WHERE id = 4;
SELECT wtcache.set('lm:ttl', '1'), wtcache.set('lm:ttl2', '1', '1 hour');
\! for k in lm:4 lm:ttl lm:ttl2; do $REDIS eval 'return math.ceil(redis.call("PTTL", KEYS[1]) / 60000)' 1 $k; done
SELECT ttl FROM lm, wtcache.preview('lm', lm) WHERE id = 4;
-- ttl_jitter: by the key, and up to 10 %, for rows and what set() is told no ttl for
CREATE TABLE lm_spread (id int PRIMARY KEY, v text);
SELECT wtcache.attach('lm_spread', ttl => '1000 s', tags => '{spread}');
\setenv SPREAD 'local t, low, high = {}, 0, 0 for i = 1, 500 do local left = redis.call("PTTL", KEYS[1] .. i) t[i] = left if left <= 920000 then low = low + 1 end if left > 980000 then high = high + 1 end end table.sort(t) return {t[1] > 880000 and t[1] < 905000, t[500] <= 1000000, low > 50, high > 50}'
INSERT INTO lm_spread SELECT g, 'x' FROM generate_series(1, 500) g;
\! $REDIS eval "$SPREAD" 1 lm_spread:
SELECT wtcache.clear('lm_spread');
CALL wtcache.warm('lm_spread');
\! $REDIS eval "$SPREAD" 1 lm_spread:
-- a set outlives its longest member by a minute
\! $REDIS eval 'local t = redis.call("PTTL", "tag:spread") return t > 1050000 and t <= 1060000' 0
SET wtcache.default_ttl = '1000 s';
SELECT count(wtcache.set('spread:' || g, '1')) FROM generate_series(1, 500) g;
\! $REDIS eval "$SPREAD" 1 spread:
-- what is asked for is shown, and verified; what set() is told holds
SELECT DISTINCT ttl FROM lm_spread, wtcache.preview('lm_spread', lm_spread);
SELECT count(wtcache.set('spread:' || g, '1', '1000 s')) FROM generate_series(1, 500) g;
\! $REDIS eval 'local n = 0 for i = 1, 500 do if redis.call("PTTL", "spread:" .. i) > 990000 then n = n + 1 end end return n' 0
SET wtcache.ttl_jitter = 0;
CALL wtcache.warm('lm_spread');
\! $REDIS eval 'local n = 0 for i = 1, 500 do if redis.call("PTTL", "lm_spread:" .. i) > 990000 then n = n + 1 end end return n' 0
SET wtcache.ttl_jitter = 50;
SELECT count(*) FROM wtcache.verify('lm_spread');
RESET wtcache.ttl_jitter;
SELECT wtcache.delete(VARIADIC array_agg('spread:' || g)) FROM generate_series(1, 500) g;
DROP TABLE lm_spread;
\set VERBOSITY sqlstate
SET wtcache.default_ttl = 0;
\set VERBOSITY default
RESET wtcache.default_ttl;

DROP TABLE lm, lm_hash;
DROP FUNCTION lm_state;
