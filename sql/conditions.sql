-- condition, columns, invalidates
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE cn (id int PRIMARY KEY, v text, visible boolean, secret text, grp int);
SELECT wtcache.attach('cn', condition => 'visible', columns => '{v,id}', tags => '{"cn:{grp}"}');

-- a condition that holds, does not hold, is NULL
INSERT INTO cn VALUES (1, 'yes', true, 's3cret', 1), (2, 'no', false, 's3cret', 1), (3, 'null', NULL, 's3cret', 1);
\! $REDIS mget cn:1 cn:2 cn:3
\! $REDIS smembers tag:cn:1
-- starts to hold, stops to hold
UPDATE cn SET visible = true WHERE id IN (2, 3);
\! $REDIS mget cn:1 cn:2 cn:3
UPDATE cn SET visible = false WHERE id = 1;
UPDATE cn SET visible = NULL WHERE id = 2;
\! $REDIS exists cn:1 cn:2
\! $REDIS smembers tag:cn:1
-- to and fro in one transaction
BEGIN;
UPDATE cn SET visible = true WHERE id = 1;
UPDATE cn SET visible = false WHERE id = 1;
UPDATE cn SET visible = false WHERE id = 3;
UPDATE cn SET visible = true, v = 'back' WHERE id = 3;
INSERT INTO cn VALUES (4, 'short', true), (5, 'late', false);
UPDATE cn SET visible = NOT visible WHERE id IN (4, 5);
COMMIT;
\! $REDIS exists cn:1 cn:4
\! $REDIS mget cn:3 cn:5
-- together with a change of the key
UPDATE cn SET id = 13, visible = false WHERE id = 3;
UPDATE cn SET id = 11, visible = true WHERE id = 1;
\! $REDIS exists cn:3 cn:13 cn:1
\! $REDIS get cn:11
-- deleted while it does not hold: whoever has stored something there keeps it
\! $REDIS set cn:13 foreign
DELETE FROM cn WHERE id = 13;
\! $REDIS get cn:13

-- what conditions can say
CREATE TYPE cn_mood AS ENUM ('sad', 'ok', 'happy');
CREATE FUNCTION cn_even(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 % 2 = 0; END';
CREATE TABLE cn2 (id int PRIMARY KEY, m cn_mood, a int[], j jsonb, t timestamptz, c text COLLATE "C");
SELECT wtcache.attach('cn2', condition => $$m >= 'ok' AND a && '{1,2}' AND j ? 'x' AND cn_even(id)
    AND t > '2020-01-01 00:00+00' AND c < 'b' AND CASE WHEN id > 100 THEN false ELSE true END$$);
SELECT condition FROM wtcache.attachments WHERE relation = 'cn2'::regclass;
INSERT INTO cn2 VALUES
    (2, 'ok', '{1}', '{"x":1}', '2021-01-01', 'a'),
    (3, 'ok', '{1}', '{"x":1}', '2021-01-01', 'a'),
    (4, 'sad', '{1}', '{"x":1}', '2021-01-01', 'a'),
    (6, 'ok', '{3}', '{"x":1}', '2021-01-01', 'a'),
    (8, 'ok', '{2}', '{"y":1}', '2021-01-01', 'a'),
    (10, 'ok', '{2}', '{"x":1}', '2019-01-01', 'a'),
    (12, 'ok', '{2}', '{"x":1}', '2021-01-01', 'b'),
    (14, 'happy', '{2}', '{"x":1}', '2021-01-01', 'B'),
    (102, 'happy', '{2}', '{"x":1}', '2021-01-01', 'B');
\! $REDIS --scan --pattern 'cn2:*' | LC_ALL=C sort
-- a constant was read with the settings of that session, once and for all
SET TimeZone = 'Pacific/Auckland';
INSERT INTO cn2 VALUES (16, 'ok', '{1}', '{"x":1}', '2020-01-01 00:00:01+00', 'a'),
                       (18, 'ok', '{1}', '{"x":1}', '2020-01-01 00:00:00+00', 'a');
\! $REDIS exists cn2:16
\! $REDIS exists cn2:18
RESET TimeZone;
-- one that fails is an error of the statement
SELECT wtcache.attach('cn2', condition => '10 / id > 0', replace => true);
INSERT INTO cn2 (id) VALUES (0);
SELECT count(*) FROM cn2 WHERE id = 0;

-- columns: those, in that order, and nothing else
SELECT wtcache.attach('cn', columns => '{v,grp,id}', format => 'hash', replace => true);
INSERT INTO cn VALUES (20, 'v', true, 's3cret', NULL);
\! $REDIS hgetall cn:20 | paste -d= - - | LC_ALL=C sort
SELECT wtcache.attach('cn', columns => '{grp}', replace => true);
UPDATE cn SET secret = 'new' WHERE id = 20;
\! $REDIS get cn:20
-- with format hash a row without a value has nothing to be stored
SELECT wtcache.attach('cn', columns => '{grp}', format => 'hash', replace => true);
UPDATE cn SET secret = 'newer' WHERE id = 20;
\! $REDIS exists cn:20
UPDATE cn SET grp = 5 WHERE id = 20;
\! $REDIS hgetall cn:20

-- invalidates: of the old row and of the new, whether or not it is cached
CREATE TABLE cn3 (id int PRIMARY KEY, grp text);
SELECT wtcache.attach('cn3', invalidates => '{"list:{grp}","list:all"}', condition => 'id < 100');
SELECT wtcache.set('cn3:list:' || t, '[]', NULL, array['list:' || t]) FROM unnest('{a,b,c,all}'::text[]) t;
\! $REDIS exists cn3:list:a cn3:list:b cn3:list:c cn3:list:all
INSERT INTO cn3 VALUES (1, 'a');
\! $REDIS exists cn3:list:a cn3:list:all
\! $REDIS exists cn3:list:b cn3:list:c
\! $REDIS get cn3:1
SELECT wtcache.set('cn3:list:' || t, '[]', NULL, array['list:' || t]) FROM unnest('{a,all}'::text[]) t;
UPDATE cn3 SET grp = 'b';
\! $REDIS exists cn3:list:a cn3:list:b cn3:list:all
\! $REDIS exists cn3:list:c
INSERT INTO cn3 VALUES (100, 'c'), (101, NULL);
\! $REDIS exists cn3:list:c
\! $REDIS exists cn3:100
SELECT wtcache.set('cn3:list:' || t, '[]', NULL, array['list:' || t]) FROM unnest('{a,b,c,all}'::text[]) t;
DELETE FROM cn3 WHERE id >= 100;
\! $REDIS exists cn3:list:c cn3:list:all
\! $REDIS exists cn3:list:a cn3:list:b
TRUNCATE cn3;
\! $REDIS exists cn3:list:b
\! $REDIS exists cn3:list:a

DROP TABLE cn, cn2, cn3;
DROP TYPE cn_mood;
DROP FUNCTION cn_even;
