-- DDL on attached tables
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE dd (id int PRIMARY KEY, name text, grp text);
SELECT wtcache.attach('dd', tags => '{"dd:{grp}"}');
INSERT INTO dd VALUES (1, 'one', 'g');

-- the table is renamed: the keys stay what they were
ALTER TABLE dd RENAME TO dd2;
UPDATE dd2 SET name = 'eins';
\! $REDIS get dd:1
SELECT relation, key FROM wtcache.attachments WHERE relation = 'dd2'::regclass;
-- so another table cannot take them over by being called the same
ALTER TABLE dd2 RENAME TO dd;

-- a column that only the image has is renamed
ALTER TABLE dd RENAME COLUMN name TO title;
UPDATE dd SET title = 'uno';
\! $REDIS get dd:1

-- a column of the key, a tag, the invalidations, the list or the condition:
-- the attachment follows
ALTER TABLE dd RENAME COLUMN id TO ident;
\! $REDIS exists dd:1
UPDATE dd SET title = 'followed';
\! $REDIS get dd:1
ALTER TABLE dd RENAME COLUMN grp TO category;
INSERT INTO dd VALUES (2, 'two', 'g');
\! $REDIS smembers tag:dd:g
SELECT wtcache.attach('dd', key => 'dd:{ident}', invalidates => '{"dd:{category}"}',
                      columns => '{ident,title}', condition => $$title <> 'no' AND category <> 'title'$$, replace => true);
ALTER TABLE dd RENAME COLUMN category TO grp;
ALTER TABLE dd RENAME COLUMN title TO name;
ALTER TABLE dd RENAME COLUMN ident TO "I d";
SELECT key, invalidates, columns, condition FROM wtcache.attachments WHERE relation = 'dd'::regclass;
INSERT INTO dd VALUES (3, 'no', 'g'), (4, 'yes', 'title'), (5, 'yes', 'g');
\! $REDIS exists dd:3 dd:4
\! $REDIS get dd:5
-- of a column that is not in the image only the name changes
ALTER TABLE dd RENAME COLUMN grp TO category;
\! $REDIS get dd:5
-- a brace in the name is quoted
ALTER TABLE dd RENAME COLUMN "I d" TO "i}d";
ALTER TABLE dd RENAME COLUMN "i}d" TO "I d";
-- undone
BEGIN;
ALTER TABLE dd RENAME COLUMN "I d" TO id;
ROLLBACK;
SELECT key, columns FROM wtcache.attachments WHERE relation = 'dd'::regclass;
\! $REDIS get dd:5
ALTER TABLE dd RENAME COLUMN "I d" TO id;
ALTER TABLE dd RENAME COLUMN category TO grp;
ALTER TABLE dd RENAME COLUMN name TO title;
DELETE FROM dd WHERE id > 1;
SELECT wtcache.detach('dd');
UPDATE dd SET title = 'detached';

-- columns come and go
SELECT wtcache.attach('dd', tags => '{"dd:{grp}"}');
ALTER TABLE dd ADD COLUMN extra int DEFAULT 7;
UPDATE dd SET title = 'wide' WHERE id = 1;
\! $REDIS get dd:1
ALTER TABLE dd DROP COLUMN title;
UPDATE dd SET extra = 8 WHERE id = 1;
\! $REDIS get dd:1
ALTER TABLE dd ALTER COLUMN extra TYPE text USING 'number ' || extra;
UPDATE dd SET grp = 'h' WHERE id = 1;
\! $REDIS get dd:1
-- one that the attachment names cannot be dropped
ALTER TABLE dd DROP COLUMN grp;
ALTER TABLE dd DROP COLUMN id;
SELECT wtcache.attach('dd', columns => '{id,grp}', replace => true);
ALTER TABLE dd DROP COLUMN grp CASCADE;
SELECT wtcache.attach('dd', columns => '{id,extra}', condition => 'grp IS NOT NULL', replace => true);
ALTER TABLE dd DROP COLUMN grp;
SELECT wtcache.attach('dd', invalidates => '{"list:{grp}"}', replace => true);
ALTER TABLE dd DROP COLUMN grp;
SELECT wtcache.attach('dd', replace => true);
ALTER TABLE dd DROP COLUMN grp;
UPDATE dd SET extra = 'x' WHERE id = 1;
\! $REDIS get dd:1
-- a dropped column in front, and hashes
ALTER TABLE dd ADD COLUMN last text DEFAULT 'l';
ALTER TABLE dd DROP COLUMN extra;
SELECT wtcache.attach('dd', format => 'hash', replace => true);
UPDATE dd SET last = last || '!' WHERE id = 1;
\! $REDIS hgetall dd:1 | paste -d= - - | LC_ALL=C sort
SELECT wtcache.attach('dd', replace => true);

-- the unique index that made the key goes: rows are deleted, not stored
INSERT INTO dd VALUES (3, 'x');
ALTER TABLE dd DROP CONSTRAINT dd_pkey;
UPDATE dd SET last = 'y' WHERE id = 3;
\! $REDIS exists dd:3
INSERT INTO dd VALUES (3, 'z');
\! $REDIS exists dd:3
SELECT operation, key FROM dd, wtcache.preview('dd', dd) WHERE last = 'z';
DELETE FROM dd WHERE last = 'z';
ALTER TABLE dd ADD PRIMARY KEY (id);
UPDATE dd SET last = 'y' WHERE id = 3;
\! $REDIS get dd:3

-- DDL in the same transaction: the table is rewritten between insert and delete
BEGIN;
INSERT INTO dd VALUES (4, 'rewritten');
ALTER TABLE dd ALTER COLUMN last TYPE varchar(30);
CLUSTER dd USING dd_pkey;
DELETE FROM dd WHERE id = 4;
COMMIT;
\! $REDIS exists dd:4
BEGIN;
INSERT INTO dd VALUES (5, 'first'), (6, 'first');
ALTER TABLE dd ADD COLUMN n int NOT NULL DEFAULT 0, ALTER COLUMN id TYPE bigint;
UPDATE dd SET last = 'second' WHERE id = 5;
UPDATE dd SET id = 7 WHERE id = 6;
COMMIT;
\! $REDIS get dd:5
\! $REDIS exists dd:6
\! $REDIS get dd:7
-- attached in the transaction that creates and fills the table
BEGIN;
CREATE TABLE dd_new (id int PRIMARY KEY);
INSERT INTO dd_new VALUES (1);
SELECT wtcache.attach('dd_new');
INSERT INTO dd_new VALUES (2);
COMMIT;
\! $REDIS exists dd_new:1
\! $REDIS get dd_new:2
-- created, filled and dropped in one: the rows are nobody's
BEGIN;
CREATE TABLE dd_short (id int PRIMARY KEY);
SELECT wtcache.attach('dd_short');
INSERT INTO dd_short VALUES (1);
ROLLBACK;
\! $REDIS exists dd_short:1

-- DROP TABLE takes the attachment with it
DROP TABLE dd_new;
SELECT count(*) FROM wtcache.attachments WHERE key LIKE 'dd_new%';

-- names that need quotes, and schemas
CREATE SCHEMA "Dd Schema";
CREATE TABLE "Dd Schema"."Ta""ble {x} %" ("I d" int PRIMARY KEY, "select" text, "Last" text);
SELECT wtcache.attach('"Dd Schema"."Ta""ble {x} %"', tags => '{"t:{select}"}',
                      condition => '"I d" > 0', columns => '{"I d","select"}');
SELECT relation, key, columns, condition FROM wtcache.attachments WHERE key LIKE 'Ta%';
INSERT INTO "Dd Schema"."Ta""ble {x} %" VALUES (1, 'v');
\! $REDIS get 'Ta"ble {x} %:1'
\! $REDIS smembers tag:t:v
ALTER TABLE "Dd Schema"."Ta""ble {x} %" SET SCHEMA public;
UPDATE "Ta""ble {x} %" SET "select" = 'w';
\! $REDIS get 'Ta"ble {x} %:1'
TRUNCATE "Ta""ble {x} %";
\! $REDIS exists 'Ta"ble {x} %:1'
SELECT wtcache.detach('"Ta""ble {x} %"');
DROP TABLE "Ta""ble {x} %";
DROP SCHEMA "Dd Schema";

-- two tables of one name in two schemas have the same default keys; say so
CREATE SCHEMA dd_a;
CREATE TABLE dd_a.dd (id int PRIMARY KEY);
SELECT wtcache.attach('dd_a.dd', key => 'dd_a.dd:{id}');
INSERT INTO dd_a.dd VALUES (1);
\! $REDIS get dd_a.dd:1
DROP SCHEMA dd_a CASCADE;

-- conditions keep their meaning whatever search_path is
CREATE SCHEMA dd_f;
CREATE FUNCTION dd_f.good(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 10';
SET search_path = dd_f, public;
CREATE TABLE dd_cond (id int PRIMARY KEY);
SELECT wtcache.attach('dd_cond', condition => 'good(id)');
SELECT condition FROM wtcache.attachments WHERE relation = 'dd_f.dd_cond'::regclass;
RESET search_path;
INSERT INTO dd_f.dd_cond VALUES (5), (15);
\! $REDIS exists dd_cond:5
\! $REDIS get dd_cond:15
DROP SCHEMA dd_f CASCADE;
DROP TABLE dd;
