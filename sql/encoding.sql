-- Whatever the server's encoding is, what arrives in Redis is UTF-8
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
\set before :DBNAME
CREATE DATABASE regress_wtc_utf8 TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
CREATE DATABASE regress_wtc_latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C';
CREATE DATABASE regress_wtc_eucjp TEMPLATE template0 ENCODING 'EUC_JP' LOCALE 'C';
CREATE DATABASE regress_wtc_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C';
\setenv HEX 'od -An -v -tx1'

ALTER DATABASE :before SET wtcache.key_prefix = 'off:regress_wtc_utf8:';
\c regress_wtc_utf8
SET client_min_messages = warning;
CREATE EXTENSION wtcache;
CREATE TABLE en (id text PRIMARY KEY, v text);
SELECT wtcache.attach('en', key => 'en8:{id}', tags => '{"en8:{v}"}');
-- e acute, euro, hiragana a, an emoji, a combining accent
INSERT INTO en VALUES (U&'caf\00e9', U&'\00e9\20ac\3042\+01F600'), (U&'e\0301', 'decomposed');
\! $REDIS --scan --pattern 'en8:*' | LC_ALL=C sort | $HEX
\! $REDIS get "$(printf 'en8:caf\303\251')" | $HEX
\! $REDIS --scan --pattern 'tag:en8:*' | LC_ALL=C sort | $HEX
SELECT wtcache.get(U&'en8:caf\00e9') ->> 'v' = U&'\00e9\20ac\3042\+01F600' AS same;
SELECT wtcache.set(U&'en8:\20ac', to_jsonb(U&'\20ac'::text), NULL, array[U&'en8:\20ac']);
\! $REDIS get "$(printf 'en8:\342\202\254')" | $HEX
-- in names of columns
CREATE TABLE en_names (id int PRIMARY KEY, U&"sp\00e4lte" text);
SELECT wtcache.attach('en_names', format => 'hash', tags => array[U&'{sp\00e4lte}']);
INSERT INTO en_names VALUES (1, 'x');
\! $REDIS hkeys en_names:1 | LC_ALL=C sort | $HEX
\! $REDIS exists tag:x

ALTER DATABASE regress_wtc_utf8 SET wtcache.key_prefix = 'off:regress_wtc_latin1:';
\c regress_wtc_latin1
SET client_min_messages = warning;
CREATE EXTENSION wtcache;
SHOW server_encoding;
CREATE TABLE en (id text PRIMARY KEY, v text, U&"sp\00e4lte" text);
SELECT wtcache.attach('en', key => 'en1:{id}', tags => '{"en1:{v}"}');
INSERT INTO en VALUES (U&'caf\00e9', U&'na\00efve \00ff', 'x');
SELECT octet_length(id) FROM en;
\! $REDIS --scan --pattern 'en1:*' | $HEX
\! $REDIS get "$(printf 'en1:caf\303\251')" | $HEX
\! $REDIS --scan --pattern 'tag:en1:*' | $HEX
SELECT wtcache.get(U&'en1:caf\00e9') = row_to_json(en)::jsonb AS same FROM en;
BEGIN;
UPDATE en SET v = U&'\00fc';
SELECT wtcache.get(U&'en1:caf\00e9') = row_to_json(en)::jsonb AS same FROM en;
COMMIT;
\! $REDIS exists "$(printf 'tag:en1:\303\274')"
SELECT wtcache.attach('en', key => 'en1:{id}', format => 'hash', replace => true);
UPDATE en SET v = v;
\! $REDIS hget "$(printf 'en1:caf\303\251')" v | $HEX
\! $REDIS hkeys "$(printf 'en1:caf\303\251')" | LC_ALL=C sort | $HEX
SELECT wtcache.get(U&'en1:caf\00e9') ->> 'v' = v AS same FROM en;
SELECT key = U&'en1:caf\00e9' AS key, value LIKE U&'id caf\00e9 %' AS value FROM en, wtcache.preview('en', en);
SELECT wtcache.set(U&'en1:\00e9', to_jsonb(U&'\00e9'::text), NULL, array[U&'\00e9']);
\! $REDIS get "$(printf 'en1:\303\251')" | $HEX
\! $REDIS smembers "$(printf 'tag:\303\251')" | $HEX
SELECT wtcache.invalidate_tags(U&'\00e9');
\! $REDIS exists "$(printf 'en1:\303\251')"
DELETE FROM en;
\! $REDIS --scan --pattern 'en1:*'
-- what others stored, and this encoding does not have
\! printf '"\342\202\254"' | $REDIS -x set en1:euro
\set VERBOSITY sqlstate
SELECT wtcache.get('en1:euro');
\set VERBOSITY default

ALTER DATABASE regress_wtc_latin1 SET wtcache.key_prefix = 'off:regress_wtc_eucjp:';
\c regress_wtc_eucjp
SET client_min_messages = warning;
CREATE EXTENSION wtcache;
CREATE TABLE en (id text PRIMARY KEY, v text);
SELECT wtcache.attach('en', key => 'enj:{id}:{id}:{v}');
INSERT INTO en VALUES (U&'\3042', U&'\6f22\5b57:%');
\! $REDIS --scan --pattern 'enj:*' | $HEX
SELECT wtcache.get(U&'enj:\3042:\3042:\6f22\5b57%3A%25') = row_to_json(en)::jsonb AS same FROM en;

ALTER DATABASE regress_wtc_eucjp SET wtcache.key_prefix = 'off:regress_wtc_ascii:';
\c regress_wtc_ascii
SET client_min_messages = warning;
CREATE EXTENSION wtcache;
CREATE TABLE en (id text PRIMARY KEY, v text, t text);
SELECT wtcache.attach('en', key => 'ena:{id}', tags => '{"ena:{t}"}', invalidates => '{"enai:{t}"}');
-- bytes that are UTF-8 are taken for it
INSERT INTO en VALUES (E'caf\303\251', E'\342\202\254', 't');
\! $REDIS get "$(printf 'ena:caf\303\251')" | $HEX
-- others cannot be: in the image
INSERT INTO en VALUES ('image', 'good', 't');
\! $REDIS exists ena:image
UPDATE en SET v = E'caf\351' WHERE id = 'image';
\! $REDIS exists ena:image
SELECT encode(v::bytea, 'escape') FROM en WHERE id = 'image';
SELECT operation, key FROM en, wtcache.preview('en', en) WHERE id = 'image';
UPDATE en SET v = 'good again' WHERE id = 'image';
\! $REDIS get ena:image
-- in the key
INSERT INTO en VALUES (E'caf\351', 'v', 't');
\! $REDIS --scan --pattern 'ena:*' | LC_ALL=C sort | $HEX
UPDATE en SET id = 'cafe' WHERE id = E'caf\351';
\! $REDIS get ena:cafe
UPDATE en SET id = E'caf\351' WHERE id = 'cafe';
\! $REDIS exists ena:cafe
-- in a tag: without it the value could not be invalidated
SELECT wtcache.attach('en', key => 'ena:{id}', tags => '{"ena:{t}"}', columns => '{id,v}', replace => true);
UPDATE en SET t = E'\351' WHERE id = 'image';
\! $REDIS exists ena:image
SELECT operation, key FROM en, wtcache.preview('en', en) WHERE id = 'image';
UPDATE en SET t = 't' WHERE id = 'image';
\! $REDIS get ena:image
-- in explicit operations it is an error
SELECT wtcache.set(E'\351', '1');
SELECT wtcache.set('ena:x', '1', NULL, array[E'\351']);
SELECT wtcache.delete(E'\351');
SELECT wtcache.invalidate_tags(E'\351');
SELECT wtcache.get(E'\351');
-- a hash
SELECT wtcache.attach('en', key => 'ena:{id}', format => 'hash', replace => true);
UPDATE en SET v = E'\351' WHERE id = 'image';
\! $REDIS exists ena:image

\c :before
DROP DATABASE regress_wtc_utf8;
DROP DATABASE regress_wtc_latin1;
DROP DATABASE regress_wtc_eucjp;
DROP DATABASE regress_wtc_ascii;
ALTER DATABASE :before RESET wtcache.key_prefix;
