-- alter() changes what is given, definition() gives the statement that attaches
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
\x on
CREATE TABLE al (id int PRIMARY KEY, email text, password text, grp text);
INSERT INTO al VALUES (1, 'a@b', 'secret', 'g');
SELECT wtcache.attach('al', columns => '{id,email}', tags => '{"al:{grp}"}');

-- one by one; the rest stays
SELECT wtcache.alter('al', ttl => '2 hours');
TABLE wtcache.attachments;
UPDATE al SET grp = 'h';
\! $REDIS get al:1
\! $REDIS eval "local t = redis.call('PTTL', 'al:1') return t > 6470000 and t <= 7200000" 0
-- keys stay unless what is stored under them changes
SELECT wtcache.alter('al', ttl => '3 hours', invalidates => '{"list:{grp}"}', always => true);
\! $REDIS exists al:1
SELECT wtcache.alter('al', tags => '{}');
\! $REDIS exists al:1
SELECT wtcache.alter('al', key => 'person:{id}', columns => '{email}', condition => $$email <> ''$$, format => 'hash');
TABLE wtcache.attachments;
UPDATE al SET grp = 'i';
\! $REDIS hgetall person:1
-- nothing given, nothing changed
SELECT wtcache.alter('al');
SELECT definition FROM wtcache.attachments;
-- back to the defaults, one by one
SELECT wtcache.alter('al', reset => '{condition,format}');
SELECT definition FROM wtcache.attachments;
SELECT wtcache.alter('al', reset => '{key,ttl,tags,invalidates,columns,always}');
SELECT definition FROM wtcache.attachments;

-- errors
SELECT wtcache.alter('al', reset => '{colour}');
SELECT wtcache.alter('al', reset => '{NULL}');
SELECT wtcache.alter('al', ttl => '1 day', reset => '{ttl}');
SELECT wtcache.alter('al', ttl => '0');
SELECT wtcache.alter('al', columns => '{}');
SELECT wtcache.alter('al', columns => '{nothing}');
SELECT wtcache.alter('al', key => 'al:{grp}');
SELECT wtcache.alter('al', key => 'wtcache:{id}');
SELECT wtcache.alter('al', condition => 'no');
SELECT wtcache.alter('al', format => 'xml');
SELECT wtcache.alter(NULL);
SELECT wtcache.alter('pg_class');
CREATE TABLE al_not (id int PRIMARY KEY);
SELECT wtcache.alter('al_not');
SELECT wtcache.definition('al_not');
SELECT definition FROM wtcache.attachments;

-- what was disabled stays so
ALTER TABLE al DISABLE TRIGGER wtcache_capture;
SELECT wtcache.alter('al', always => true, format => 'hash');
SELECT enabled, always FROM wtcache.attachments;
ALTER TABLE al ENABLE TRIGGER ALL;
SELECT enabled, always FROM wtcache.attachments;
DROP TABLE al, al_not;

-- there and back: the statement makes the same triggers
CREATE SCHEMA "Al ""s'";
CREATE TABLE "Al ""s'"."T \ 't" ("I d" int, "q""'" text, "b\s" text, e text, PRIMARY KEY ("I d", "q""'"));
CREATE TABLE al_part (id int, v varchar(10), d date, m text[], PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE al_part_1 PARTITION OF al_part FOR VALUES FROM (0) TO (10);
CREATE TABLE al_part_2 PARTITION OF al_part FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE al_part_2a PARTITION OF al_part_2 FOR VALUES FROM (10) TO (20);
CREATE VIEW al_triggers AS
SELECT tgrelid::regclass::text AS "table", tgname, tgenabled, tgtype, tgnargs, encode(tgargs, 'escape') AS args,
       regexp_replace(substring(pg_get_triggerdef(oid) FROM 'WHEN (.*) EXECUTE'), '\s+', ' ', 'g') AS "when"
  FROM pg_trigger
 WHERE tgfoid IN ('wtcache.capture_row'::regproc, 'wtcache.capture_truncate'::regproc, 'wtcache.capture_condition'::regproc);
CREATE FUNCTION al_round(relation regclass, attach text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    statement text;
    shown text;
    before jsonb;
    after jsonb;
BEGIN
    EXECUTE format(attach, relation);
    statement := wtcache.definition(relation);
    SELECT definition INTO shown FROM wtcache.attachments a WHERE a.relation = al_round.relation;
    SELECT jsonb_agg(t ORDER BY "table", tgname) INTO before FROM al_triggers t;
    PERFORM wtcache.detach(relation);
    ASSERT (SELECT count(*) = 0 FROM al_triggers);
    EXECUTE statement;
    SELECT jsonb_agg(t ORDER BY "table", tgname) INTO after FROM al_triggers t;
    PERFORM wtcache.detach(relation);
    ASSERT shown = statement;
    ASSERT jsonb_array_length(before) >= 2;
    IF after <> before THEN
        RAISE EXCEPTION E'%\nbefore: %\nafter: %', statement, before, after;
    END IF;
    RETURN statement;
END $$;
\x off
\pset tuples_only on
\pset format unaligned
SET client_min_messages = error;
SELECT al_round(format('%I.%I', 'Al "s''', 'T \ ''t')::regclass, attach) FROM (VALUES
  ('SELECT wtcache.attach(%L)'),
  ($$SELECT wtcache.attach(%L, key => 'k''\{I d}:{{x}}:{q"''}', ttl => '1.5 days')$$),
  ($$SELECT wtcache.attach(%L, ttl => '1 ms', tags => ARRAY['{e}', 'a b', 'c,d', '"', '\', '{{}}', 'NULL', ''''])$$),
  ($$SELECT wtcache.attach(%L, ttl => '36600 days', tags => ARRAY[' ', '  '], invalidates => ARRAY['{b\s}', 'x'])$$),
  ($$SELECT wtcache.attach(%L, ttl => '1 min 1 s', columns => ARRAY['q"''', 'b\s', 'I d'], format => 'hash', always => true)$$),
  ($$SELECT wtcache.attach(%L, condition => '"q""''" <> ''\'' AND e ~ E''\\\\d'' OR "I d" > 1')$$),
  ($$SELECT wtcache.attach(%L); ALTER TABLE %1$s DISABLE TRIGGER wtcache_capture$$),
  ($$SELECT wtcache.attach(%L, always => true); ALTER TABLE %1$s DISABLE TRIGGER ALL$$)) AS v(attach);
SELECT al_round('al_part', attach) FROM (VALUES
  ($$SELECT wtcache.attach(%L, condition => 'v = ''x'' AND d > ''2020-01-01'' AND m @> ARRAY[''a'']')$$),
  ($$SELECT wtcache.attach(%L, columns => '{v,id}', always => true)$$)) AS v(attach);
-- whatever the session's settings and search_path are
CREATE SCHEMA al_other;
CREATE TABLE al_other.al_part (id int PRIMARY KEY);
SET search_path = al_other, public;
SET intervalstyle = iso_8601;
SET datestyle = 'SQL, DMY';
SELECT al_round('public.al_part', $$SELECT wtcache.attach(%L, ttl => '90 min', condition => 'd > ''2020-12-31''')$$);
RESET search_path;
RESET intervalstyle;
RESET datestyle;
\pset format aligned
\pset tuples_only off

-- partitions: altered with their parent, and what is disabled stays so there
SELECT wtcache.attach('al_part');
ALTER TABLE al_part_1 DISABLE TRIGGER wtcache_capture;
SELECT wtcache.alter('al_part', ttl => '1 day', always => true);
SELECT "table", tgname, tgenabled, args FROM al_triggers ORDER BY 1, 2;
INSERT INTO al_part VALUES (1), (11);
\! $REDIS mget al_part:1 al_part:11
SELECT wtcache.alter('al_part', always => false, format => 'hash');
SELECT "table", tgname, tgenabled, args FROM al_triggers ORDER BY 1, 2;
CREATE TABLE al_part_3 PARTITION OF al_part FOR VALUES FROM (20) TO (30);
SELECT "table", tgname, tgenabled, args FROM al_triggers WHERE "table" = 'al_part_3' ORDER BY 1, 2;
SELECT wtcache.alter('al_part_1', ttl => '1 day');
SELECT wtcache.definition('al_part_1');

-- the mode is the attachment's: enabling a trigger again restores it
SELECT wtcache.alter('al_part', always => true);
ALTER TABLE al_part_1 ENABLE TRIGGER wtcache_capture;
SELECT tgenabled, count(*) FROM al_triggers GROUP BY 1;
ALTER TABLE al_part DISABLE TRIGGER ALL;
ALTER TABLE al_part ENABLE TRIGGER ALL;
SELECT tgenabled, count(*) FROM al_triggers GROUP BY 1;
ALTER TABLE al_part DISABLE TRIGGER USER;
ALTER TABLE al_part ENABLE TRIGGER USER;
SELECT tgenabled, count(*) FROM al_triggers GROUP BY 1;
ALTER TABLE al_part DISABLE TRIGGER wtcache_capture;
ALTER TABLE al_part ENABLE TRIGGER wtcache_capture;
SELECT tgenabled, count(*) FROM al_triggers GROUP BY 1;
-- ENABLE ALWAYS tells the attachment
SELECT wtcache.alter('al_part', always => false);
SELECT tgenabled, count(*) FROM al_triggers GROUP BY 1;
ALTER TABLE al_part ENABLE ALWAYS TRIGGER wtcache_capture;
ALTER TABLE al_part DISABLE TRIGGER ALL;
ALTER TABLE al_part ENABLE TRIGGER ALL;
SELECT tgenabled, count(*) FROM al_triggers GROUP BY 1;
SELECT always, definition FROM wtcache.attachments;

-- the condition, of partitions as well
SELECT wtcache.alter('al_part', condition => $$v = 'x'$$);
INSERT INTO al_part VALUES (2, 'x'), (12, 'x'), (3, 'y'), (13, 'y');
\! $REDIS exists al_part:2 al_part:12 al_part:3 al_part:13
SELECT "table", tgname, "when" FROM al_triggers WHERE tgname = 'wtcache_condition' ORDER BY 1;
SELECT wtcache.alter('al_part', condition => $$v = 'y'$$);
\! $REDIS exists al_part:2 al_part:12
UPDATE al_part SET v = v;
\! $REDIS exists al_part:2 al_part:12
\! $REDIS exists al_part:3 al_part:13
-- another setting leaves the trigger alone, also if it is renamed
ALTER TRIGGER wtcache_condition ON al_part RENAME TO al_condition;
SELECT wtcache.alter('al_part', format => 'json');
SELECT "table", tgname, "when" FROM al_triggers WHERE "when" IS NOT NULL ORDER BY 1;
SELECT definition FROM wtcache.attachments;
-- what it is enabled for does not matter
ALTER TABLE al_part DISABLE TRIGGER al_condition;
ALTER TABLE al_part_1 ENABLE REPLICA TRIGGER al_condition;
ALTER TABLE al_part_2a DISABLE TRIGGER ALL;
ALTER TABLE al_part_2a ENABLE TRIGGER ALL;
UPDATE al_part SET v = v;
\! $REDIS exists al_part:2 al_part:12 al_part:3 al_part:13
SELECT wtcache.alter('al_part', condition => $$v = 'x'$$);
SELECT "table", tgname, tgenabled, "when" FROM al_triggers WHERE "when" IS NOT NULL ORDER BY 1;
-- without it there is no condition to keep
DROP TRIGGER wtcache_condition ON al_part;
SELECT wtcache.definition('al_part');
SELECT condition, definition FROM wtcache.attachments;
SELECT wtcache.alter('al_part', ttl => '2 days');
SELECT wtcache.alter('al_part', condition => $$v > 'x'$$);
SELECT wtcache.definition('al_part');
SELECT wtcache.alter('al_part', reset => '{condition}');
SELECT "table", tgname, args FROM al_triggers WHERE "when" IS NOT NULL OR args ~ 'condition' ORDER BY 1;
UPDATE al_part SET v = v;
\! $REDIS exists al_part:2 al_part:12 al_part:3 al_part:13
-- one that a partition has of its own is not the attachment's
CREATE TRIGGER a AFTER DELETE ON al_part_1 FOR EACH ROW WHEN (old.id < 0) EXECUTE FUNCTION wtcache.capture_condition();
SELECT wtcache.alter('al_part', condition => $$v = 'x'$$);
UPDATE al_part SET v = v;
\! $REDIS exists al_part:2 al_part:12
\! $REDIS exists al_part:3 al_part:13

DROP TABLE al_part;
DROP SCHEMA al_other, "Al ""s'" CASCADE;
DROP FUNCTION al_round;
DROP VIEW al_triggers;
