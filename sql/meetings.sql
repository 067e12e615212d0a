-- no two attached tables can have the same key
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
-- tables of the same name
CREATE SCHEMA mt1;
CREATE SCHEMA mt2;
CREATE TABLE mt1.orders (id int PRIMARY KEY, v text);
CREATE TABLE mt2.orders (LIKE mt1.orders INCLUDING ALL);
SELECT wtcache.attach('mt1.orders');
SELECT wtcache.attach('mt2.orders');
SELECT wtcache.attach('mt2.orders', key => 'mt2.orders:{id}');
INSERT INTO mt1.orders VALUES (1, 'one');
INSERT INTO mt2.orders VALUES (1, 'two');
\! $REDIS mget orders:1 mt2.orders:1
-- again is no meeting with itself
SELECT wtcache.attach('mt1.orders', replace => true);
-- nor does alter() let two tables meet
SELECT wtcache.alter('mt2.orders', reset => '{key}');
SELECT wtcache.alter('mt2.orders', key => 'orders:{id}');
SELECT wtcache.alter('mt2.orders', key => 'more_orders:{id}');
SELECT wtcache.alter('mt1.orders', ttl => '1 day');
-- nor by hand
SELECT wtcache.detach('mt2.orders');
CREATE TRIGGER t AFTER INSERT ON mt2.orders FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=orders:{id}');
CREATE TRIGGER t AFTER INSERT ON mt2.orders FOR EACH ROW EXECUTE FUNCTION wtcache.capture_row('key=mt2:{id}');
DROP TRIGGER t ON mt2.orders;

-- which templates meet: each with the columns of its own table
CREATE TABLE mt_a (i int, n numeric, u uuid, d date, ts timestamp, b bool, t text, x bytea, PRIMARY KEY (i, n, u, d, ts, b, t, x));
CREATE TABLE mt_b (LIKE mt_a INCLUDING ALL);
ALTER TABLE mt_a ADD UNIQUE (i), ADD UNIQUE (n), ADD UNIQUE (u), ADD UNIQUE (d), ADD UNIQUE (ts), ADD UNIQUE (b), ADD UNIQUE (t), ADD UNIQUE (x), ADD UNIQUE (i, t);
ALTER TABLE mt_b ADD UNIQUE (i), ADD UNIQUE (n), ADD UNIQUE (u), ADD UNIQUE (d), ADD UNIQUE (ts), ADD UNIQUE (b), ADD UNIQUE (t), ADD UNIQUE (x), ADD UNIQUE (i, t);
CREATE FUNCTION mt_meet(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    PERFORM wtcache.attach('mt_a', key => a);
    PERFORM wtcache.attach('mt_b', key => b);
    PERFORM wtcache.detach('mt_a'), wtcache.detach('mt_b');
    RETURN false;
EXCEPTION WHEN duplicate_object THEN RETURN true;
END $$;
SELECT a, b, mt_meet(a, b), mt_meet(b, a) AS "and vice versa" FROM (VALUES
    ('a:{i}', 'b:{i}'), ('a:{i}', 'a:{i}'), ('a:{i}', 'a:{t}'), ('a:{t}', 'a:{t}'),
    ('a:{i}', 'a:{i}:profile'), ('a:{t}', 'a:{t}:profile'), ('a:{i}', 'a:{t}:profile'),
    ('{t}', 'a:{i}'), ('{t}', 'z'||'{i}'), ('{i}', 'a:{i}'), ('{i}', '{n}'), ('{i}', '{u}'),
    ('{i}x', '{u}'), ('{i}b', '{u}'), ('{d}', '{ts}'), ('a:{d}:b', 'a:{ts}'), ('a:{d}:', 'a:{ts}'),
    ('{b}', '{i}'), ('{b}', 't'||'{i}'), ('{x}', '\x{i}'), ('{x}', '/x{i}'),
    ('a:{i}:{t}', 'a:{i}'), ('a:{i}:{t}', 'a:{t}'), ('a:{i}:{t}', 'a:{i}:x'), ('a:{i}:{t}', 'a:{i}:x:'),
    ('a:{i}:{t}', 'a:{i}:x:{i}'), ('a:{i}-{t}', 'a:{i}:{t}'), ('a:{t}:{i}', 'a:{i}:{t}'),
    ('a:{t}:{i}', 'a:%41{i}:{i}'), ('a{{{i}', 'a{{{t}'), ('a{{{i}', 'a}}{t}'),
    ('a:{i}', 'a:{i}{i}'), ('aa{i}', 'a{t}a'), ('ab{i}', 'a{t}c')) AS p (a, b);
-- both can be made: what is said to meet does
SELECT wtcache.attach('mt_a', key => 'user:{t}');
INSERT INTO mt_a VALUES (1, 1, '00000000-0000-0000-0000-000000000001', '2020-01-01', '2020-01-01', true, 'x:profile', 'x');
\! $REDIS exists user:x:profile
SELECT wtcache.attach('mt_b', key => 'user:{t}:profile');
SELECT wtcache.attach('mt_b', key => 'profile:{t}');
SELECT wtcache.attach('mt_b', key => '{t}', replace => true);

-- that is found out in no time for any template
CREATE TABLE mt_z (a text, b text, c text, d text, e text, f text, g text, h text, PRIMARY KEY (a, b, c, d, e, f, g, h));
SET statement_timeout = '10s';
\set VERBOSITY sqlstate
SELECT wtcache.attach('mt_z', key => 'z{a}0{b}0{c}0{d}0{e}0{f}0{g}0{h}' || repeat('0', 1000) || '1');
SELECT wtcache.alter('mt_b', key => 'z' || repeat('0', 1000) || '{t}' || repeat('0', 1000) || '2');
SELECT wtcache.alter('mt_b', key => 'z' || repeat('0', 1000) || '{t}' || repeat('0', 1000) || '1') IS NULL;
RESET statement_timeout;
\set VERBOSITY default

-- a type that changes
SELECT wtcache.alter('mt_a', key => 'mt:{i}');
SELECT wtcache.alter('mt_b', key => 'mt:{i}:b');
ALTER TABLE mt_a ALTER COLUMN i TYPE bigint;
ALTER TABLE mt_a ALTER COLUMN i TYPE text;
ALTER TABLE mt_a ALTER COLUMN t TYPE varchar;
-- a table that is detached or dropped leaves its keys to others
SELECT wtcache.alter('mt_b', key => 'mt:{i}');
DROP TABLE mt_a;
SELECT wtcache.alter('mt_b', key => 'mt:{i}');

-- partitions have the keys of their parent, and no others
CREATE TABLE mt_p (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE mt_p1 PARTITION OF mt_p FOR VALUES FROM (0) TO (10);
SELECT wtcache.attach('mt_p');
CREATE TABLE mt_p2 PARTITION OF mt_p FOR VALUES FROM (10) TO (20);
CREATE TABLE mt_q (id int PRIMARY KEY);
SELECT wtcache.attach('mt_q', key => 'mt_p:{id}');

\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA mt1, mt2 CASCADE;
DROP TABLE mt_b, mt_p, mt_q, mt_z;
DROP FUNCTION mt_meet;
