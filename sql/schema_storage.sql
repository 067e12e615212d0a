-- Tables that cannot be cached: other access methods, foreign tables
CREATE FUNCTION sg_held(VARIADIC keys text[]) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(k || ' ' || wtcache.get(k), '; '), 'nothing')
      FROM unnest(keys) k WHERE wtcache.get(k) IS NOT NULL $$;
CREATE ACCESS METHOD sg_heap TYPE TABLE HANDLER heap_tableam_handler;

-- a table
CREATE TABLE sg_other (id int PRIMARY KEY, v text) USING sg_heap;
SELECT wtcache.attach('sg_other');
ALTER TABLE sg_other SET ACCESS METHOD heap;
SELECT wtcache.attach('sg_other');
INSERT INTO sg_other VALUES (1, 'v');
ALTER TABLE sg_other SET ACCESS METHOD sg_heap;
ALTER TABLE sg_other ADD COLUMN w int, SET ACCESS METHOD sg_heap;
SELECT sg_held('sg_other:1');
ALTER TABLE sg_other SET ACCESS METHOD heap;
SELECT sg_held('sg_other:1');
UPDATE sg_other SET v = 'w';
SELECT sg_held('sg_other:1');

-- partitions
CREATE TABLE sg (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE sg_0 PARTITION OF sg FOR VALUES FROM (0) TO (10) USING sg_heap;
SELECT wtcache.attach('sg');
ALTER TABLE sg_0 SET ACCESS METHOD heap;
SELECT wtcache.attach('sg');
INSERT INTO sg VALUES (1, 'v');
ALTER TABLE sg_0 SET ACCESS METHOD sg_heap;
SELECT sg_held('sg:1');
CREATE TABLE sg_1 PARTITION OF sg FOR VALUES FROM (10) TO (20) USING sg_heap;
SET default_table_access_method = sg_heap;
CREATE TABLE sg_1 PARTITION OF sg FOR VALUES FROM (10) TO (20);
CREATE TABLE sg_1 (id int PRIMARY KEY, v text);
RESET default_table_access_method;
ALTER TABLE sg ATTACH PARTITION sg_1 FOR VALUES FROM (10) TO (20);
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sg_1'::regclass;
ALTER TABLE sg_1 SET ACCESS METHOD heap;
ALTER TABLE sg ATTACH PARTITION sg_1 FOR VALUES FROM (10) TO (20);
INSERT INTO sg VALUES (11, 'v');
SELECT sg_held('sg:1', 'sg:11');

-- foreign partitions: of this one no row is ever read
CREATE EXTENSION file_fdw;
CREATE SERVER sg_server FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE sg_foreign (id int NOT NULL, v text) SERVER sg_server OPTIONS (filename '/dev/null');
SELECT wtcache.attach('sg_foreign');
-- a table with a unique index has none, so this takes dropping that of the key
CREATE TABLE sg_f (id int NOT NULL, v text) PARTITION BY RANGE (id);
CREATE TABLE sg_f_1 PARTITION OF sg_f FOR VALUES FROM (0) TO (10);
CREATE UNIQUE INDEX sg_f_id ON sg_f (id);
SELECT wtcache.attach('sg_f', key => 'sg_f:{id}');
INSERT INTO sg_f VALUES (1, 'v');
DROP INDEX sg_f_id;
CREATE FOREIGN TABLE sg_f_2 PARTITION OF sg_f FOR VALUES FROM (10) TO (20) SERVER sg_server OPTIONS (filename '/dev/null');
ALTER TABLE sg_f ATTACH PARTITION sg_foreign FOR VALUES FROM (10) TO (20);
CREATE TABLE sg_f_3 (id int NOT NULL, v text) PARTITION BY RANGE (id);
ALTER TABLE sg_f_3 ATTACH PARTITION sg_foreign FOR VALUES FROM (10) TO (20);
ALTER TABLE sg_f ATTACH PARTITION sg_f_3 FOR VALUES FROM (10) TO (20);
SELECT sg_held('sg_f:1');
SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'sg_f%' GROUP BY 1 ORDER BY 1;
SELECT wtcache.detach('sg_f', drop_keys => true);
ALTER TABLE sg_f ATTACH PARTITION sg_f_3 FOR VALUES FROM (10) TO (20);
SELECT wtcache.attach('sg_f', key => 'sg_f:{id}');

\set VERBOSITY terse
DROP TABLE sg, sg_f, sg_other;
DROP EXTENSION file_fdw CASCADE;
DROP ACCESS METHOD sg_heap;
DROP FUNCTION sg_held;
