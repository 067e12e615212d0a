-- warm(), clear(), and detaching with the keys
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SET client_min_messages = warning;
CREATE TABLE shop (id int PRIMARY KEY, kind text, price int);
INSERT INTO shop SELECT i, CASE i % 2 WHEN 0 THEN 'even' ELSE 'odd' END, i * 10 FROM generate_series(1, 10) i;
INSERT INTO shop VALUES (11, NULL, 5);
RESET client_min_messages;

-- not attached
CALL wtcache.warm('shop');
SELECT wtcache.clear('shop');
CALL wtcache.warm('pg_class');
CALL wtcache.warm(NULL);

SELECT wtcache.attach('shop', tags => '{"kind:{kind}"}', invalidates => '{list}', condition => 'price <> 30');
SELECT wtcache.set('page', '1', NULL, '{list}');
\! $REDIS exists shop:1
CALL wtcache.warm('shop');
\! $REDIS get shop:1
\! $REDIS exists shop:2 shop:10 shop:11
-- the attachment's condition holds, and nothing is invalidated
\! $REDIS exists shop:3
\! $REDIS get page
\! $REDIS smembers tag:kind:odd | sort
SELECT relation, phase, pid, partition, rows_done, rows_pushed, rows_skipped, blocks_done, blocks_total,
    rate > 0 AS rate, remaining, condition, finished_at >= started_at AS ended
FROM wtcache.stat_progress_warm;
CALL wtcache.warm('shop', resume => true);

-- a condition is the caller's
SELECT wtcache.clear('shop');
CALL wtcache.warm('shop', condition => 'shop.price > (SELECT avg(price) FROM shop) -- comment');
\! $REDIS --scan --pattern 'shop:*' | sort -V
SELECT rows_done, rows_pushed, condition FROM wtcache.stat_progress_warm;
CALL wtcache.warm('shop', condition => 'no_such_column > 1');
CALL wtcache.warm('shop', condition => 'price');
CALL wtcache.warm('shop', condition => 'true; DELETE FROM shop');
CALL wtcache.warm('shop', condition => 'true), (true');
CALL wtcache.warm('shop', condition => 'true) IS TRUE FROM pg_class UNION ALL SELECT ctid, (true');
CALL wtcache.warm('shop', condition => 'true) UNION ALL SELECT (true');
CALL wtcache.warm('shop', condition => '');
CALL wtcache.warm('shop', condition => '1 / (price - 100) > 0');
SELECT phase, rows_done FROM wtcache.stat_progress_warm;
CALL wtcache.warm('shop', condition => 'price > 100', resume => true);
-- batches of any size
SELECT wtcache.clear('shop');
CALL wtcache.warm('shop', batch_size => 3);
\! $REDIS eval "return #redis.call('keys', 'shop:*')" 0
SELECT rows_done, rows_pushed FROM wtcache.stat_progress_warm;

-- arguments
CALL wtcache.warm('shop', batch_size => 0);
CALL wtcache.warm('shop', batch_size => 1000000);
CALL wtcache.warm('shop', max_rate => 0);
CALL wtcache.warm('shop', redis_timeout => '-1s');
CALL wtcache.warm('shop', resume => NULL);
BEGIN;
CALL wtcache.warm('shop');
ROLLBACK;
DO $$ BEGIN CALL wtcache.warm('shop', batch_size => 5); END $$;
CREATE FUNCTION call_warm() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL wtcache.warm('shop'); END $$;
SELECT call_warm();
DROP FUNCTION call_warm();
DO $$ BEGIN CALL wtcache.warm('shop'); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
SET wtcache.enabled = off;
CALL wtcache.warm('shop');
RESET wtcache.enabled;
ALTER TABLE shop DISABLE TRIGGER wtcache_capture;
CALL wtcache.warm('shop');
ALTER TABLE shop ENABLE TRIGGER wtcache_capture;
-- pushed by itself in async mode as well, which stays
SET wtcache.mode = async;
SELECT wtcache.clear('shop');
CALL wtcache.warm('shop');
\! $REDIS exists shop:1
SHOW wtcache.mode;
RESET wtcache.mode;

-- partitions, with columns in another order
\set VERBOSITY terse
CREATE TABLE part (k int, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
CREATE TABLE part_a PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_b (gone int, v text, k int NOT NULL);
ALTER TABLE part_b DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES FROM (10) TO (20);
INSERT INTO part SELECT i, 'v' || i FROM generate_series(0, 19) i;
SELECT wtcache.attach('part');
CALL wtcache.warm('part', condition => 'part.k % 5 = 0');
\! $REDIS --scan --pattern 'part:*' | sort -V
\! $REDIS get part:15
SELECT wtcache.clear('part');
CALL wtcache.warm('part');
\! $REDIS eval "return #redis.call('keys', 'part:*')" 0
SELECT relation, phase, rows_done, blocks_done, blocks_total FROM wtcache.stat_progress_warm ORDER BY 1;
-- one of them
SELECT wtcache.clear('part_a');
\! $REDIS --scan --pattern 'part:*' | sort -V
CALL wtcache.warm('part_a');
\! $REDIS eval "return #redis.call('keys', 'part:*')" 0

-- clear
BEGIN;
SELECT wtcache.clear('part');
ROLLBACK;
\! $REDIS eval "return #redis.call('keys', 'part:*')" 0
BEGIN;
UPDATE part SET v = 'before' WHERE k = 4;
SELECT wtcache.clear('part');
UPDATE part SET v = 'after' WHERE k = 3;
COMMIT;
\! $REDIS --scan --pattern 'part:*'
\! $REDIS get part:3
CALL wtcache.warm('part');
SELECT wtcache.set('page', '1', NULL, '{list}');
CALL wtcache.warm('shop');
SELECT wtcache.clear('shop');
\! $REDIS exists shop:1 tag:kind:odd tag:kind:even
\! $REDIS get page

-- detach
SELECT wtcache.detach('part', drop_keys => false);
\! $REDIS eval "return #redis.call('keys', 'part:*')" 0
SELECT wtcache.attach('part');
BEGIN;
SELECT wtcache.detach('part');
ROLLBACK;
\! $REDIS eval "return #redis.call('keys', 'part:*')" 0
SELECT wtcache.detach('part');
\! $REDIS eval "return #redis.call('keys', 'part:*')" 0
CALL wtcache.warm('part');
SELECT relation FROM wtcache.attachments WHERE relation = 'part'::regclass;
-- a table that is gone is not shown
DROP TABLE part;
SELECT relation FROM wtcache.stat_progress_warm;

-- privileges
\set VERBOSITY default
CREATE ROLE regress_warmer;
CREATE ROLE regress_watcher IN ROLE pg_monitor;
SET ROLE regress_warmer;
CALL wtcache.warm('shop');
SELECT wtcache.clear('shop');
SELECT 1 FROM wtcache.stat_progress_warm;
SELECT 1 FROM wtcache.warm_job;
RESET ROLE;
GRANT EXECUTE ON PROCEDURE wtcache.warm TO regress_warmer;
GRANT EXECUTE ON FUNCTION wtcache.clear TO regress_warmer;
GRANT SELECT ON shop TO regress_warmer;
SET ROLE regress_warmer;
CALL wtcache.warm('shop');
SELECT wtcache.clear('shop');
RESET ROLE;
GRANT UPDATE ON shop TO regress_warmer;
SET ROLE regress_warmer;
CALL wtcache.warm('shop', condition => 'id <= 2');
RESET ROLE;
\! $REDIS exists shop:1 shop:2 shop:4
SET ROLE regress_watcher;
SELECT relation, rows_pushed FROM wtcache.stat_progress_warm;
RESET ROLE;
-- a condition is not evaluated with the rights of a role that has not seen it
SET ROLE regress_warmer;
CALL wtcache.warm('shop', condition => '1 / (id - 4) <= 0');
RESET ROLE;
CALL wtcache.warm('shop', resume => true);
DELETE FROM shop WHERE id = 4;
CALL wtcache.warm('shop', condition => '1 / (id - 4) <= 0', resume => true);
SET ROLE regress_warmer;
CALL wtcache.warm('shop', resume => true);
RESET ROLE;

DROP TABLE shop;
REVOKE EXECUTE ON PROCEDURE wtcache.warm FROM regress_warmer;
REVOKE EXECUTE ON FUNCTION wtcache.clear FROM regress_warmer;
DROP ROLE regress_warmer, regress_watcher;
\! $REDIS flushall
