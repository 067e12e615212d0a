-- Capture and other triggers on the same table, which may change the row again
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TABLE tg (id int PRIMARY KEY, v text, tag text);
SELECT wtcache.attach('tg', tags => '{"tg:{tag}"}', condition => $$v <> 'hide'$$);

-- A BEFORE trigger changes the row that is written, or suppresses it.
CREATE FUNCTION tg_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.v = 'skip' THEN RETURN NULL; END IF;
    IF NEW.v = 'key' THEN NEW.id := NEW.id + 100; END IF;
    NEW.v := NEW.v || '!';
    RETURN NEW;
END $$;
CREATE TRIGGER a_before BEFORE INSERT OR UPDATE ON tg FOR EACH ROW EXECUTE FUNCTION tg_before();
INSERT INTO tg VALUES (1, 'one', 'x'), (2, 'skip', 'x'), (3, 'key', 'x');
\! $REDIS get tg:1
\! $REDIS exists tg:2 tg:3
\! $REDIS get tg:103
UPDATE tg SET v = 'key' WHERE id = 1;
\! $REDIS get tg:1
\! $REDIS get tg:101
\! $REDIS smembers tag:tg:x | LC_ALL=C sort
DROP TRIGGER a_before ON tg;
TRUNCATE tg;

-- An AFTER trigger that runs before ours (by name) or after it, and does
-- something more to the row: tells itself by the text what to do.
CREATE FUNCTION tg_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE split_part(NEW.v, ' ', 1)
        WHEN 'again' THEN
            UPDATE tg SET v = 'done by trigger', tag = 'second' WHERE id = NEW.id;
        WHEN 'thrice' THEN
            UPDATE tg SET v = 'again ' || v WHERE id = NEW.id;
        WHEN 'delete' THEN
            DELETE FROM tg WHERE id = NEW.id;
        WHEN 'rename' THEN
            UPDATE tg SET id = id + 1000, v = 'renamed' WHERE id = NEW.id;
        WHEN 'hidden' THEN
            UPDATE tg SET v = 'hide' WHERE id = NEW.id;
        WHEN 'replace' THEN
            DELETE FROM tg WHERE id = NEW.id;
            INSERT INTO tg VALUES (NEW.id, 'replacement', 'second');
        WHEN 'failing' THEN
            BEGIN
                UPDATE tg SET v = 'never' WHERE id = NEW.id;
                RAISE division_by_zero;
            EXCEPTION WHEN division_by_zero THEN NULL;
            END;
        WHEN 'faildelete' THEN
            BEGIN
                DELETE FROM tg WHERE id = NEW.id;
                RAISE division_by_zero;
            EXCEPTION WHEN division_by_zero THEN NULL;
            END;
        WHEN 'nested' THEN
            BEGIN
                UPDATE tg SET v = 'done in a block', tag = 'second' WHERE id = NEW.id;
                BEGIN
                    DELETE FROM tg WHERE id = NEW.id;
                    RAISE division_by_zero;
                EXCEPTION WHEN division_by_zero THEN NULL;
                END;
            END;
        ELSE NULL;
    END CASE;
    RETURN NULL;
END $$;

-- What the table and the cache hold, side by side.
CREATE FUNCTION tg_compare(OUT id int, OUT in_table text, OUT in_cache text, OUT same boolean)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT k, row_to_json(tg)::text, wtcache.get('tg:' || k)::text,
           CASE WHEN tg.v = 'hide' THEN NULL ELSE row_to_json(tg)::jsonb END
           IS NOT DISTINCT FROM wtcache.get('tg:' || k)
      FROM (SELECT generate_series(1, 10) UNION ALL SELECT generate_series(1001, 1010)) AS s(k)
      LEFT JOIN tg ON tg.id = k
     WHERE tg.id IS NOT NULL OR wtcache.get('tg:' || k) IS NOT NULL
     ORDER BY k
$$;
CREATE FUNCTION tg_insert() RETURNS void LANGUAGE sql AS $$
    INSERT INTO tg SELECT i, (array['again', 'thrice', 'delete', 'rename', 'hidden',
                                    'replace', 'failing', 'faildelete', 'nested', 'plain'])[i], 'first'
      FROM generate_series(1, 10) i
$$;
CREATE FUNCTION tg_update() RETURNS void LANGUAGE sql AS $$
    UPDATE tg SET v = (array['again', 'thrice', 'delete', 'rename', 'hidden',
                             'replace', 'failing', 'faildelete', 'nested', 'plain'])[id]
     WHERE id <= 10
$$;

-- Before ours: nested changes reach the capture first.
CREATE TRIGGER a_after AFTER INSERT OR UPDATE ON tg FOR EACH ROW EXECUTE FUNCTION tg_after();
SELECT tg_insert();
SELECT * FROM tg_compare();
\! $REDIS smembers tag:tg:first | LC_ALL=C sort
\! $REDIS smembers tag:tg:second | LC_ALL=C sort
-- the same by UPDATE, of rows that are in the cache
ALTER TABLE tg DISABLE TRIGGER a_after;
TRUNCATE tg;
INSERT INTO tg SELECT i, 'begin', 'first' FROM generate_series(1, 10) i;
ALTER TABLE tg ENABLE TRIGGER a_after;
SELECT tg_update();
SELECT * FROM tg_compare();
\! $REDIS smembers tag:tg:first | LC_ALL=C sort
\! $REDIS smembers tag:tg:second | LC_ALL=C sort
-- the same with both in one transaction: a pending image is superseded
ALTER TABLE tg DISABLE TRIGGER a_after;
TRUNCATE tg;
ALTER TABLE tg ENABLE TRIGGER a_after;
BEGIN;
INSERT INTO tg SELECT i, 'begin', 'first' FROM generate_series(1, 10) i;
SELECT tg_update();
COMMIT;
SELECT * FROM tg_compare();
\! $REDIS smembers tag:tg:first | LC_ALL=C sort
\! $REDIS smembers tag:tg:second | LC_ALL=C sort
-- and again with a savepoint between
ALTER TABLE tg DISABLE TRIGGER a_after;
TRUNCATE tg;
ALTER TABLE tg ENABLE TRIGGER a_after;
BEGIN;
INSERT INTO tg SELECT i, 'begin', 'first' FROM generate_series(1, 10) i;
SAVEPOINT s;
SELECT tg_update();
RELEASE s;
SAVEPOINT s;
UPDATE tg SET v = 'delete' WHERE id IN (7, 8, 10);
ROLLBACK TO s;
COMMIT;
SELECT * FROM tg_compare();

-- After ours.
DROP TRIGGER a_after ON tg;
TRUNCATE tg;
CREATE TRIGGER z_after AFTER INSERT OR UPDATE ON tg FOR EACH ROW EXECUTE FUNCTION tg_after();
SELECT tg_insert();
SELECT * FROM tg_compare();
ALTER TABLE tg DISABLE TRIGGER z_after;
TRUNCATE tg;
INSERT INTO tg SELECT i, 'begin', 'first' FROM generate_series(1, 10) i;
ALTER TABLE tg ENABLE TRIGGER z_after;
SELECT tg_update();
SELECT * FROM tg_compare();
DROP TRIGGER z_after ON tg;
TRUNCATE tg;

-- A deferred constraint trigger changes the row at commit.
CREATE CONSTRAINT TRIGGER a_deferred AFTER INSERT OR UPDATE ON tg
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tg_after();
BEGIN;
SELECT tg_insert();
COMMIT;
SELECT * FROM tg_compare();
BEGIN;
UPDATE tg SET v = 'delete' WHERE id = 1;
UPDATE tg SET v = 'plain' WHERE id = 10;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT wtcache.get('tg:1') IS NULL AS gone;
COMMIT;
SELECT * FROM tg_compare() WHERE tg_compare.id IN (1, 10);
-- and fails there
CREATE FUNCTION tg_fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused at commit'; END $$;
CREATE CONSTRAINT TRIGGER b_deferred AFTER UPDATE ON tg
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tg_fail();
UPDATE tg SET v = 'refused' WHERE id = 10;
SELECT * FROM tg_compare() WHERE tg_compare.id = 10;
DROP TRIGGER a_deferred ON tg;
DROP TRIGGER b_deferred ON tg;

-- A function that a statement calls changes other rows, and the same ones.
TRUNCATE tg;
CREATE FUNCTION tg_side(i int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tg SET v = 'side' WHERE id = i;
    RETURN 'statement';
END $$;
INSERT INTO tg SELECT i, 'begin', 'first' FROM generate_series(1, 4) i;
UPDATE tg SET v = tg_side(id + 1) WHERE id = 1;
UPDATE tg SET v = tg_side(id) WHERE id = 3;
SELECT * FROM tg_compare();

DROP TABLE tg;
DROP FUNCTION tg_before, tg_after, tg_compare, tg_insert, tg_update, tg_fail, tg_side;
