-- Tags of many members, transactions of many rows
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE lg (id int PRIMARY KEY, v text, grp int);
SELECT wtcache.attach('lg', tags => '{"lg:{grp}"}');
SELECT pushes_ok, sets, deletes, invalidations, stored, deleted_instead, overtaken FROM wtcache.stat \gset a_
INSERT INTO lg SELECT i, 'row ' || i, i / 2500 FROM generate_series(0, 4999) i;
SELECT pushes_ok - :a_pushes_ok AS pushes, sets - :a_sets AS sets, stored - :a_stored AS stored,
       deleted_instead - :a_deleted_instead AS deleted_instead, overtaken - :a_overtaken AS overtaken FROM wtcache.stat;
\! $REDIS scard tag:lg:0
\! $REDIS scard tag:lg:1
SELECT count(*) FROM lg WHERE wtcache.get('lg:' || id) IS DISTINCT FROM row_to_json(lg)::jsonb;

-- more members than are deleted at once; the other tag is untouched
SELECT wtcache.invalidate_tags('lg:0');
\! $REDIS --scan --pattern 'lg:[0-9]*' | wc -l
\! $REDIS exists tag:lg:0
\! $REDIS --scan --pattern 'wtcache:drain*'
\! $REDIS scard tag:lg:1
-- what is stored in the same transaction, under the same tag, stays
BEGIN;
UPDATE lg SET v = 'after' WHERE id BETWEEN 3000 AND 3009;
SELECT wtcache.invalidate_tags('lg:1');
UPDATE lg SET v = 'after' WHERE id BETWEEN 3010 AND 3019;
COMMIT;
SELECT count(*) FROM lg WHERE wtcache.get('lg:' || id) = row_to_json(lg)::jsonb;
\! $REDIS --scan --pattern 'lg:[0-9]*' | wc -l
\! $REDIS scard tag:lg:1
\! $REDIS --scan --pattern 'wtcache:drain*'
-- several large tags at once
UPDATE lg SET v = v, grp = id % 3;
\! $REDIS scard tag:lg:0
SELECT wtcache.invalidate_tags('lg:0', 'lg:1', 'lg:2', 'lg:none');
\! $REDIS --scan --pattern 'lg:*' | wc -l
\! $REDIS exists tag:lg:0 tag:lg:1 tag:lg:2
\! $REDIS --scan --pattern 'wtcache:drain*'

-- many tags invalidated by one statement
SELECT wtcache.set('lg:list:' || i, '[]', NULL, array['lg:list:' || i]) IS NULL FROM generate_series(1, 2000) i OFFSET 2000;
\! $REDIS --scan --pattern 'lg:list:*' | wc -l
SELECT wtcache.attach('lg', invalidates => '{"lg:list:{id}"}', replace => true);
DELETE FROM lg WHERE id BETWEEN 1 AND 1500;
\! $REDIS --scan --pattern 'lg:list:*' | wc -l
-- rows with very many tags, in one push
SELECT wtcache.set('lg:tagged:' || i, '1', NULL, (SELECT array_agg('lg:many:' || (i * j) % 1000) FROM generate_series(1, 256) j)) IS NULL
  FROM generate_series(1, 50) i OFFSET 50;
\! $REDIS --scan --pattern 'lg:tagged:*' | wc -l
\! $REDIS smembers tag:lg:many:7 | wc -l
SELECT count(*) FROM generate_series(1, 50) i WHERE (SELECT bool_or((i * j) % 1000 = 7) FROM generate_series(1, 256) j);
-- a wide hash
DO $$ BEGIN EXECUTE 'CREATE TABLE lg_wide (id int PRIMARY KEY, ' ||
    (SELECT string_agg(format('c%s int DEFAULT %s', i, i), ', ') FROM generate_series(1, 1500) i) || ')'; END $$;
SELECT wtcache.attach('lg_wide', format => 'hash');
INSERT INTO lg_wide SELECT i FROM generate_series(1, 20) i;
\! $REDIS hlen lg_wide:20
\! $REDIS hmget lg_wide:1 id c1 c1500
-- TRUNCATE of many rows
UPDATE lg SET v = 'last';
\! $REDIS --scan --pattern 'lg:[0-9]*' | wc -l
SELECT count(*) FROM lg;
TRUNCATE lg;
\! $REDIS --scan --pattern 'lg:[0-9]*' | wc -l
DROP TABLE lg, lg_wide;
