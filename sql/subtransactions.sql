-- Savepoints and PL/pgSQL exception blocks
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE sx (id int PRIMARY KEY, v text);
SELECT wtcache.attach('sx', tags => '{"sx:{v}"}');
CREATE FUNCTION sx_differences() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM generate_series(0, 2100) k LEFT JOIN sx ON sx.id = k
     WHERE row_to_json(sx)::jsonb IS DISTINCT FROM wtcache.get('sx:' || k) $$;

-- savepoints: kept, rolled back, again, of the same name
BEGIN;
INSERT INTO sx VALUES (1, 'outer'), (2, 'outer'), (3, 'outer');
SAVEPOINT a;
UPDATE sx SET v = 'a' WHERE id = 1;
DELETE FROM sx WHERE id = 2;
SAVEPOINT b;
UPDATE sx SET v = 'b' WHERE id = 1;
INSERT INTO sx VALUES (2, 'b'), (4, 'b');
ROLLBACK TO b;
UPDATE sx SET v = 'b2' WHERE id = 3;
SAVEPOINT b;
UPDATE sx SET v = 'b3' WHERE id = 3;
RELEASE b;
ROLLBACK TO b;
INSERT INTO sx VALUES (5, 'last');
COMMIT;
SELECT * FROM sx ORDER BY id;
\! $REDIS mget sx:1 sx:3 sx:5
\! $REDIS exists sx:2 sx:4
\! $REDIS --scan --pattern 'tag:sx:*' | LC_ALL=C sort
-- all that was done is rolled back: there is no push
SELECT pushes_ok, rollbacks, discarded FROM wtcache.stat \gset m_
BEGIN;
SAVEPOINT a;
UPDATE sx SET v = 'never';
ROLLBACK TO a;
COMMIT;
SELECT pushes_ok - :m_pushes_ok AS pushes, rollbacks - :m_rollbacks AS rollbacks, discarded - :m_discarded AS discarded FROM wtcache.stat;
-- an error in a statement with ON_ERROR_ROLLBACK
\set ON_ERROR_ROLLBACK on
BEGIN;
UPDATE sx SET v = 'kept' WHERE id = 1;
UPDATE sx SET v = 'lost', id = 1 / (id - 3);
UPDATE sx SET v = 'kept' WHERE id = 3;
COMMIT;
\set ON_ERROR_ROLLBACK off
\! $REDIS mget sx:1 sx:3 sx:5

-- exception blocks: 1,000 deep, every third of which fails
CREATE FUNCTION sx_deep(depth int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sx VALUES (1000 + depth, 'deep');
    UPDATE sx SET v = 'depth ' || depth WHERE id = 1000 + depth OR id = 1 AND depth % 25 = 1;
    IF depth < 1000 THEN PERFORM sx_deep(depth + 1); END IF;
    IF depth % 3 = 0 THEN RAISE division_by_zero; END IF;
EXCEPTION WHEN division_by_zero THEN
    UPDATE sx SET v = 'caught ' || depth WHERE id = 1 AND depth < 30;
END $$;
SET max_stack_depth = '7MB';
SELECT sx_deep(1);
SELECT count(*), min(id), max(id) FROM sx WHERE id > 1000;
SELECT v FROM sx WHERE id = 1;
SELECT sx_differences();
-- all of them fail but the outermost, and none
TRUNCATE sx;
CREATE FUNCTION sx_deep2(depth int, fails int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sx VALUES (depth, 'row');
    UPDATE sx SET v = 'depth ' || depth WHERE id = 1 AND depth % 25 = 1;
    IF depth < 1000 THEN
        BEGIN
            PERFORM sx_deep2(depth + 1, fails);
            IF depth < fails THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END IF;
END $$;
SELECT sx_deep2(1, 1000);
\! $REDIS get sx:1
SELECT count(*), sx_differences() FROM sx;
TRUNCATE sx;
SELECT sx_deep2(1, 0);
\! $REDIS get sx:1
SELECT count(*), sx_differences() FROM sx;
-- the middle one
TRUNCATE sx;
DO $$
BEGIN
    PERFORM sx_deep2(500, 0);
    BEGIN
        UPDATE sx SET v = 'gone' WHERE id > 600;
        PERFORM sx_deep2(400, 401);
    EXCEPTION WHEN unique_violation THEN
        UPDATE sx SET v = 'caught' WHERE id = 700;
    END;
END $$;
SELECT count(*), count(*) FILTER (WHERE v = 'gone') AS gone, sx_differences() FROM sx;
-- one after the other, each with its own subtransaction
TRUNCATE sx;
DO $$
BEGIN
    FOR i IN 1 .. 2000 LOOP
        BEGIN
            INSERT INTO sx VALUES (i, 'loop');
            UPDATE sx SET v = 'touched' WHERE id = i / 2;
            IF i % 7 = 0 THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END $$;
SELECT count(*), count(*) FILTER (WHERE v = 'touched') AS touched, sx_differences() FROM sx;

-- a rolled-back subtransaction frees what it held of the memory limit
SELECT wtcache.attach('sx', replace => true);
UPDATE sx SET id = id;
SET wtcache.batch_memory = '64kB';
SELECT spilled FROM wtcache.stat \gset m_
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        BEGIN
            UPDATE sx SET v = repeat('x', 10000) WHERE id = 1;
            RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
    UPDATE sx SET v = repeat('y', 20000) WHERE id = 1;
END $$;
SELECT spilled - :m_spilled AS spilled, sx_differences() FROM wtcache.stat;
RESET wtcache.batch_memory;

DROP TABLE sx;
DROP FUNCTION sx_differences, sx_deep, sx_deep2;
