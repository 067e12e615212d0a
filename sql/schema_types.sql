-- What becomes of the cache when types change that tables are made of
CREATE FUNCTION st_held(VARIADIC keys text[]) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(k || ' ' || wtcache.get(k), '; '), 'nothing')
      FROM unnest(keys) k WHERE wtcache.get(k) IS NOT NULL $$;

-- tables made of a type: partitioned ones, and those that inherit from one
CREATE TYPE st_type AS (id int, v text);
CREATE TABLE st_part OF st_type (PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE st_part_1 PARTITION OF st_part FOR VALUES FROM (0) TO (100);
CREATE TABLE st_typed OF st_type (PRIMARY KEY (id));
CREATE TABLE st_child (PRIMARY KEY (id)) INHERITS (st_typed);
CREATE TABLE st_row (id int PRIMARY KEY, r st_child);
SELECT wtcache.attach('st_part'), wtcache.attach('st_child', condition => $$v > ''$$), wtcache.attach('st_row');
INSERT INTO st_part VALUES (1, 'v');
INSERT INTO st_child VALUES (1, 'v');
INSERT INTO st_row SELECT 1, st_child FROM st_child;
SELECT st_held('st_part:1', 'st_child:1', 'st_row:1');
ALTER TYPE st_type ADD ATTRIBUTE w int CASCADE;
SELECT st_held('st_part:1', 'st_child:1', 'st_row:1');
UPDATE st_part SET w = 1;
UPDATE st_child SET w = 1;
ALTER TYPE st_type RENAME ATTRIBUTE id TO ident CASCADE;
SELECT st_held('st_part:1', 'st_child:1');
UPDATE st_part SET w = 2;
UPDATE st_child SET w = 2;
SELECT st_held('st_part:1', 'st_child:1');
ALTER TYPE st_type RENAME ATTRIBUTE v TO vv CASCADE;
SELECT relation, key, condition FROM wtcache.attachments WHERE relation IN ('st_part'::regclass, 'st_child'::regclass) ORDER BY 1;
UPDATE st_part SET w = 3;
UPDATE st_child SET w = 3;
DROP TABLE st_row;
ALTER TYPE st_type ALTER ATTRIBUTE w TYPE text CASCADE;
SELECT st_held('st_part:1', 'st_child:1');
UPDATE st_part SET w = 4;
UPDATE st_child SET w = 4;
SELECT st_held('st_part:1', 'st_child:1');
ALTER TYPE st_type DROP ATTRIBUTE vv CASCADE;
ALTER TYPE st_type DROP ATTRIBUTE w CASCADE;
SELECT st_held('st_part:1', 'st_child:1');
DROP TABLE st_part, st_typed, st_child;
DROP TYPE st_type;

-- the row type of a foreign table
CREATE FOREIGN DATA WRAPPER st_wrapper;
CREATE SERVER st_server FOREIGN DATA WRAPPER st_wrapper;
CREATE FOREIGN TABLE st_foreign (a int, b int) SERVER st_server;
CREATE TABLE st_row (id int PRIMARY KEY, r st_foreign[]);
SELECT wtcache.attach('st_row');
INSERT INTO st_row VALUES (1, '{"(1,2)"}');
ALTER FOREIGN TABLE st_foreign DROP COLUMN b;
SELECT st_held('st_row:1');
UPDATE st_row SET id = 1;
ALTER FOREIGN TABLE st_foreign ADD COLUMN c int;
SELECT st_held('st_row:1');
UPDATE st_row SET id = 1;
ALTER TABLE st_foreign RENAME COLUMN c TO d;
SELECT st_held('st_row:1');
UPDATE st_row SET id = 1;
SELECT st_held('st_row:1');
DROP TABLE st_row;
DROP FOREIGN DATA WRAPPER st_wrapper CASCADE;

-- the row type of a view
CREATE VIEW st_view AS SELECT 1 AS a;
CREATE TABLE st_row (id int PRIMARY KEY, r st_view);
SELECT wtcache.attach('st_row', tags => '{"{r}"}');
INSERT INTO st_row VALUES (1, ROW(1));
CREATE OR REPLACE VIEW st_other AS SELECT 1 AS a;
SELECT st_held('st_row:1');
CREATE OR REPLACE VIEW st_view AS SELECT 1 AS a, 2 AS b;
SELECT st_held('st_row:1');
UPDATE st_row SET id = 1;
ALTER VIEW st_view RENAME COLUMN a TO c;
SELECT st_held('st_row:1');
UPDATE st_row SET id = 1;
-- not by somebody else
CREATE ROLE regress_wtc_viewer;
GRANT CREATE ON SCHEMA public TO regress_wtc_viewer;
SET ROLE regress_wtc_viewer;
CREATE OR REPLACE VIEW st_view AS SELECT 1 AS c, 2 AS b, 3 AS d;
RESET ROLE;
SELECT st_held('st_row:1');
DROP OWNED BY regress_wtc_viewer;
DROP ROLE regress_wtc_viewer;
DROP TABLE st_row;
DROP VIEW st_view, st_other;

-- casts to json, by which values are written
CREATE TYPE st_mood AS ENUM ('sad', 'ok');
CREATE DOMAIN st_moods AS st_mood[];
CREATE TABLE st_cast (id int PRIMARY KEY, m st_moods);
SELECT wtcache.attach('st_cast');
INSERT INTO st_cast VALUES (1, '{sad}');
SELECT st_held('st_cast:1');
CREATE FUNCTION st_json(st_mood) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '{"mood": true}'::json $$;
CREATE FUNCTION st_text(st_mood) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'mood'::text $$;
CREATE CAST (st_mood AS text) WITH FUNCTION st_text(st_mood);
SELECT st_held('st_cast:1');
CREATE CAST (st_mood AS json) WITH FUNCTION st_json(st_mood);
SELECT st_held('st_cast:1');
UPDATE st_cast SET id = 1;
SELECT st_held('st_cast:1');
DROP FUNCTION st_text CASCADE;
SELECT st_held('st_cast:1');
DROP FUNCTION st_json CASCADE;
SELECT st_held('st_cast:1');
UPDATE st_cast SET id = 1;
SELECT st_held('st_cast:1');
DROP TABLE st_cast;
DROP TYPE st_mood CASCADE;

DROP FUNCTION st_held;
