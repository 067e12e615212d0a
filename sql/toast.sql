-- Large values: stored out of line, and written whole
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE ta (id int PRIMARY KEY, big text, n int, tag text);
ALTER TABLE ta ALTER COLUMN big SET STORAGE EXTERNAL;
SELECT wtcache.attach('ta', tags => '{"ta:{tag}"}');
CREATE FUNCTION ta_random(size int, seed text) RETURNS text LANGUAGE sql AS $$
    SELECT left(string_agg(md5(seed || i), ''), size) FROM generate_series(0, size / 32) i $$;
CREATE FUNCTION ta_same(k int) RETURNS boolean LANGUAGE sql AS $$
    SELECT row_to_json(ta)::jsonb = wtcache.get('ta:' || k) FROM ta WHERE id = k $$;

INSERT INTO ta VALUES (1, ta_random(100000, 'a'), 1, 'x');
SELECT pg_column_size(big) AS size, length(big) FROM ta;
\! $REDIS strlen ta:1
\! $REDIS get ta:1 | cut -c 1-50
SELECT ta_same(1);
-- the large value is not what is updated
UPDATE ta SET n = 2, tag = 'y';
\! $REDIS strlen ta:1
\! $REDIS get ta:1 | tail -c 40
SELECT ta_same(1);
UPDATE ta SET id = 2;
\! $REDIS exists ta:1
SELECT ta_same(2);
-- it is
UPDATE ta SET big = ta_random(300000, 'b');
SELECT ta_same(2), length(wtcache.get('ta:2') ->> 'big');
-- it was in this transaction
BEGIN;
UPDATE ta SET big = ta_random(50000, 'c');
UPDATE ta SET n = 3;
COMMIT;
SELECT ta_same(2), length(wtcache.get('ta:2') ->> 'big');
-- as a hash
SELECT wtcache.attach('ta', format => 'hash', replace => true);
UPDATE ta SET n = 4;
\! $REDIS hstrlen ta:2 big
SELECT wtcache.get('ta:2') ->> 'big' = big AS same FROM ta;
-- in a column that is not cached
SELECT wtcache.attach('ta', columns => '{id,n}', replace => true);
UPDATE ta SET n = 5;
\! $REDIS get ta:2
-- in a condition, in a tag
SELECT wtcache.attach('ta', condition => $$big LIKE '%z'$$, tags => '{"{big}"}', replace => true);
UPDATE ta SET big = big || 'z';
SELECT ta_same(2);
\! $REDIS --scan --pattern 'tag:*z' | wc -c
UPDATE ta SET n = 6;
SELECT ta_same(2);
UPDATE ta SET big = 'small';
\! $REDIS exists ta:2
\! $REDIS --scan --pattern 'tag:*z' | wc -c
-- compressed, and several megabytes
SELECT wtcache.attach('ta', replace => true);
ALTER TABLE ta ALTER COLUMN big SET STORAGE EXTENDED;
INSERT INTO ta VALUES (3, repeat('abc"\', 2000000), 1);
\! $REDIS strlen ta:3
SELECT ta_same(3);
UPDATE ta SET n = 2 WHERE id = 3;
SELECT ta_same(3);
-- TRUNCATE and DELETE with such values in the tag
SELECT wtcache.attach('ta', tags => '{"ta:{big}"}', replace => true);
UPDATE ta SET big = ta_random(100000, 'd') WHERE id = 2;
DELETE FROM ta WHERE id = 2;
\! $REDIS exists ta:2
\! $REDIS --scan --pattern 'tag:ta:*' | grep -c '[0-9a-f]\{32\}'
DROP TABLE ta;
DROP FUNCTION ta_random, ta_same;
