-- wtcache.token(), wtcache.reached() on a primary; on a standby: test/t/163_reached.pl
CREATE TABLE re (id int PRIMARY KEY, v text);
SELECT wtcache.attach('re');
SET statement_timeout = '1min';

-- system, timeline, position: the end of WAL, which is flushed
SELECT wtcache.token() ~ '^[1-9][0-9]*-1-[1-9][0-9]*$' AS shape;
SET synchronous_commit = off;
CREATE TABLE re_unflushed AS SELECT 1;
RESET synchronous_commit;
SELECT pg_current_wal_insert_lsn() AS before, wtcache.token() AS token \gset
SELECT split_part(:'token', '-', 1)::numeric = system_identifier AS system FROM pg_control_system();
SELECT split_part(:'token', '-', 3)::numeric - (:'before'::pg_lsn - '0/0') BETWEEN 0 AND 1000000 AS position,
       pg_current_wal_flush_lsn() - '0/0' >= split_part(:'token', '-', 3)::numeric AS flushed;
DROP TABLE re_unflushed;

-- after COMMIT
INSERT INTO re VALUES (1, 'one') RETURNING wtcache.token();
SELECT count(*) FROM re;
BEGIN;
SELECT wtcache.token() IS NOT NULL AS nothing_written;
INSERT INTO re VALUES (1, 'one');
SELECT wtcache.token();
ROLLBACK;
BEGIN;
SELECT wtcache.set('re:key', 'value'::text);
SELECT wtcache.token();
ROLLBACK;
BEGIN;
SAVEPOINT a;
INSERT INTO re VALUES (1, 'one');
ROLLBACK TO a;
SELECT wtcache.token();
ROLLBACK;
CREATE TEMP TABLE re_tokens (token text);
DO $$ DECLARE t text; BEGIN
    INSERT INTO re VALUES (2, 'two');
    COMMIT;
    t := wtcache.token();
    INSERT INTO re_tokens VALUES (t);
END $$;
SELECT wtcache.reached(token) FROM re_tokens;

-- a primary has what it has committed, and waits for nothing
SELECT wtcache.reached(:'token'), wtcache.reached(:'token', '1 day');
SELECT split_part(:'token', '-', 1) AS system, split_part(:'token', '-', 3) AS position \gset
SELECT wtcache.reached(:'system' || '-1-' || 1::text) AS earlier,
       wtcache.reached(:'system' || '-1-' || (:'position'::numeric + 10 ^ 15)::bigint, '1 day') AS ahead,
       wtcache.reached(:'system' || '-1-18446744073709551615', '1 day') AS last,
       wtcache.reached(:'system' || '-2-' || :'position', '1 day') AS timeline,
       wtcache.reached(:'system' || '-4294967295-' || :'position', '1 day') AS last_timeline,
       wtcache.reached('1-1-' || :'position', '1 day') AS system,
       wtcache.reached('18446744073709551615-1-' || :'position', '1 day') AS last_system;
SELECT wtcache.reached(NULL) IS NULL AS no_token, wtcache.reached(:'token', NULL) IS NULL AS no_timeout;

-- what is none
DO $$ DECLARE t text; BEGIN
    FOREACH t IN ARRAY '{"",-,--,1,1-1,1-1-,1--1,-1-1,1-1-1-,1-1-1-1,0-1-1,1-0-1,1-1-0,01-1-1,1-01-1,1-1-01,+1-1-1,1- 1-1,
        " 1-1-1","1-1-1 ","1-1-1\n",1-1-0x1,1-1-1e3,1-1-a,1.1.1,1-4294967296-1,1-1-18446744073709551616,
        18446744073709551616-1-1,1-1-99999999999999999999999999,0/16B3748}'::text[] LOOP
        BEGIN
            PERFORM wtcache.reached(t);
            RAISE WARNING 'taken: "%"', t;
        EXCEPTION WHEN invalid_parameter_value THEN NULL;
        END;
    END LOOP;
END $$;
SELECT wtcache.reached('1-1-x');
SELECT wtcache.reached(:'token', '-1 ms');

-- a transaction with a snapshot of its own does not see what is reached later
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wtcache.reached(:'token');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT wtcache.reached(:'token');
ROLLBACK;
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT wtcache.reached(:'token');
ROLLBACK;
SET default_transaction_isolation = 'repeatable read';
SELECT wtcache.reached(:'token');
RESET default_transaction_isolation;

-- anybody may
CREATE ROLE regress_wtc_reader;
SET ROLE regress_wtc_reader;
SELECT wtcache.reached(wtcache.token());
RESET ROLE;
DROP ROLE regress_wtc_reader;

DROP TABLE re;
