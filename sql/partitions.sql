-- Partitioned tables
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE pt (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE pt_n PARTITION OF pt FOR VALUES IN ('n');
CREATE TABLE pt_s PARTITION OF pt FOR VALUES IN ('s') PARTITION BY RANGE (id);
CREATE TABLE pt_s1 PARTITION OF pt_s FOR VALUES FROM (0) TO (100);
SELECT wtcache.attach('pt', key => 'pt:{id}:{region}', tags => '{"pt:{region}"}');

-- one attachment, a row and a TRUNCATE trigger on every leaf
SELECT relation, key FROM wtcache.attachments WHERE key LIKE 'pt:%';
CREATE VIEW pt_triggers AS
SELECT tgrelid::regclass AS "table", tgname, tgparentid <> 0 AS inherited FROM pg_trigger
 WHERE tgfoid IN ('wtcache.capture_row'::regproc, 'wtcache.capture_truncate'::regproc)
 ORDER BY tgrelid::regclass::text COLLATE "C", tgname;
SELECT * FROM pt_triggers;

INSERT INTO pt VALUES (1, 'n', 'north'), (1, 's', 'south'), (2, 'n', 'two');
\! $REDIS get pt:1:n
\! $REDIS get pt:1:s
INSERT INTO pt_s1 VALUES (3, 's', 'by the leaf');
\! $REDIS get pt:3:s

-- a row moves between partitions: its key changes with it
UPDATE pt SET region = 's', v = 'moved' WHERE id = 2;
\! $REDIS exists pt:2:n
\! $REDIS get pt:2:s
\! $REDIS smembers tag:pt:n | LC_ALL=C sort
\! $REDIS smembers tag:pt:s | LC_ALL=C sort

-- partitions to come: created, attached, sub-partitioned, with columns in
-- another order and some that were dropped
CREATE TABLE pt_s2 PARTITION OF pt_s FOR VALUES FROM (100) TO (200);
CREATE TABLE pt_w (dropped int, v text, region text NOT NULL, gone text, id int NOT NULL);
ALTER TABLE pt_w DROP COLUMN dropped, DROP COLUMN gone;
INSERT INTO pt_w VALUES ('before', 'w', 1);
ALTER TABLE pt ATTACH PARTITION pt_w FOR VALUES IN ('w');
CREATE TABLE pt_e PARTITION OF pt FOR VALUES IN ('e') PARTITION BY HASH (id);
CREATE TABLE pt_e0 PARTITION OF pt_e FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE pt_def PARTITION OF pt DEFAULT;
SELECT * FROM pt_triggers;
INSERT INTO pt VALUES (150, 's', 's2'), (2, 'w', 'west'), (1, 'e', 'east'), (1, 'x', 'default');
\! $REDIS get pt:150:s
\! $REDIS exists pt:1:w
\! $REDIS get pt:2:w
\! $REDIS get pt:1:e
\! $REDIS get pt:1:x
-- between partitions of different layouts, there and back in a transaction
BEGIN;
UPDATE pt SET region = 'w' WHERE id = 150;
UPDATE pt SET region = 's', v = v || '!' WHERE id = 150;
COMMIT;
\! $REDIS get pt:150:s
\! $REDIS exists pt:150:w
\! $REDIS smembers tag:pt:w
-- hidden and seen by the condition, in a partition of another layout
SELECT wtcache.attach('pt', key => 'pt:{id}:{region}', tags => '{"pt:{region}"}',
                      columns => '{v,id}', condition => $$v <> 'secret'$$, replace => true);
-- what was cached in the old way is gone
\! $REDIS exists pt:1:s pt:3:s pt:150:s
UPDATE pt SET id = id;
UPDATE pt SET v = 'secret' WHERE region = 'w' AND id = 2;
\! $REDIS exists pt:2:w
UPDATE pt SET v = 'public' WHERE region = 'w' AND id = 2;
\! $REDIS get pt:2:w

-- a key without the partition column, by a unique index of it all
CREATE TABLE pk (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE pk_low PARTITION OF pk FOR VALUES FROM (0) TO (10);
CREATE TABLE pk_high PARTITION OF pk FOR VALUES FROM (10) TO (20);
SELECT wtcache.attach('pk');
INSERT INTO pk VALUES (1, 'one'), (2, 'two'), (11, 'eleven');
-- two rows change places across partitions in one transaction
BEGIN;
UPDATE pk SET id = 5 WHERE id = 1;
UPDATE pk SET id = 1 WHERE id = 11;
UPDATE pk SET id = 11 WHERE id = 5;
COMMIT;
\! $REDIS get pk:1
\! $REDIS get pk:11
\! $REDIS exists pk:5
-- the same key leaves one partition and comes to another
CREATE TABLE pm (id int, part int, v text, UNIQUE (id, part)) PARTITION BY LIST (part);
CREATE TABLE pm_1 PARTITION OF pm FOR VALUES IN (1);
CREATE TABLE pm_2 PARTITION OF pm FOR VALUES IN (2);
SELECT wtcache.attach('pm', key => 'pm:{id}:{part}');
INSERT INTO pm VALUES (1, 1, 'a');
BEGIN;
UPDATE pm SET part = 2;
UPDATE pm SET part = 1, v = 'b';
UPDATE pm SET part = 2;
UPDATE pm SET part = 1, v = 'c';
COMMIT;
\! $REDIS get pm:1:1
\! $REDIS exists pm:1:2
SELECT wtcache.get('pm:1:1');

-- TRUNCATE of a partition, of a sub-partitioned one, of it all
TRUNCATE pt_n;
\! $REDIS exists pt:1:n
\! $REDIS exists pt:1:s pt:3:s pt:150:s
TRUNCATE pt_s;
\! $REDIS exists pt:1:s pt:3:s pt:150:s
\! $REDIS exists pt:2:w pt:1:e pt:1:x
TRUNCATE pt;
\! $REDIS exists pt:2:w pt:1:e pt:1:x
\! $REDIS exists tag:pt:n tag:pt:s tag:pt:w tag:pt:e tag:pt:x

-- detached partitions are tables of their own, and not attached
INSERT INTO pt VALUES (1, 'n', 'stays'), (1, 'w', 'stays');
ALTER TABLE pt DETACH PARTITION pt_n;
UPDATE pt_n SET v = 'unseen';
INSERT INTO pt_n VALUES (2, 'n', 'unseen');
TRUNCATE pt_n;
\! $REDIS exists pt:2:n
SELECT wtcache.attach('pt_n', key => 'pt_n:{id}:{region}');
INSERT INTO pt_n VALUES (3, 'n', 'own');
\! $REDIS get pt_n:3:n
\! $REDIS exists pt:3:n
SELECT wtcache.detach('pt_n');
-- and come back
ALTER TABLE pt ATTACH PARTITION pt_n FOR VALUES IN ('n');
INSERT INTO pt VALUES (4, 'n', 'back');
\! $REDIS get pt:4:n
-- a dropped partition leaves the others alone
DROP TABLE pt_n;
UPDATE pt SET v = 'changed';
\! $REDIS get pt:1:w

-- without the event trigger a new partition has no TRUNCATE trigger, and is not
-- cached until the next one covers it, too
ALTER EVENT TRIGGER wtcache_cover_partitions DISABLE;
CREATE TABLE pt_u PARTITION OF pt FOR VALUES IN ('u');
ALTER EVENT TRIGGER wtcache_cover_partitions ENABLE ALWAYS;
INSERT INTO pt VALUES (1, 'u', 'uncovered');
\! $REDIS exists pt:1:u
CREATE TABLE pt_v PARTITION OF pt FOR VALUES IN ('v');
UPDATE pt SET v = 'covered' WHERE region = 'u';
\! $REDIS get pt:1:u
TRUNCATE pt_u;
\! $REDIS exists pt:1:u
DROP TABLE pt_u, pt_v;

-- the attachment belongs to the parent
SELECT wtcache.attach('pt_w');
SELECT wtcache.detach('pt_w');
SELECT wtcache.detach('pt');
SELECT * FROM pt_triggers WHERE "table"::text LIKE 'pt%';
UPDATE pt SET v = 'unseen';
\! $REDIS get pt:1:w

DROP VIEW pt_triggers;
DROP TABLE pt, pk, pm;
