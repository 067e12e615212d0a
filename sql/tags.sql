-- Tags: membership, moving, invalidation, expiry
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE tt (id int PRIMARY KEY, cat text, brand text, price int);
SELECT wtcache.attach('tt', tags => '{"tt:cat:{cat}","tt:brand:{brand}","tt:cat:{brand}","tt:{cat}{brand}","tt:all"}');

-- membership; NULL gives no tag; two templates of one text give one
INSERT INTO tt VALUES (1, 'a', 'x', 1), (2, 'a', NULL, 1), (3, NULL, NULL, 1), (4, 'b', 'b', 1);
\! $REDIS --scan --pattern 'tag:tt:*' | LC_ALL=C sort
\! $REDIS smembers tag:tt:cat:a | LC_ALL=C sort
\! $REDIS smembers tag:tt:cat:b
\! $REDIS smembers tag:tt:all | LC_ALL=C sort

-- a row moves between tags, and back; within a transaction, too
UPDATE tt SET cat = 'b' WHERE id = 1;
\! $REDIS smembers tag:tt:cat:a
\! $REDIS smembers tag:tt:cat:b | LC_ALL=C sort
\! $REDIS exists tag:tt:ax
\! $REDIS smembers tag:tt:bx
BEGIN;
UPDATE tt SET cat = 'c' WHERE id = 1;
UPDATE tt SET cat = 'd' WHERE id = 1;
UPDATE tt SET cat = 'a' WHERE id = 1;
COMMIT;
\! $REDIS exists tag:tt:cat:c tag:tt:cat:d tag:tt:bx
\! $REDIS smembers tag:tt:cat:a | LC_ALL=C sort
\! $REDIS smembers tag:tt:cat:b
BEGIN;
UPDATE tt SET cat = 'e' WHERE id = 1;
SAVEPOINT s;
UPDATE tt SET cat = 'f' WHERE id = 1;
ROLLBACK TO s;
UPDATE tt SET price = 2 WHERE id = 1;
COMMIT;
\! $REDIS smembers tag:tt:cat:e
\! $REDIS exists tag:tt:cat:f
\! $REDIS smembers tag:tt:cat:a
-- gone with the row
BEGIN;
UPDATE tt SET cat = 'g' WHERE id = 1;
DELETE FROM tt WHERE id = 1;
INSERT INTO tt VALUES (5, 'g', 'z', 1);
DELETE FROM tt WHERE id = 5;
COMMIT;
\! $REDIS exists tag:tt:cat:e tag:tt:cat:g tag:tt:brand:x tag:tt:brand:z
\! $REDIS smembers tag:tt:all | LC_ALL=C sort

-- invalidation deletes the entries and the set
SELECT wtcache.invalidate_tags('tt:all');
\! $REDIS exists tt:2 tt:3 tt:4 tag:tt:all
-- and what is written later carries it again
UPDATE tt SET price = 3 WHERE id = 2;
\! $REDIS get tt:2
\! $REDIS smembers tag:tt:all
-- dead members are harmless, and swept as the set is used
\! $REDIS smembers tag:tt:cat:b
INSERT INTO tt SELECT i, 'b', 'y', i FROM generate_series(100, 199) i;
INSERT INTO tt SELECT i, 'b', 'y', i FROM generate_series(200, 299) i;
INSERT INTO tt SELECT i, 'b', 'y', i FROM generate_series(300, 399) i;
INSERT INTO tt SELECT i, 'b', 'y', i FROM generate_series(400, 499) i;
INSERT INTO tt SELECT i, 'b', 'y', i FROM generate_series(500, 599) i;
INSERT INTO tt SELECT i, 'b', 'y', i FROM generate_series(600, 699) i;
INSERT INTO tt SELECT i, 'b', 'y', i FROM generate_series(700, 799) i;
\! $REDIS sismember tag:tt:cat:b tt:4
\! $REDIS scard tag:tt:cat:b

-- a tag set outlives its longest member by a minute and is never shortened
CREATE TABLE tl (id int PRIMARY KEY);
SELECT wtcache.attach('tl', tags => '{tl}', ttl => '100 s');
-- in minutes, of which the last may have begun
\setenv LIFE 'return math.ceil(redis.call("PTTL", "tag:tl") / 60000)'
INSERT INTO tl VALUES (1);
\! $REDIS eval "$LIFE" 0
SELECT wtcache.attach('tl', tags => '{tl}', ttl => '1000 s', replace => true);
INSERT INTO tl VALUES (2);
\! $REDIS eval "$LIFE" 0
SELECT wtcache.attach('tl', tags => '{tl}', ttl => '10 s', replace => true);
INSERT INTO tl VALUES (3);
UPDATE tl SET id = id;
\! $REDIS eval "$LIFE" 0
-- of two members at once the longer one counts
SELECT wtcache.invalidate_tags('tl');
BEGIN;
SELECT wtcache.set('tl:a', '1', '20 s', '{tl}'), wtcache.set('tl:b', '1', '2000 s', '{tl}'), wtcache.set('tl:c', '1', '2 s', '{tl}');
COMMIT;
\! $REDIS eval "$LIFE" 0
-- a set without a time to live is given one
SELECT wtcache.invalidate_tags('tl');
\! $REDIS sadd tag:tl other
SELECT wtcache.set('tl:a', '1', '20 s', '{tl}');
\! $REDIS ttl tag:tl

-- something else under the tag's name: counted, the commit succeeds, and the
-- key is deleted: without its tag it could not be invalidated
CREATE TABLE tw (id int PRIMARY KEY, v text, tag text);
SELECT wtcache.attach('tw', tags => '{"tw:{tag}"}');
INSERT INTO tw VALUES (1, 'old', 'good'), (2, 'old', 'good');
\! $REDIS set tag:tw:bad string
SELECT f.count AS fail_wrongtype, pushes_ok, pushes_failed FROM wtcache.stat, wtcache.stat_failure f WHERE class = 'wrongtype' \gset before_
UPDATE tw SET v = 'new', tag = 'bad' WHERE id = 1;
\! $REDIS exists tw:1
\! $REDIS get tag:tw:bad
\! $REDIS smembers tag:tw:good
SELECT f.count - :before_fail_wrongtype AS wrongtype, pushes_ok - :before_pushes_ok AS ok,
       pushes_failed - :before_pushes_failed AS failed FROM wtcache.stat, wtcache.stat_failure f WHERE class = 'wrongtype';
SELECT last_failure, breaker FROM wtcache.status;
-- the others of the transaction are stored
BEGIN;
UPDATE tw SET v = 'newer' WHERE id = 1;
UPDATE tw SET v = 'newer' WHERE id = 2;
COMMIT;
\! $REDIS exists tw:1
\! $REDIS get tw:2
-- invalidation of such a tag, leaving it
SELECT wtcache.invalidate_tags('tw:bad');
\! $REDIS get tag:tw:bad
UPDATE tw SET tag = 'good' WHERE id = 1;
\! $REDIS get tw:1
\! $REDIS get tag:tw:bad
SELECT count - :before_fail_wrongtype AS wrongtype FROM wtcache.stat_failure WHERE class = 'wrongtype';
\! $REDIS del tag:tw:bad
UPDATE tw SET tag = 'bad';
\! $REDIS smembers tag:tw:bad | LC_ALL=C sort
-- something else under the key itself is replaced
\! $REDIS del tw:1
\! $REDIS rpush tw:1 x
UPDATE tw SET v = 'replaced' WHERE id = 1;
\! $REDIS get tw:1

DROP TABLE tt, tl, tw;
