-- expressions as fields of an image
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE FUNCTION xp_words(text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT string_to_array($1, ' ') $$;
CREATE TABLE xp (id int PRIMARY KEY, name text, price numeric(8,2), n bigint, at timestamp);
SELECT wtcache.attach('xp', columns => ARRAY['id', 'total=(price * n)', 'upper=(upper(name) || '')'')', 'words=(xp_words(name))', 'kind=(''x'')', 'at'],
                      shape => '{text_numbers,utc_timestamps}');
SELECT columns, condition FROM wtcache.attachments WHERE relation = 'xp'::regclass;
INSERT INTO xp VALUES (1, 'one two', 1.50, 3, '2026-01-31 12:00'), (2, NULL, NULL, NULL, NULL);
\! $REDIS mget xp:1 xp:2
SELECT value FROM xp t, wtcache.preview('xp', t) ORDER BY id;
SELECT * FROM wtcache.verify('xp');
-- what definition() says makes the same
SELECT wtcache.definition('xp') AS before \gset
SELECT wtcache.detach('xp');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'xp'::regclass;
:before;
SELECT wtcache.definition('xp') = :'before' AS same;
-- beside a condition; each stays when the other one is changed
SELECT wtcache.alter('xp', condition => 'id < 10');
UPDATE xp SET n = 4 WHERE id = 1;
\! $REDIS get xp:1
SELECT wtcache.alter('xp', columns => ARRAY['double=(n * 2)', 'id']);
SELECT columns, condition FROM wtcache.attachments WHERE relation = 'xp'::regclass;
INSERT INTO xp VALUES (11, 'eleven', 1, 1, NULL);
UPDATE xp SET n = 5 WHERE id = 1;
\! $REDIS mget xp:1 xp:11
SELECT wtcache.alter('xp', reset => '{condition}');
SELECT columns, condition FROM wtcache.attachments WHERE relation = 'xp'::regclass;
UPDATE xp SET n = 6;
\! $REDIS mget xp:1 xp:11
-- as a hash
SELECT wtcache.alter('xp', format => 'hash', columns => ARRAY['id', 'double=(n * 2)', 'big=(n > 5)', 'words=(xp_words(name))'], shape => '{word_booleans}');
UPDATE xp SET n = 7;
\! $REDIS hgetall xp:1
SELECT wtcache.alter('xp', format => 'json', columns => ARRAY['id', 'double=(n * 2)', 'words=(xp_words(name))']);
-- renaming a column; another type, which goes for the expression
UPDATE xp SET n = 8;
ALTER TABLE xp RENAME n TO m;
\! $REDIS get xp:1
UPDATE xp SET m = 9;
\! $REDIS get xp:1
ALTER TABLE xp ALTER m TYPE numeric(8,1);
\! $REDIS exists xp:1
UPDATE xp SET m = 10;
\! $REDIS get xp:1
SELECT columns FROM wtcache.attachments WHERE relation = 'xp'::regclass;
-- what an expression needs
ALTER TABLE xp DROP COLUMN m;
DROP FUNCTION xp_words(text);
DROP FUNCTION xp_words(text) CASCADE;
\! $REDIS exists xp:1
UPDATE xp SET m = 11;
\! $REDIS exists xp:1
SELECT wtcache.definition('xp');
SELECT wtcache.alter('xp', ttl => '1 day');
SELECT wtcache.alter('xp', columns => '{id}');
UPDATE xp SET m = 12;
\! $REDIS get xp:1
-- what is refused
SELECT wtcache.alter('xp', columns => '{x=(now())}');
SELECT wtcache.alter('xp', columns => '{x=(nothing)}');
SELECT wtcache.alter('xp', columns => '{x=(ctid)}');
SELECT wtcache.alter('xp', columns => '{x=(SELECT 1)}');
SELECT wtcache.alter('xp', columns => '{x=(1}');
SELECT wtcache.alter('xp', columns => '{x=()}');
SELECT wtcache.alter('xp', columns => '{(id)}');
SELECT wtcache.alter('xp', columns => ARRAY['x=(id, id)']);
-- partitions have other columns
CREATE TABLE xp_parts (id int PRIMARY KEY, gone int, v int) PARTITION BY RANGE (id);
ALTER TABLE xp_parts DROP COLUMN gone;
SELECT wtcache.attach('xp_parts', columns => ARRAY['id', 'w=(v + 1)']);
CREATE TABLE xp_part PARTITION OF xp_parts FOR VALUES FROM (0) TO (100);
INSERT INTO xp_parts VALUES (1, 1);
\! $REDIS get xp_parts:1
DROP TABLE xp_parts;
-- with the rights of the owner, whichever role writes, also beside a condition of the server's own
CREATE ROLE regress_xp;
CREATE ROLE regress_xp_writer;
CREATE FUNCTION xp_who(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN current_user; END';
REVOKE EXECUTE ON FUNCTION xp_who(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION xp_who(int) TO regress_xp;
ALTER TABLE xp OWNER TO regress_xp;
GRANT SELECT, UPDATE ON xp TO regress_xp_writer;
SELECT wtcache.alter('xp', columns => '{id,who=(xp_who(id))}', condition => 'id < 100');
SET ROLE regress_xp_writer;
UPDATE xp SET m = 13;
RESET ROLE;
\! $REDIS get xp:1
REVOKE EXECUTE ON FUNCTION xp_who(int) FROM regress_xp;
UPDATE xp SET m = 14;
\! $REDIS exists xp:1
SELECT wtcache.alter('xp', ttl => '1 day');
-- an error is one of the statement that writes
SELECT wtcache.alter('xp', columns => '{id,x=(1 / id)}');
INSERT INTO xp (id) VALUES (0);
DROP TABLE xp;
DROP FUNCTION xp_who(int);
DROP ROLE regress_xp, regress_xp_writer;
