-- Keys: composite, text, changing, changing places with another row
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE ky (a text, b text, v int, PRIMARY KEY (a, b));
SELECT wtcache.attach('ky');

-- the separator and % are percent-encoded: different rows, different keys
INSERT INTO ky VALUES ('x', 'y', 1), ('x:y', 'z', 2), ('x', 'y:z', 3), ('x%3A', 'y', 4),
    ('', '', 5), (':', '%', 6), ('a b', 'c"d''e', 7), ('{x}', '{{', 8), (E'new\nline', E'\t\\', 9);
\! $REDIS --scan --pattern 'ky:*' | LC_ALL=C sort
\! $REDIS get ky:x%3Ay:z
\! $REDIS get ky:x:y%3Az
\! $REDIS get ky:x%253A:y
\! $REDIS get ky::
\! $REDIS get 'ky:%3A:%25'
\! $REDIS get 'ky:a b:c"d'\''e'
\! $REDIS get 'ky:{x}:{{'
\! $REDIS get "$(printf 'ky:new\nline:\t\\')"
DELETE FROM ky;
\! $REDIS --scan --pattern 'ky:*'
-- of several separators each counts; text around them does not
SELECT wtcache.attach('ky', key => 'k-{a}/+{b}-', replace => true);
INSERT INTO ky VALUES ('a/b+c-d:e', 'f%', 1);
\! $REDIS --scan --pattern 'k-*'
DELETE FROM ky;
SELECT wtcache.detach('ky');
-- a key of one column needs none of this
CREATE TABLE ky1 (id text PRIMARY KEY, v int);
SELECT wtcache.attach('ky1');
INSERT INTO ky1 VALUES ('a:b%c d', 1), ('', 2);
\! $REDIS get 'ky1:a:b%c d'
\! $REDIS get ky1:
DELETE FROM ky1 WHERE id = 'a:b%c d';
\! $REDIS exists 'ky1:a:b%c d'
-- nor does a column that comes twice need more than itself
SELECT wtcache.attach('ky1', key => '{id}:ky:{id}', replace => true);
INSERT INTO ky1 VALUES ('q:r', 3);
\! $REDIS exists q:r:ky:q:r
-- a value must not make it one of wtcache's own names
SELECT wtcache.attach('ky1', key => '{id}', replace => true);
INSERT INTO ky1 VALUES ('tag:ky', 5), ('wtcache:token', 5), ('wtcache', 5);
\! $REDIS get wtcache
\! $REDIS type wtcache:token
\! $REDIS exists tag:ky
SELECT operation, key FROM ky1, wtcache.preview('ky1', ky1) WHERE v = 5 ORDER BY id COLLATE "C";
UPDATE ky1 SET id = 'ky1:no more' WHERE id = 'tag:ky';
\! $REDIS get 'ky1:no more'
UPDATE ky1 SET id = 'tag:ky' WHERE id = 'ky1:no more';
\! $REDIS exists 'ky1:no more' tag:ky
-- long keys
SELECT wtcache.attach('ky1', key => '{id}:ky:{id}', replace => true);
INSERT INTO ky1 SELECT repeat('k', 1000), 4;
SELECT wtcache.get(repeat('k', 1000) || ':ky:' || repeat('k', 1000)) ->> 'v' AS v;

-- NULL in a unique key: not cached until it has a value, and no more then
CREATE TABLE kn (id int PRIMARY KEY, a int, b int, UNIQUE (a, b));
SELECT wtcache.attach('kn', key => 'kn:{a}:{b}', tags => '{"kn:{id}"}');
INSERT INTO kn VALUES (1, 1, 1), (2, NULL, 1), (3, NULL, NULL);
\! $REDIS --scan --pattern 'kn:*' | LC_ALL=C sort
UPDATE kn SET a = 2 WHERE id = 2;
UPDATE kn SET b = NULL WHERE id = 1;
\! $REDIS --scan --pattern 'kn:*' | LC_ALL=C sort
\! $REDIS exists tag:kn:1
\! $REDIS smembers tag:kn:2
DELETE FROM kn WHERE id = 3;

-- key changes: the old key deleted, the new one set, the tags follow
CREATE TABLE kc (id int PRIMARY KEY, v text, grp text);
SELECT wtcache.attach('kc', tags => '{"kc:{grp}","kc:all"}');
INSERT INTO kc VALUES (1, 'one', 'a'), (2, 'two', 'a');
UPDATE kc SET id = 11, grp = 'b' WHERE id = 1;
\! $REDIS exists kc:1
\! $REDIS get kc:11
\! $REDIS smembers tag:kc:a
\! $REDIS smembers tag:kc:b
\! $REDIS smembers tag:kc:all | LC_ALL=C sort
-- a chain in one transaction, and back to where it began
BEGIN;
UPDATE kc SET id = 12 WHERE id = 11;
UPDATE kc SET id = 13 WHERE id = 12;
UPDATE kc SET id = 11, v = 'round' WHERE id = 13;
COMMIT;
\! $REDIS exists kc:12 kc:13
\! $REDIS get kc:11
\! $REDIS smembers tag:kc:b
-- the key is freed by one row and taken by another, in either order
BEGIN;
DELETE FROM kc WHERE id = 2;
UPDATE kc SET id = 2 WHERE id = 11;
COMMIT;
\! $REDIS get kc:2
\! $REDIS exists kc:11
BEGIN;
UPDATE kc SET id = 3 WHERE id = 2;
INSERT INTO kc VALUES (2, 'other', 'c');
COMMIT;
\! $REDIS mget kc:2 kc:3
-- all keys shift in one statement
CREATE TABLE ks (id int, v text, CONSTRAINT ks_key PRIMARY KEY (id) DEFERRABLE INITIALLY IMMEDIATE);
SELECT wtcache.attach('ks', tags => '{"ks:{id}:{v}"}');
INSERT INTO ks SELECT i, 'row ' || i FROM generate_series(1, 4) i;
UPDATE ks SET id = id + 1;
\! $REDIS mget ks:1 ks:2 ks:3 ks:4 ks:5
UPDATE ks SET id = id - 1;
\! $REDIS mget ks:1 ks:2 ks:3 ks:4
\! $REDIS exists ks:5
-- two rows change places: in one statement
UPDATE ks SET id = 3 - id WHERE id IN (1, 2);
\! $REDIS mget ks:1 ks:2
\! $REDIS --scan --pattern 'tag:ks:[12]:*' | LC_ALL=C sort
-- in two, with the constraint checked at commit
BEGIN;
SET CONSTRAINTS ks_key DEFERRED;
UPDATE ks SET id = 2, v = 'moved' WHERE id = 1;
UPDATE ks SET id = 1, v = 'moved too' WHERE id = 2 AND v <> 'moved';
COMMIT;
\! $REDIS mget ks:1 ks:2
-- in a transaction in which they were already changed, inserted and rolled back
BEGIN;
SET CONSTRAINTS ks_key DEFERRED;
UPDATE ks SET v = v || ' again';
INSERT INTO ks VALUES (6, 'six'), (7, 'seven');
SAVEPOINT a;
UPDATE ks SET id = CASE id WHEN 6 THEN 7 ELSE 6 END WHERE id >= 6;
ROLLBACK TO a;
UPDATE ks SET id = 3 - id WHERE id IN (1, 2);
SAVEPOINT b;
UPDATE ks SET id = CASE id WHEN 3 THEN 4 ELSE 3 END WHERE id IN (3, 4);
RELEASE b;
COMMIT;
\! $REDIS mget ks:1 ks:2 ks:3 ks:4 ks:6 ks:7
SELECT id, wtcache.get('ks:' || id) IS NOT DISTINCT FROM row_to_json(ks)::jsonb AS same FROM ks ORDER BY id;
-- a duplicate that exists until one of the two goes
BEGIN;
SET CONSTRAINTS ks_key DEFERRED;
INSERT INTO ks VALUES (1, 'duplicate');
DELETE FROM ks WHERE id = 1 AND v <> 'duplicate';
COMMIT;
\! $REDIS get ks:1
-- if the later one goes, the key may be empty but not wrong
BEGIN;
SET CONSTRAINTS ks_key DEFERRED;
INSERT INTO ks VALUES (1, 'second');
DELETE FROM ks WHERE v = 'second';
COMMIT;
SELECT coalesce(wtcache.get('ks:1') ->> 'v', 'duplicate') AS v;
-- and a violation at commit changes nothing
BEGIN;
SET CONSTRAINTS ks_key DEFERRED;
INSERT INTO ks VALUES (2, 'violation');
COMMIT;
SELECT wtcache.get('ks:2') = row_to_json(ks)::jsonb AS same FROM ks WHERE id = 2;

DROP TABLE ky, ky1, kn, kc, ks;

-- names of columns that are no bare placeholders
CREATE TABLE kb ("a}b" int, """q" int, v text, PRIMARY KEY ("a}b", """q"));
SELECT wtcache.attach('kb');
SELECT key FROM wtcache.attachments WHERE relation = 'kb'::regclass;
INSERT INTO kb VALUES (1, 2, 'x');
\! $REDIS get kb:1:2
ALTER TABLE kb RENAME "a}b" TO ab;
ALTER TABLE kb RENAME """q" TO "q}""}";
SELECT key FROM wtcache.attachments WHERE relation = 'kb'::regclass;
UPDATE kb SET v = 'y';
\! $REDIS get kb:1:2
ALTER TABLE kb RENAME "q}""}" TO q;
SELECT key FROM wtcache.attachments WHERE relation = 'kb'::regclass;
SELECT wtcache.attach('kb', key => 'kb:{"ab"}:{q}}}', replace => true);
UPDATE kb SET v = 'z';
\! $REDIS get 'kb:1:2}'
SELECT wtcache.attach('kb', key => 'kb:{"ab}:{q}', replace => true);
SELECT wtcache.attach('kb', key => 'kb:{""}:{q}', replace => true);
DROP TABLE kb;
