-- wtcache.set() of text, json and bytea, and what gets it back
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
\setenv HEX 'od -An -v -tx1'

-- what is stored: jsonb as jsonb writes it, the others as they are
SELECT wtcache.set('va:jsonb', '{"b":1,  "a":2,"a":3}'::jsonb), wtcache.set('va:json', '{"b":1,  "a":2,"a":3}'::json),
       wtcache.set('va:text', 'hello "world"'::text), wtcache.set('va:bytea', '\x00ff7e7e80'::bytea);
\! $REDIS mget va:jsonb va:json va:text
\! $REDIS get va:bytea | $HEX
SELECT key, wtcache.get_text(key) FROM unnest('{va:jsonb,va:json,va:text,va:none}'::text[]) key;
SELECT key, wtcache.get_bytea(key) FROM unnest('{va:jsonb,va:text,va:bytea,va:none}'::text[]) key;
SELECT wtcache.get('va:jsonb') AS jsonb, wtcache.get('va:json') AS json;
-- what is of no type yet is text: literals, parameters
SELECT wtcache.set('va:literal', '{"a":1}'), wtcache.set('va:word', 'hello'), wtcache.set('va:empty', ''),
       wtcache.set(key => 'va:named', value => '{"a":1}', ttl => '1 hour', tags => '{va}');
PREPARE va AS SELECT wtcache.set($1, $2);
SELECT name, parameter_types FROM pg_prepared_statements WHERE name = 'va';
EXECUTE va('va:parameter', '{"a":1}');
\! $REDIS mget va:literal va:word va:empty va:named va:parameter
\! $REDIS smembers tag:va
SELECT wtcache.get('va:literal'), wtcache.get_text('va:empty') = '' AS empty;
SELECT wtcache.set('va:varchar', 'v'::varchar), wtcache.set('va:name', 'n'::name), wtcache.set('va:row', row_to_json(r))
  FROM (SELECT 1 AS a) r;
\! $REDIS mget va:varchar va:name va:row
-- numbers are of none of these types
SELECT wtcache.set('va:number', 1);
SELECT wtcache.set('va:number', to_jsonb(1)), wtcache.set('va:number', 1::text);

-- what is none of the type that is asked for
\set VERBOSITY terse
SELECT wtcache.get('va:word');
\set VERBOSITY default
SELECT wtcache.get('va:bytea');
SELECT wtcache.get_text('va:bytea');
\! printf '"a\0b"' | $REDIS -x set va:nul
SELECT wtcache.get('va:nul');
SELECT wtcache.get_text('va:nul');
SELECT wtcache.get_bytea('va:nul');
CREATE TABLE va (id int PRIMARY KEY, v text);
SELECT wtcache.attach('va', format => 'hash');
INSERT INTO va VALUES (1, 'a hash');
SELECT wtcache.get_text('va:1');
SELECT wtcache.get_bytea('va:1');
\! $REDIS rpush va:list a
SELECT wtcache.get_text('va:list');

-- pending, and taken back
BEGIN;
INSERT INTO va VALUES (2, 'a hash');
SAVEPOINT a;
SELECT wtcache.get_text('va:2');
ROLLBACK TO a;
SELECT wtcache.set('va:bytea', '\x0001'::bytea), wtcache.set('va:text', 'pending'), wtcache.delete('va:json');
SELECT wtcache.get_bytea('va:bytea'), wtcache.get_text('va:text'), wtcache.get_text('va:json') IS NULL AS deleted;
ROLLBACK;
SELECT wtcache.get_bytea('va:bytea'), wtcache.get_text('va:text');

-- every byte, and runs of bytes that WAL has to escape, by the worker from WAL
SELECT string_agg(set_byte('\x00', 0, i), NULL ORDER BY i) || (SELECT string_agg(decode(md5(i::text), 'hex'), '\x7e' ORDER BY i)
       FROM generate_series(1, 2000) i) AS bytes FROM generate_series(0, 255) i \gset
SET wtcache.mode = async;
SELECT replayed FROM wtcache.stat \gset m_
SELECT wtcache.set('va:bytes', :'bytes'::bytea);
SELECT wtcache.wait('60s');
SELECT replayed - :m_replayed AS replayed FROM wtcache.stat;
RESET wtcache.mode;
SELECT length(:'bytes'::bytea), wtcache.get_bytea('va:bytes') = :'bytes'::bytea AS same;

-- arguments
SELECT wtcache.set(NULL, 'x'::text);
SELECT wtcache.set('va:x', NULL::bytea);
SELECT wtcache.set('', '\x00'::bytea);
SELECT wtcache.set('wtcache:token', 'x'::text);
SELECT wtcache.get_text(NULL) IS NULL AS nothing;
SELECT wtcache.get_bytea('');
SET wtcache.max_image_size = '1kB';
SELECT wtcache.set('va:large', repeat('x', 1024));
SELECT wtcache.set('va:large', repeat('x', 1025));
SELECT wtcache.set('va:large', repeat('x', 1025)::bytea);
SELECT wtcache.set('va:large', to_jsonb(repeat('x', 1023)));
RESET wtcache.max_image_size;
SELECT length(wtcache.get_text('va:large'));
BEGIN READ ONLY;
SELECT wtcache.get_bytea('va:bytea');
SELECT wtcache.set('va:bytea', '\x00'::bytea);
ROLLBACK;

DROP TABLE va;
