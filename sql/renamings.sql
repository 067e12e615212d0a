-- Conditions follow what they name when it gets another name or schema
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE SCHEMA rn;
CREATE TYPE rn.mood AS ENUM ('sad', 'ok');
CREATE DOMAIN rn.positive AS int CHECK (VALUE > 0);
CREATE TYPE rn.pair AS (a int, b int);
CREATE TABLE rn.base (x int, y int);
CREATE COLLATION rn.plain FROM "C";
CREATE FUNCTION rn.good(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE OPERATOR rn.=~ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE TABLE rn.t (id int PRIMARY KEY, v text, m rn.mood, p rn.pair, b rn.base);
CREATE TABLE rn.part (id int PRIMARY KEY, m rn.mood) PARTITION BY RANGE (id);
CREATE TABLE rn.part_1 PARTITION OF rn.part FOR VALUES FROM (0) TO (100);
CREATE TABLE rn.plain_table (id int PRIMARY KEY);
SELECT wtcache.attach('rn.t', condition => $$rn.good(id) AND m = 'ok' AND (p).b > 0 AND (b).x > 0
    AND v COLLATE rn.plain > '' AND id OPERATOR(rn.=~) id AND id::rn.positive > 0$$);
SELECT wtcache.attach('rn.part', condition => $$m <> 'sad'$$),
       wtcache.attach('rn.plain_table');
CREATE VIEW rn_conditions AS
    SELECT relation, condition FROM wtcache.attachments WHERE relation::text LIKE '%t' ORDER BY 1;
CREATE FUNCTION rn_write() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('INSERT INTO %s VALUES (1, ''v'', ''ok'', (1, 1), (1, 1)) ON CONFLICT (id) DO UPDATE SET v = ''w''',
                   (SELECT oid::regclass FROM pg_class WHERE relname = 't' AND relkind = 'r'));
    EXECUTE format('INSERT INTO %s VALUES (1, ''ok''), (2, (enum_range(NULL, ''ok''::%s))[1]) ON CONFLICT (id) DO UPDATE SET id = excluded.id',
                   (SELECT oid::regclass FROM pg_class WHERE relname = 'part'),
                   (SELECT oid::regtype FROM pg_type WHERE typname LIKE 'mood%'));
    RETURN concat_ws(', ', wtcache.get('t:1') ->> 'm', wtcache.get('part:1') ->> 'm', wtcache.get('part:2') ->> 'm');
END $$;
SELECT rn_write();
TABLE rn_conditions;

-- values of enums; in another session as well, which parses the text anew
ALTER TYPE rn.mood RENAME VALUE 'sad' TO 'blue';
\c -
SELECT rn_write();
-- so the names may change places
BEGIN;
ALTER TYPE rn.mood RENAME VALUE 'ok' TO 'tmp';
ALTER TYPE rn.mood RENAME VALUE 'blue' TO 'ok';
ALTER TYPE rn.mood RENAME VALUE 'tmp' TO 'blue';
TABLE rn_conditions;
ROLLBACK;
TABLE rn_conditions;
-- attributes, also of the row type of a table
ALTER TYPE rn.pair RENAME ATTRIBUTE b TO bb;
ALTER TABLE rn.base RENAME COLUMN x TO xx;
-- functions, types, domains, collations
ALTER FUNCTION rn.good RENAME TO better;
ALTER TYPE rn.mood RENAME TO moods;
ALTER DOMAIN rn.positive RENAME TO "Pos";
ALTER COLLATION rn.plain RENAME TO plainer;
ALTER TABLE rn.base RENAME TO based;
TABLE rn_conditions;
\c -
SELECT rn_write();
-- into another schema, and the schema itself
CREATE SCHEMA rn_2;
ALTER FUNCTION rn.better SET SCHEMA rn_2;
ALTER TYPE rn.moods SET SCHEMA rn_2;
ALTER DOMAIN rn."Pos" SET SCHEMA rn_2;
ALTER COLLATION rn.plainer SET SCHEMA rn_2;
ALTER OPERATOR rn.=~ (int, int) SET SCHEMA rn_2;
ALTER TABLE rn.based SET SCHEMA rn_2;
ALTER SCHEMA rn_2 RENAME TO rn_3;
TABLE rn_conditions;
\c -
SELECT rn_write();
-- all of an extension
CREATE EXTENSION citext SCHEMA rn;
CREATE TABLE rn_citext (id int PRIMARY KEY, c rn.citext);
SELECT wtcache.attach('rn_citext', condition => $$c OPERATOR(rn.=) 'x'$$);
ALTER EXTENSION citext SET SCHEMA public;
\c -
INSERT INTO rn_citext VALUES (1, 'X');
SELECT wtcache.get('rn_citext:1');
DROP TABLE rn_citext;
DROP EXTENSION citext;
-- what makes no difference locks no writers out
BEGIN;
ALTER FUNCTION rn_write() RENAME TO rn_write_2;
SELECT DISTINCT mode FROM pg_locks WHERE relation = 'rn.t'::regclass;
ALTER FUNCTION rn_3.better RENAME TO best;
SELECT DISTINCT mode FROM pg_locks WHERE relation = 'rn.t'::regclass ORDER BY 1;
ROLLBACK;

-- a type that no column has
CREATE TABLE rn_other (x int, "a""b" int);
CREATE FUNCTION rn_make(int) RETURNS rn_other LANGUAGE sql IMMUTABLE AS 'SELECT $1, $1';
CREATE TYPE rn_outer AS (o rn_other);
CREATE TABLE rn_row (id int PRIMARY KEY);
CREATE TABLE rn_row_in (id int PRIMARY KEY);
SELECT wtcache.attach('rn_row', condition => '(ROW(id, id)::rn_other).x > 0 AND (rn_make(id))."a""b" > 0'),
       wtcache.attach('rn_row_in', condition => '(ROW(ROW(id, id))::rn_outer).o.x > 0');
ALTER TABLE rn_other RENAME COLUMN x TO y;
ALTER TABLE rn_other RENAME COLUMN "a""b" TO c;
ALTER TABLE rn_other RENAME TO rn_others;
ALTER TABLE rn_others SET SCHEMA rn;
SELECT condition FROM wtcache.attachments WHERE relation::text LIKE 'rn\_row%' ORDER BY relation;
DROP TABLE rn_row, rn_row_in;
DROP FUNCTION rn_make;
DROP TYPE rn_outer;
DROP TABLE rn.rn_others;

-- what a condition needs of a type cannot go, the rest can
ALTER TYPE rn.pair DROP ATTRIBUTE bb;
ALTER TABLE rn_3.based DROP COLUMN xx;
ALTER TYPE rn.pair DROP ATTRIBUTE a;
ALTER TABLE rn_3.based DROP COLUMN y;
ALTER TYPE rn.pair ADD ATTRIBUTE c text;
UPDATE rn.t SET v = 'w';
SELECT wtcache.get('t:1');

-- what a condition needs goes by CASCADE, and the condition with it: nothing is
-- cached then, and no statement fails
CREATE FUNCTION rn_gone(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE TABLE rn_broken (id int PRIMARY KEY, v text, w text, p rn.pair);
SELECT wtcache.attach('rn_broken', condition => 'rn_gone(id) AND w > $$$$');
INSERT INTO rn_broken VALUES (1, 'v', 'w');
DROP FUNCTION rn_gone;
DROP FUNCTION rn_gone CASCADE;
SELECT wtcache.get('rn_broken:1');
\c -
UPDATE rn_broken SET v = 'x';
SELECT wtcache.get('rn_broken:1');
CALL wtcache.warm('rn_broken');
SELECT condition FROM wtcache.attachments WHERE relation = 'rn_broken'::regclass;
ALTER TABLE rn_broken DROP COLUMN v;
SELECT wtcache.get('rn_broken:1');
ALTER TABLE rn_broken ALTER COLUMN w TYPE varchar;
ALTER TABLE rn_broken RENAME COLUMN w TO ww;
ALTER TYPE rn.pair ADD ATTRIBUTE d text;
ALTER FUNCTION rn_3.better RENAME TO best;
SELECT wtcache.attach('rn_broken', replace => true);
UPDATE rn_broken SET ww = 'x';
SELECT wtcache.get('rn_broken:1');
DROP TABLE rn_broken;

-- whoever renames need not own the table, and sees nothing of it
CREATE ROLE regress_wtc_names;
GRANT USAGE ON SCHEMA rn TO regress_wtc_names;
GRANT ALL ON SCHEMA rn_3 TO regress_wtc_names;
ALTER FUNCTION rn_3.best OWNER TO regress_wtc_names;
SET ROLE regress_wtc_names;
ALTER FUNCTION rn_3.best RENAME TO good;
ALTER TYPE rn_3.moods RENAME VALUE 'ok' TO 'fine';
RESET ROLE;
SELECT condition FROM rn_conditions WHERE relation = 'rn.t'::regclass;
UPDATE rn.t SET v = 'x';
SELECT wtcache.get('t:1');

\set VERBOSITY terse
DROP SCHEMA rn, rn_3 CASCADE;
DROP VIEW rn_conditions;
DROP FUNCTION rn_write;
DROP ROLE regress_wtc_names;
