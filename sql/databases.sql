-- several databases of one server, one Redis
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SELECT current_database() AS before \gset
ALTER DATABASE :before SET wtcache.key_prefix = 'before:';
CREATE ROLE regress_wtc_owner;
CREATE DATABASE regress_wtc_prod TEMPLATE template0 OWNER regress_wtc_owner;

-- the first one that attaches has the keys without prefix, whoever attaches
\c regress_wtc_prod
CREATE EXTENSION wtcache;
GRANT EXECUTE ON FUNCTION wtcache.attach TO regress_wtc_owner;
GRANT CREATE ON SCHEMA public TO regress_wtc_owner;
SELECT setconfig FROM pg_db_role_setting d JOIN pg_database ON oid = setdatabase WHERE datname = current_database();
SET ROLE regress_wtc_owner;
CREATE TABLE orders (id int PRIMARY KEY, v text);
SELECT wtcache.attach('orders');
RESET ROLE;
SELECT setconfig FROM pg_db_role_setting d JOIN pg_database ON oid = setdatabase WHERE datname = current_database();
INSERT INTO orders VALUES (1, 'prod'), (2, 'prod');
\! $REDIS mget orders:1 orders:2

-- a copy has not
\c :before
CREATE DATABASE regress_wtc_staging TEMPLATE regress_wtc_prod;
\c regress_wtc_staging
UPDATE orders SET v = 'staging';
DELETE FROM orders WHERE id = 2;
SELECT wtcache.set('orders:1', '"staging"'), wtcache.delete('orders:2');
\! $REDIS mget orders:1 orders:2
SELECT wtcache.get('orders:1');
SELECT wtcache.verify('orders', repair => true);
CALL wtcache.warm('orders');
SELECT wtcache.clear('orders');
SELECT wtcache.attach('orders', ttl => '1 hour', replace => true);
SELECT wtcache.alter('orders', ttl => '1 hour');
SELECT advice ~ 'those of database "regress_wtc_prod", so nothing of database "regress_wtc_staging" is pushed' AS advised FROM wtcache.status;
SELECT other_database > 0 AS counted FROM wtcache.stat;
TRUNCATE orders;
\! $REDIS mget orders:1 orders:2
-- nor can it be given them
ALTER DATABASE regress_wtc_staging SET wtcache.key_prefix = '';
ALTER DATABASE regress_wtc_staging SET wtcache.key_prefix FROM CURRENT;
INSERT INTO orders VALUES (3, 'staging');
\! $REDIS exists orders:3
-- it may have a prefix of its own
ALTER DATABASE regress_wtc_staging SET wtcache.key_prefix = 'staging:';
\c
INSERT INTO orders VALUES (1, 'staging');
\! $REDIS mget orders:1 orders:2 staging:orders:1
SELECT kind FROM wtcache.verify('orders', repair => true);
SELECT advice ~ 'those of database' AS advised FROM wtcache.status;
ALTER DATABASE regress_wtc_prod SET wtcache.key_prefix = 'staging:';
\c regress_wtc_prod
SELECT kind FROM wtcache.verify('orders');
-- no key of another database is written or deleted under a shorter prefix
CREATE TABLE words (w text PRIMARY KEY);
SELECT wtcache.attach('words', key => 'staging:{w}');
DELETE FROM orders;
SELECT wtcache.attach('words', key => '{w}') FROM wtcache.detach('orders');
INSERT INTO words VALUES ('staging:orders:1'), ('staged');
\! $REDIS mget staging:orders:1 staged
DELETE FROM words;
SELECT kind, key FROM wtcache.verify('words', repair => true) WHERE key LIKE 'staging:%';
SELECT wtcache.set('staging:orders:1', '"prod"');
SELECT wtcache.delete('staging:orders:1');
SELECT wtcache.set('staging:tag:x', '"prod"');
SELECT wtcache.get('staging:orders:1');
\! $REDIS mget staging:orders:1 staged
-- which holds at once when a prefix is set
INSERT INTO words VALUES ('more:orders:1');
ALTER DATABASE regress_wtc_staging SET wtcache.key_prefix = 'more:';
DELETE FROM words;
\! $REDIS exists more:orders:1
ALTER DATABASE regress_wtc_staging SET wtcache.key_prefix = 'staging:';
DROP TABLE words;
SELECT wtcache.attach('orders');
INSERT INTO orders VALUES (1, 'prod');
-- or those of the other one, when that has given them up
\c regress_wtc_staging
ALTER DATABASE regress_wtc_staging RESET wtcache.key_prefix;
\c
DELETE FROM orders WHERE id = 3;
ALTER DATABASE regress_wtc_prod SET wtcache.key_prefix = 'prod:';
INSERT INTO orders VALUES (4, 'staging');
\! $REDIS get orders:4
SELECT wtcache.attach('orders', replace => true);
\c regress_wtc_prod
SHOW wtcache.key_prefix;
INSERT INTO orders VALUES (4, 'prod');
\! $REDIS mget orders:4 prod:orders:4
ALTER DATABASE regress_wtc_prod RESET ALL;
\c
INSERT INTO orders VALUES (5, 'prod');
\! $REDIS exists orders:5
-- a database that is dropped has none any more
\c :before
DROP DATABASE regress_wtc_staging;
\c regress_wtc_prod
INSERT INTO orders VALUES (6, 'prod');
\! $REDIS get orders:6

\c :before
DROP DATABASE regress_wtc_prod;
DROP ROLE regress_wtc_owner;
ALTER DATABASE :before RESET wtcache.key_prefix;
