-- Foreign keys: what they do to referencing rows is captured
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE fk (id int PRIMARY KEY, v text);
CREATE TABLE fk_cascade (id int PRIMARY KEY, fk int REFERENCES fk ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE fk_null (id int PRIMARY KEY, fk int REFERENCES fk ON DELETE SET NULL ON UPDATE SET NULL);
CREATE TABLE fk_default (id int PRIMARY KEY, fk int DEFAULT 0 REFERENCES fk ON DELETE SET DEFAULT);
CREATE TABLE fk_part (fk int REFERENCES fk_cascade ON DELETE CASCADE ON UPDATE CASCADE, n int,
                      PRIMARY KEY (fk, n)) PARTITION BY RANGE (fk);
CREATE TABLE fk_part1 PARTITION OF fk_part FOR VALUES FROM (0) TO (100);
CREATE TABLE fk_part2 PARTITION OF fk_part FOR VALUES FROM (100) TO (200);
SELECT wtcache.attach(t, tags => CASE WHEN t::text <> 'fk' THEN array[t::text || ':{fk}'] ELSE '{}' END)
  FROM unnest('{fk,fk_cascade,fk_null,fk_default,fk_part}'::regclass[]) t;
INSERT INTO fk VALUES (0, 'default'), (1, 'one'), (2, 'two');
INSERT INTO fk_cascade VALUES (10, 1), (11, 1), (20, 2);
INSERT INTO fk_null VALUES (10, 1), (20, 2);
INSERT INTO fk_default VALUES (10, 1), (20, 2);
INSERT INTO fk_part VALUES (10, 1), (10, 2), (20, 1);

-- ON UPDATE CASCADE, SET NULL; one that refuses takes it all back
UPDATE fk SET id = 3 WHERE id = 2;
\! $REDIS exists fk:3
\! $REDIS mget fk:2 fk_cascade:20 fk_null:20 fk_default:20
UPDATE fk_default SET fk = 0 WHERE id = 20;
UPDATE fk SET id = 3 WHERE id = 2;
\! $REDIS exists fk:2
\! $REDIS mget fk:3 fk_cascade:20 fk_null:20 fk_default:20
\! $REDIS smembers tag:fk_cascade:2
\! $REDIS smembers tag:fk_cascade:3
-- to other keys, in another partition
UPDATE fk_cascade SET id = 120 WHERE id = 20;
\! $REDIS exists fk_cascade:20 fk_part:20:1
\! $REDIS mget fk_cascade:120 fk_part:120:1

-- ON DELETE CASCADE over two levels, SET NULL, SET DEFAULT
DELETE FROM fk WHERE id = 1;
\! $REDIS exists fk:1 fk_cascade:10 fk_cascade:11 fk_part:10:1 fk_part:10:2
\! $REDIS mget fk_null:10 fk_default:10
\! $REDIS exists tag:fk_cascade:1 tag:fk_part:10 tag:fk_null:1 tag:fk_default:1
\! $REDIS smembers tag:fk_default:0 | LC_ALL=C sort

-- rolled back: all is as it was
BEGIN;
DELETE FROM fk WHERE id = 3;
SELECT wtcache.get('fk_cascade:120') IS NULL AS gone;
ROLLBACK;
\! $REDIS mget fk:3 fk_cascade:120 fk_part:120:1

-- TRUNCATE ... CASCADE
TRUNCATE fk;
SET client_min_messages = warning;
TRUNCATE fk CASCADE;
RESET client_min_messages;
\! $REDIS --scan --pattern 'fk*:*'
\! $REDIS exists tag:fk_cascade:3 tag:fk_part:120 tag:fk_default:0

DROP TABLE fk, fk_cascade, fk_null, fk_default, fk_part;
