-- Transactions: one push each, whatever is in it and however it is committed
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE tx (id int PRIMARY KEY, v text);
CREATE TABLE tx_order (id int PRIMARY KEY, total int);
CREATE TABLE tx_item (order_id int REFERENCES tx_order ON DELETE CASCADE, n int, what text, PRIMARY KEY (order_id, n));
CREATE TABLE tx_stock (what text PRIMARY KEY, n int CHECK (n >= 0));
SELECT wtcache.attach(t) FROM unnest('{tx,tx_order,tx_item,tx_stock}'::regclass[]) t;
-- what has been counted since the last time
\set mark 'SELECT pushes_ok, pushes_failed, sets, deletes, invalidations, rollbacks, discarded FROM wtcache.stat \\gset m_'
\set counted 'SELECT pushes_ok - :m_pushes_ok AS pushes, pushes_failed - :m_pushes_failed AS failed, sets - :m_sets AS sets, deletes - :m_deletes AS deletes, invalidations - :m_invalidations AS invalidations, rollbacks - :m_rollbacks AS rollbacks, discarded - :m_discarded AS discarded FROM wtcache.stat;'

-- several tables and explicit operations
INSERT INTO tx_stock VALUES ('bolt', 100), ('nut', 5);
:mark
BEGIN;
INSERT INTO tx_order VALUES (1, 30);
INSERT INTO tx_item VALUES (1, 1, 'bolt'), (1, 2, 'nut');
UPDATE tx_stock SET n = n - 3;
SELECT wtcache.invalidate_tags('tx:orders');
SELECT wtcache.set('tx:note', '"x"');
\! $REDIS exists tx_order:1 tx_item:1:1
\! $REDIS get tx_stock:nut
COMMIT;
:counted
\! $REDIS mget tx_order:1 tx_item:1:1 tx_item:1:2 tx_stock:bolt tx_stock:nut tx:note
-- ROLLBACK, an error, an error at commit: nothing
:mark
BEGIN;
INSERT INTO tx_order VALUES (2, 30);
UPDATE tx_stock SET n = 0;
SELECT wtcache.delete('tx:note');
ROLLBACK;
INSERT INTO tx_item VALUES (1, 3, 'never'), (9, 1, 'no such order');
UPDATE tx_stock SET n = n - 3;
BEGIN;
INSERT INTO tx_order VALUES (3, 30);
SELECT 1 / 0;
COMMIT;
:counted
\! $REDIS exists tx_order:2 tx_order:3 tx_item:1:3
\! $REDIS mget tx_stock:bolt tx_stock:nut tx:note
-- a transaction that does nothing to the cache pushes nothing
:mark
BEGIN;
SELECT count(*) FROM tx;
CREATE TABLE tx_other (id int);
INSERT INTO tx_other VALUES (1);
COMMIT;
SELECT wtcache.get('tx:note');
UPDATE tx_stock SET n = 0 WHERE false;
:counted

-- COMMIT AND CHAIN, ROLLBACK AND CHAIN
:mark
BEGIN;
INSERT INTO tx VALUES (1, 'first');
COMMIT AND CHAIN;
\! $REDIS get tx:1
INSERT INTO tx VALUES (2, 'second');
ROLLBACK AND CHAIN;
INSERT INTO tx VALUES (3, 'third');
COMMIT;
:counted
\! $REDIS mget tx:1 tx:3
\! $REDIS exists tx:2

-- several statements in one query are one transaction
:mark
INSERT INTO tx VALUES (4, 'a')\; UPDATE tx SET v = 'b' WHERE id = 4\; INSERT INTO tx VALUES (5, 'c');
INSERT INTO tx VALUES (6, 'a')\; INSERT INTO tx VALUES (4, 'duplicate');
INSERT INTO tx VALUES (7, 'a')\; COMMIT\; INSERT INTO tx VALUES (8, 'b')\; ROLLBACK;
:counted
\! $REDIS mget tx:4 tx:5 tx:7
\! $REDIS exists tx:6 tx:8

-- procedures and DO blocks that commit and roll back
CREATE PROCEDURE tx_proc(first int, n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first .. first + n - 1 LOOP
        INSERT INTO tx VALUES (i, 'proc');
        IF i % 3 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
    INSERT INTO tx VALUES (first + n, 'the rest');
END $$;
:mark
CALL tx_proc(10, 6);
:counted
\! $REDIS mget tx:10 tx:11 tx:13 tx:14 tx:16
\! $REDIS exists tx:12 tx:15
:mark
DO $$
BEGIN
    INSERT INTO tx VALUES (20, 'do');
    COMMIT;
    ASSERT wtcache.get('tx:20') ->> 'v' = 'do', 'not there after COMMIT';
    UPDATE tx SET v = 'do again' WHERE id = 20;
    ASSERT wtcache.get('tx:20') ->> 'v' = 'do again', 'pending change not seen';
    ROLLBACK;
    ASSERT wtcache.get('tx:20') ->> 'v' = 'do', 'still there after ROLLBACK';
    COMMIT AND CHAIN;
    INSERT INTO tx VALUES (21, 'do');
END $$;
:counted
\! $REDIS mget tx:20 tx:21
-- which ends in an error: what was committed is there
DO $$
BEGIN
    FOR i IN 22 .. 24 LOOP
        INSERT INTO tx VALUES (i, 'do');
        IF i = 24 THEN RAISE division_by_zero; END IF;
        COMMIT;
    END LOOP;
END $$;
\! $REDIS mget tx:22 tx:23
\! $REDIS exists tx:24
-- in a loop over a query, whose portal is held over the commit
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM tx WHERE id IN (22, 23) ORDER BY id LOOP
        UPDATE tx SET v = 'held' WHERE id = r.id;
        COMMIT;
    END LOOP;
END $$;
\! $REDIS mget tx:22 tx:23

-- a cursor WITH HOLD runs its query at COMMIT, which may change rows
CREATE FUNCTION tx_write(i int) RETURNS text LANGUAGE sql AS $$
    INSERT INTO tx VALUES (i, 'by a cursor') RETURNING v $$;
:mark
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT tx_write(i) FROM generate_series(30, 32) i;
COMMIT;
:counted
\! $REDIS mget tx:30 tx:31 tx:32
FETCH ALL FROM c;
UPDATE tx SET v = 'while held' WHERE id = 30;
\! $REDIS get tx:30
CLOSE c;

-- every isolation level; a serialization failure at COMMIT is like any other
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE tx SET v = 'serializable' WHERE id = 30;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE tx SET v = 'repeatable read' WHERE id = 31;
COMMIT;
\! $REDIS mget tx:30 tx:31
-- asynchronous commit does not exist for what is cached
SET synchronous_commit = off;
BEGIN;
UPDATE tx SET v = 'flushed' WHERE id = 30;
SELECT pg_current_wal_insert_lsn() AS lsn \gset
COMMIT;
SELECT pg_current_wal_flush_lsn() > :'lsn' AS flushed;
RESET synchronous_commit;
\! $REDIS get tx:30
-- NOTIFY, temporary tables and large objects in the same transaction
BEGIN;
CREATE TEMPORARY TABLE tx_temp (id int) ON COMMIT DROP;
INSERT INTO tx_temp VALUES (1);
UPDATE tx SET v = 'notified' WHERE id = 31;
NOTIFY tx_channel;
SELECT lo_unlink(lo_create(0)) AS lo;
COMMIT;
\! $REDIS get tx:31

DROP TABLE tx, tx_other, tx_item, tx_order, tx_stock;
DROP PROCEDURE tx_proc;
DROP FUNCTION tx_write;
