-- Capture: every kind of statement that changes rows
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
\setenv PGDATABASE :DBNAME
CREATE TABLE cp (id int PRIMARY KEY, v text, n int DEFAULT 0);
SELECT wtcache.attach('cp');

-- What the table and the cache hold, where they differ; none is right.
CREATE FUNCTION cp_differences(upto int DEFAULT 60, OUT id int, OUT in_table jsonb, OUT in_cache jsonb)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT k, row_to_json(cp)::jsonb, wtcache.get('cp:' || k)
      FROM generate_series(0, upto) k LEFT JOIN cp ON cp.id = k
     WHERE row_to_json(cp)::jsonb IS DISTINCT FROM wtcache.get('cp:' || k)
$$;

-- INSERT, UPDATE, DELETE
INSERT INTO cp VALUES (1, 'one', DEFAULT), (2, NULL, NULL), (3, 'three', 3);
\! $REDIS mget cp:1 cp:2 cp:3
UPDATE cp SET v = 'two', n = n + 1 WHERE id >= 2;
\! $REDIS mget cp:1 cp:2 cp:3
UPDATE cp SET v = v WHERE id = 1;
DELETE FROM cp WHERE id = 1;
\! $REDIS exists cp:1
INSERT INTO cp SELECT i, 'select' FROM generate_series(10, 15) i;
UPDATE cp SET n = s.sum FROM (SELECT sum(n) FROM cp) s WHERE id = 10;
DELETE FROM cp USING generate_series(14, 20) i WHERE cp.id = i;
\! $REDIS mget cp:10 cp:13 cp:14
SELECT * FROM cp_differences();
-- all that happens to a row in one transaction is its last state
BEGIN;
INSERT INTO cp VALUES (20, 'a'), (21, 'a'), (22, 'a'), (23, 'a');
UPDATE cp SET v = 'b' WHERE id IN (20, 21, 22);
DELETE FROM cp WHERE id IN (21, 23);
INSERT INTO cp VALUES (21, 'c');
UPDATE cp SET v = 'd' WHERE id = 22;
DELETE FROM cp WHERE id = 10;
UPDATE cp SET v = 'x' WHERE id = 11;
UPDATE cp SET v = 'y' WHERE id = 11;
COMMIT;
\! $REDIS mget cp:20 cp:21 cp:22 cp:11
\! $REDIS exists cp:23 cp:10
SELECT * FROM cp_differences();

-- ON CONFLICT
INSERT INTO cp VALUES (20, 'conflict'), (30, 'new') ON CONFLICT DO NOTHING;
INSERT INTO cp VALUES (21, 'upserted'), (31, 'inserted')
ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v || '!', n = cp.n + 10;
INSERT INTO cp VALUES (22, 'filtered') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v WHERE cp.n > 100;
INSERT INTO cp VALUES (22, 'key') ON CONFLICT (id) DO UPDATE SET id = 32;
\! $REDIS mget cp:20 cp:30 cp:21 cp:31 cp:22 cp:32
SELECT * FROM cp_differences();

-- MERGE
MERGE INTO cp USING (VALUES (20, 'update'), (21, 'delete'), (40, 'insert'), (31, 'nothing')) s (id, what)
   ON cp.id = s.id
 WHEN MATCHED AND s.what = 'delete' THEN DELETE
 WHEN MATCHED AND s.what = 'nothing' THEN DO NOTHING
 WHEN MATCHED THEN UPDATE SET v = 'merged'
 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'merged in', 4);
\! $REDIS mget cp:20 cp:40 cp:31
\! $REDIS exists cp:21
SELECT * FROM cp_differences();

-- COPY
COPY cp FROM stdin;
50	copied	1
51	\N	\N
52	tab\tand\\backslash	2
\.
\! $REDIS mget cp:50 cp:51 cp:52
COPY cp (id) FROM stdin;
53
50
\.
\! $REDIS exists cp:53
COPY cp FROM stdin WHERE n > 5;
54	left out	1
55	let in	6
\.
\! $REDIS mget cp:54 cp:55
SELECT * FROM cp_differences();

-- data-modifying CTEs
WITH d AS (DELETE FROM cp WHERE id IN (50, 51) RETURNING *),
     u AS (UPDATE cp SET v = 'cte' WHERE id = 52 RETURNING *)
INSERT INTO cp SELECT id - 42, v, n FROM d UNION ALL SELECT id - 42, v, n FROM u;
\! $REDIS exists cp:50 cp:51
\! $REDIS mget cp:52 cp:8 cp:9
SELECT * FROM cp_differences();

-- rules and views
CREATE VIEW cp_view AS SELECT id, v FROM cp;
INSERT INTO cp_view VALUES (56, 'through a view');
UPDATE cp_view SET v = v || '!' WHERE id = 56;
\! $REDIS get cp:56
CREATE TABLE cp_ruled (id int);
CREATE RULE cp_rule AS ON INSERT TO cp_ruled DO INSTEAD
INSERT INTO cp VALUES (NEW.id, 'by a rule') ON CONFLICT (id) DO UPDATE SET n = cp.n + 1;
INSERT INTO cp_ruled VALUES (57), (56);
\! $REDIS mget cp:57 cp:56
CREATE RULE cp_instead AS ON DELETE TO cp WHERE OLD.id = 57 DO INSTEAD NOTHING;
DELETE FROM cp WHERE id IN (56, 57);
\! $REDIS exists cp:56
\! $REDIS exists cp:57
DROP RULE cp_instead ON cp;
SELECT * FROM cp_differences();

-- cursors, prepared statements, SQL and PL/pgSQL functions
PREPARE cp_upd (int, text) AS UPDATE cp SET v = $2 WHERE id = $1;
EXECUTE cp_upd(57, 'prepared');
\! $REDIS get cp:57
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM cp WHERE id IN (8, 9) ORDER BY id FOR UPDATE;
FETCH c;
UPDATE cp SET v = 'current' WHERE CURRENT OF c;
FETCH c;
DELETE FROM cp WHERE CURRENT OF c;
COMMIT;
\! $REDIS get cp:8
\! $REDIS exists cp:9
-- a row that is locked by this transaction is not a row that it changed
BEGIN;
SELECT * FROM cp WHERE id = 8 FOR UPDATE;
UPDATE cp SET v = 'locked before' WHERE id = 8;
SELECT id FROM cp WHERE id = 8 FOR NO KEY UPDATE;
COMMIT;
\! $REDIS get cp:8
BEGIN;
UPDATE cp SET v = 'locked after' WHERE id = 8;
SAVEPOINT a;
SELECT id FROM cp WHERE id = 8 FOR UPDATE;
RELEASE a;
COMMIT;
\! $REDIS get cp:8
SELECT * FROM cp_differences();

-- identity and generated columns
CREATE TABLE cp_gen (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,
                     twice int GENERATED ALWAYS AS (a * 2) STORED);
SELECT wtcache.attach('cp_gen', tags => '{"twice:{twice}"}', condition => 'twice > 2');
INSERT INTO cp_gen (a) VALUES (1), (2), (3);
\! $REDIS mget cp_gen:1 cp_gen:2 cp_gen:3
UPDATE cp_gen SET a = a + 1;
\! $REDIS mget cp_gen:1 cp_gen:2 cp_gen:3
\! $REDIS smembers tag:twice:6

-- inheritance children are tables of their own
CREATE TABLE cp_child (extra text) INHERITS (cp);
INSERT INTO cp_child VALUES (58, 'child');
UPDATE cp SET v = 'child too' WHERE id = 58;
\! $REDIS exists cp:58
DROP TABLE cp_child;

-- TRUNCATE
BEGIN;
TRUNCATE cp;
ROLLBACK;
SELECT * FROM cp_differences();
BEGIN;
INSERT INTO cp VALUES (59, 'short');
UPDATE cp SET v = 'new' WHERE id = 20;
DELETE FROM cp WHERE id = 30;
UPDATE cp SET id = 60 WHERE id = 31;
TRUNCATE cp;
INSERT INTO cp VALUES (20, 'after'), (3, 'after');
COMMIT;
SELECT count(*) FROM cp;
SELECT * FROM cp_differences();
\! $REDIS mget cp:3 cp:20
\! $REDIS --scan --pattern 'cp:*' | LC_ALL=C sort
TRUNCATE cp, cp_gen RESTART IDENTITY;
\! $REDIS --scan --pattern 'cp*:*'
TRUNCATE cp;
-- of an older snapshot: what was committed since goes as well
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM cp;
\! psql -XAtq -c "INSERT INTO cp VALUES (5, 'unseen')"
\! $REDIS exists cp:5
TRUNCATE cp;
COMMIT;
\! $REDIS exists cp:5

DROP FUNCTION cp_differences;
DROP TABLE cp, cp_gen, cp_ruled CASCADE;
