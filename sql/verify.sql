-- verify() and verify_summary()
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
-- an empty text is no key
CREATE TABLE bare (k text PRIMARY KEY);
SELECT wtcache.attach('bare', '{k}');
INSERT INTO bare VALUES (''), ('k');
\! $REDIS set '' x >/dev/null; $REDIS set j x >/dev/null
SET client_min_messages = warning;
SELECT kind, key FROM wtcache.verify('bare') WHERE key IN ('', 'j', 'k');
RESET client_min_messages;
TRUNCATE bare;
DROP TABLE bare;
\! $REDIS del '' j >/dev/null

CREATE TABLE goods (id int PRIMARY KEY, kind text, price int);
SELECT wtcache.verify('goods');
SELECT wtcache.verify('pg_class');
SELECT wtcache.attach('goods', ttl => '1 hour', tags => '{"sort:{kind}",goods}', condition => 'price >= 0');
SELECT * FROM wtcache.verify('goods');
SELECT * FROM wtcache.verify_summary('goods');
INSERT INTO goods SELECT i, CASE i % 2 WHEN 0 THEN 'even' ELSE 'odd' END, i * 10 FROM generate_series(1, 20) i;
INSERT INTO goods VALUES (21, 'odd', -1);
SELECT * FROM wtcache.verify('goods');
SELECT * FROM wtcache.verify_summary('goods');

-- a difference of each kind
\! $REDIS del goods:1 >/dev/null
\! $REDIS set goods:2 '{"id":2}' px 60000 >/dev/null
\! $REDIS set goods:3 "$($REDIS get goods:3 | sed s/30/31/)" px 60000 >/dev/null
\! $REDIS del goods:4 >/dev/null; $REDIS hset goods:4 a b >/dev/null; $REDIS pexpire goods:4 60000 >/dev/null
\! $REDIS persist goods:5 >/dev/null
\! $REDIS pexpire goods:6 7200000 >/dev/null
-- nothing wrong with this one: it has not long to live
\! $REDIS pexpire goods:7 60000 >/dev/null
\! $REDIS srem tag:sort:even goods:8 >/dev/null
\! $REDIS srem tag:sort:odd goods:9 >/dev/null; $REDIS srem tag:goods goods:9 >/dev/null
-- orphans: no row, and a row that is not to be cached
\! $REDIS set goods:99 x >/dev/null; $REDIS set goods:21 x px 60000 >/dev/null
-- not of this table: not an integer, or not as integers are written
\! $REDIS mset goods:page:1 x goods:007 x goods: x goods:9999999999 x 'goods:1 ' x goodsx:1 x >/dev/null
SELECT kind, key, partition, tid, regexp_replace(detail, 'in \d{7} ms', 'in ... ms') AS detail, repaired
FROM wtcache.verify('goods') ORDER BY 1, 2, 5;
SELECT * FROM wtcache.verify_summary('goods');
SELECT kind, count(*) FROM wtcache.verify('goods', orphans => false) GROUP BY 1 ORDER BY 1;
SELECT kind, key, repaired FROM wtcache.verify('goods', repair => true) ORDER BY 1, 2;
SELECT * FROM wtcache.verify('goods');
\! $REDIS mget goods:page:1 goods:007 goods: goods:9999999999
SELECT repaired, consistency FROM wtcache.verify_summary('goods', repair => true);
\! $REDIS del goods:1 >/dev/null
SELECT repaired, consistency, round(nines::numeric, 3) FROM wtcache.verify_summary('goods', repair => true);
-- nothing is repaired that would not follow the table
ALTER TABLE goods DISABLE TRIGGER wtcache_capture;
SELECT count(*) FROM wtcache.verify('goods');
SELECT count(*) FROM wtcache.verify('goods', repair => true);
\! $REDIS exists goods:1 goods:2
ALTER TABLE goods ENABLE TRIGGER wtcache_capture;
SELECT repaired, consistency FROM wtcache.verify_summary('goods', repair => true);
SELECT consistency, nines FROM wtcache.verify_summary('goods', sample => 100);
SELECT checked <= 20, differing FROM wtcache.verify_summary('goods', sample => 50);

-- what this transaction has changed is in flight; repair ends with it
\! $REDIS del goods:1 >/dev/null
BEGIN;
UPDATE goods SET price = 1 WHERE id = 2;
DELETE FROM goods WHERE id = 3;
SELECT kind, key FROM wtcache.verify('goods', timeout => '0') ORDER BY 1, 2;
SELECT kind, key, repaired FROM wtcache.verify('goods', repair => true, timeout => '0') ORDER BY 1, 2;
ROLLBACK;
\! $REDIS exists goods:1 goods:2 goods:3
SELECT kind, key, repaired FROM wtcache.verify('goods', repair => true);
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT count(*) FROM goods;
SELECT * FROM wtcache.verify('goods');
SELECT * FROM wtcache.verify('goods', repair => true);
ROLLBACK;

-- hashes; keys of several columns with what has to be encoded; partitions
CREATE TABLE pieces (shop text, n numeric, at timestamptz, note text, PRIMARY KEY (shop, n, at)) PARTITION BY HASH (shop);
CREATE TABLE pieces_0 PARTITION OF pieces FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE pieces_1 (note text, at timestamptz NOT NULL, n numeric NOT NULL, shop text NOT NULL);
ALTER TABLE pieces ATTACH PARTITION pieces_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT wtcache.attach('pieces', 'p[*]:{shop}/{n}/{at}:end', format => 'hash');
INSERT INTO pieces SELECT s, 1.50, '2026-01-02 03:04:05+06', 'note' FROM unnest('{a/b,c%d,"",e f}'::text[]) s;
INSERT INTO pieces VALUES ('plain', 2, '2026-01-01', NULL);
\! $REDIS --scan --pattern 'p\[\*\]*' | sort
SELECT * FROM wtcache.verify('pieces');
\! $REDIS hset 'p[*]:a%2Fb/1.50/2026-01-01 21:04:05+00:end' note other >/dev/null
\! $REDIS hset 'p[*]:plain/2/2026-01-01 08:00:00+00:end' more field >/dev/null
DELETE FROM pieces WHERE shop IN ('c%d', 'e f') RETURNING shop;
\! $REDIS hset 'p[*]:c%25d/1.50/2026-01-01 21:04:05+00:end' note note >/dev/null
\! $REDIS hset 'p[*]:c%25d/1.50/2026-01-01 22:04:05+01:end' note note >/dev/null
\! $REDIS hset 'p[*]:/1.5/2026-01-01 21:04:05+00:end' note note >/dev/null
\! $REDIS hset 'p[*]:x/1.5/infinity:en' note note >/dev/null
SELECT kind, key, partition, detail FROM wtcache.verify('pieces') ORDER BY 1, 2;
SELECT kind, count(*) FROM wtcache.verify('pieces_1') GROUP BY 1;
SELECT kind, count(*) FROM wtcache.verify('pieces', repair => true) GROUP BY 1 ORDER BY 1;
SELECT * FROM wtcache.verify('pieces');

-- keys that no row can have: encoded in another way than the template does
CREATE TABLE coded (a text, b text, PRIMARY KEY (a, b));
SELECT wtcache.attach('coded', 'coded:{a}→{b}');
INSERT INTO coded VALUES ('x', 'y'), ('', '%2f'), ('→', '*'), ('?[a]', '\');
\! $REDIS --scan --pattern 'coded:*' | LC_ALL=C sort
\! $REDIS mset 'coded:%41→y' x 'coded:x%2f→y' x 'coded:x%00→y' x 'coded:x%→y' x 'coded:x→y→z' x >/dev/null
-- but these
\! $REDIS mset 'coded:x%25→y' x 'coded:%E2%86%92→y' x >/dev/null
\pset format unaligned
SELECT kind, key FROM wtcache.verify('coded', repair => true) ORDER BY key COLLATE "C";
\pset format aligned
\! $REDIS --scan --pattern 'coded:*' | LC_ALL=C sort
TRUNCATE coded;
DROP TABLE coded;
\! $REDIS del 'coded:%41→y' 'coded:x%2f→y' 'coded:x%00→y' 'coded:x%→y' 'coded:x→y→z' >/dev/null

-- what a column's modifier does to a value; columns without equality
CREATE TABLE typed (c char(5), n numeric(5,2), j json, p point, PRIMARY KEY (c, n));
SELECT wtcache.attach('typed', 'typed:{c}:{n}:{j}/{p}');
INSERT INTO typed VALUES ('ab', 1, '1', '(1,2)');
\! $REDIS --scan --pattern 'typed:*'
\! $REDIS mset 'typed:ab:1.00:1/(1,2)' x 'typed:ab   :1:1/(1,2)' x 'typed:abcdef:1.00:1/(1,2)' x 'typed:ab   :1000.00:1/(1,2)' x 'typed:ab   :1.00:{/(1,2)' x >/dev/null
-- but these
\! $REDIS mset 'typed:cd   :1.00:1/(1,2)' x 'typed:ab   :1.00:2/(1,2)' x >/dev/null
SELECT kind, key FROM wtcache.verify('typed', repair => true) ORDER BY key COLLATE "C";
\! $REDIS --scan --pattern 'typed:*' | LC_ALL=C sort
TRUNCATE typed;
DROP TABLE typed;
\! $REDIS del 'typed:ab:1.00:1/(1,2)' 'typed:ab   :1:1/(1,2)' 'typed:abcdef:1.00:1/(1,2)' 'typed:ab   :1000.00:1/(1,2)' 'typed:ab   :1.00:{/(1,2)' >/dev/null

-- arguments
SELECT wtcache.verify(NULL);
SELECT wtcache.verify('goods', repair => NULL);
SELECT wtcache.verify('goods', sample => 0);
SELECT wtcache.verify('goods', sample => 101);
SELECT wtcache.verify('goods', sample => 'nan');
SELECT wtcache.verify('goods', timeout => '-1s');
SET wtcache.enabled = off;
SELECT wtcache.verify('goods');
RESET wtcache.enabled;

-- privileges
CREATE ROLE regress_verify_owner;
CREATE ROLE regress_verify_reader;
GRANT CREATE ON SCHEMA public TO regress_verify_owner;
ALTER TABLE goods OWNER TO regress_verify_owner;
SET ROLE regress_verify_reader;
SELECT wtcache.verify('goods');
RESET ROLE;
GRANT EXECUTE ON FUNCTION wtcache.verify(regclass, boolean, double precision, boolean, interval),
    wtcache.verify_summary(regclass, boolean, double precision, boolean, interval)
TO regress_verify_owner, regress_verify_reader;
SET ROLE regress_verify_reader;
SELECT wtcache.verify('goods');
SELECT wtcache.verify_summary('goods');
RESET ROLE;
GRANT SELECT ON goods TO regress_verify_reader;
SET ROLE regress_verify_reader;
SELECT wtcache.verify('goods');
SELECT wtcache.verify('goods', repair => true);
SET ROLE regress_verify_owner;
ALTER TABLE goods ENABLE ROW LEVEL SECURITY;
\! $REDIS del goods:1 >/dev/null
SELECT kind, key, repaired FROM wtcache.verify('goods', repair => true);
SET ROLE regress_verify_reader;
SELECT wtcache.verify('goods');
RESET ROLE;
TRUNCATE goods, pieces;
DROP TABLE goods, pieces;
\! $REDIS del goods:page:1 goods:007 goods: goods:9999999999 'goods:1 ' goodsx:1 >/dev/null
\! $REDIS del 'p[*]:c%25d/1.50/2026-01-01 22:04:05+01:end' 'p[*]:x/1.5/infinity:en' >/dev/null
REVOKE ALL ON FUNCTION wtcache.verify(regclass, boolean, double precision, boolean, interval),
    wtcache.verify_summary(regclass, boolean, double precision, boolean, interval)
FROM regress_verify_owner, regress_verify_reader;
REVOKE CREATE ON SCHEMA public FROM regress_verify_owner;
DROP ROLE regress_verify_owner, regress_verify_reader;
