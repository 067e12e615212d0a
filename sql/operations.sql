-- set, delete, invalidate_tags, get
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis

-- autocommit
SELECT wtcache.set('op:1', '{"a": 1,  "b": [true, null]}');
\! $REDIS get op:1
\! $REDIS eval "local t = redis.call('PTTL', 'op:1') return t > 3140000 and t <= 3600000" 0
SELECT wtcache.get('op:1'), pg_typeof(wtcache.get('op:1'));
SELECT wtcache.set('op:2', '"text"', '10 minutes', '{x,y,x}');
\! $REDIS get op:2
\! $REDIS eval "local t = redis.call('PTTL', 'op:2') return t > 590000 and t <= 600000" 0
\! $REDIS smembers tag:x
\! $REDIS smembers tag:y
SELECT wtcache.set('op:3', 'null'), wtcache.set('op:4', '12.50'), wtcache.set('op:5', 'true');
\! $REDIS mget op:3 op:4 op:5
SELECT wtcache.get('op:3'), wtcache.get('op:3') IS NULL AS is_null, wtcache.get('op:none') IS NULL AS none;
SELECT wtcache.set(key => 'op:6', value => '1', tags => '{z}');
SELECT wtcache.set('op:7', '1', NULL, NULL);
SELECT wtcache.delete('op:3', 'op:4', 'op:none');
\! $REDIS exists op:3 op:4
SELECT wtcache.delete(VARIADIC '{op:5,op:7}'::text[]);
SELECT wtcache.delete(VARIADIC '{}'::text[]);
\! $REDIS exists op:5 op:7
SELECT wtcache.invalidate_tags('x', 'z', 'never used');
\! $REDIS exists op:2 op:6 tag:x tag:z
\! $REDIS exists tag:y
SELECT wtcache.invalidate_tags(VARIADIC '{}'::text[]);
-- over something of another type: replaced
\! $REDIS rpush op:list a b
SELECT wtcache.set('op:list', '"no list"');
\! $REDIS get op:list

-- the last of several for a key counts; keys of any text
SELECT wtcache.set('op:last', '1'), wtcache.set('op:last', '2'), wtcache.delete('op:last'), wtcache.set('op:last', '3');
\! $REDIS get op:last
SELECT wtcache.set('op: %''"{}\', '{"k\"": "v\\ \n"}');
\! $REDIS get "op: %'\"{}\\"
SELECT wtcache.get('op: %''"{}\');
-- a key may be called as a tag is
SELECT wtcache.set('op:same', '1', NULL, '{op:same}'), wtcache.invalidate_tags('op:same');
\! $REDIS get op:same

-- rolled back: nothing happens
BEGIN;
SELECT wtcache.set('op:1', '"rolled back"');
SELECT wtcache.delete('op:same');
SELECT wtcache.invalidate_tags('y');
ROLLBACK;
\! $REDIS get op:1
\! $REDIS exists op:same tag:y

-- pending until COMMIT, and seen by the transaction itself
BEGIN;
SELECT wtcache.set('op:p', '"pending"');
SELECT wtcache.get('op:p');
\! $REDIS exists op:p
SELECT wtcache.delete('op:1');
SELECT wtcache.get('op:1') IS NULL AS deleted;
\! $REDIS get op:1
SELECT wtcache.set('op:1', '"anew"');
SELECT wtcache.get('op:1');
COMMIT;
\! $REDIS mget op:p op:1

-- savepoints
BEGIN;
SELECT wtcache.set('op:s', '"outer"', NULL, '{outer}');
SAVEPOINT a;
SELECT wtcache.set('op:s', '"inner"', NULL, '{inner}');
SELECT wtcache.set('op:s2', '"inner"');
SELECT wtcache.delete('op:1');
SELECT wtcache.get('op:s');
ROLLBACK TO a;
SELECT wtcache.get('op:s'), wtcache.get('op:s2') IS NULL AS none, wtcache.get('op:1');
SAVEPOINT b;
SELECT wtcache.delete('op:s');
SAVEPOINT c;
SELECT wtcache.set('op:s', '"innermost"');
ROLLBACK TO c;
SELECT wtcache.get('op:s') IS NULL AS deleted;
SELECT wtcache.set('op:s3', '"kept"');
RELEASE b;
SELECT wtcache.get('op:s') IS NULL AS deleted;
SAVEPOINT d;
SELECT wtcache.set('op:s', '"last"', NULL, '{last}');
RELEASE d;
COMMIT;
\! $REDIS get op:s
\! $REDIS exists op:s2
\! $REDIS get op:s3
\! $REDIS get op:1
\! $REDIS exists tag:outer tag:inner
\! $REDIS smembers tag:last
-- a tag is invalidated in a savepoint
BEGIN;
SAVEPOINT a;
SELECT wtcache.invalidate_tags('last');
ROLLBACK TO a;
COMMIT;
\! $REDIS exists op:s
BEGIN;
SAVEPOINT a;
SELECT wtcache.invalidate_tags('last');
RELEASE a;
COMMIT;
\! $REDIS exists op:s tag:last

-- rows and explicit operations on the same key
CREATE TABLE op (id int PRIMARY KEY, v text);
SELECT wtcache.attach('op', key => 'op:row:{id}', tags => '{op:rows}');
BEGIN;
INSERT INTO op VALUES (1, 'row'), (2, 'row');
SELECT wtcache.get('op:row:1');
SELECT wtcache.set('op:row:1', '"explicit"');
SELECT wtcache.delete('op:row:2');
SELECT wtcache.get('op:row:1'), wtcache.get('op:row:2') IS NULL AS deleted;
COMMIT;
\! $REDIS get op:row:1
\! $REDIS exists op:row:2
BEGIN;
SELECT wtcache.set('op:row:1', '"explicit"');
UPDATE op SET v = 'changed';
SELECT wtcache.get('op:row:1'), wtcache.get('op:row:2');
DELETE FROM op WHERE id = 2;
SELECT wtcache.get('op:row:2') IS NULL AS deleted;
COMMIT;
\! $REDIS get op:row:1
\! $REDIS exists op:row:2
-- an invalidation takes what was there before, not what this transaction stores
BEGIN;
INSERT INTO op VALUES (3, 'new');
SELECT wtcache.invalidate_tags('op:rows');
SELECT wtcache.get('op:row:3');
COMMIT;
\! $REDIS exists op:row:1
\! $REDIS get op:row:3
-- hashes
SELECT wtcache.attach('op', key => 'op:row:{id}', format => 'hash', replace => true);
BEGIN;
INSERT INTO op VALUES (4, 'a hash'), (5, NULL);
SELECT wtcache.get('op:row:4'), wtcache.get('op:row:5');
COMMIT;
SELECT wtcache.get('op:row:4'), wtcache.get('op:row:5');
\! $REDIS type op:row:4
SELECT wtcache.set('op:row:4', '"now a string"');
\! $REDIS get op:row:4
UPDATE op SET v = 'a hash again' WHERE id = 4;
\! $REDIS hgetall op:row:4 | paste -d= - - | LC_ALL=C sort
-- fields that are gone do not stay
UPDATE op SET v = NULL WHERE id = 4;
\! $REDIS hgetall op:row:4 | paste -d= - - | LC_ALL=C sort

-- what others wrote
\! $REDIS set op:foreign '{"from": "elsewhere"}'
SELECT wtcache.get('op:foreign');
\! $REDIS set op:foreign 'not json'
\set VERBOSITY terse
SELECT wtcache.get('op:foreign');
\set VERBOSITY default
\! $REDIS set op:foreign ''
\set VERBOSITY terse
SELECT wtcache.get('op:foreign');
\set VERBOSITY default
\! $REDIS del op:foreign
\! $REDIS hset op:foreign f1 v1 f2 ''
SELECT wtcache.get('op:foreign');
\! $REDIS del op:foreign
\! $REDIS rpush op:foreign x
SELECT wtcache.get('op:foreign');
\! $REDIS del op:foreign
\! $REDIS sadd op:foreign x
SELECT wtcache.get('op:foreign');
\! $REDIS del op:foreign
\! $REDIS zadd op:foreign 1 x
SELECT wtcache.get('op:foreign');
\! $REDIS del op:foreign
-- the connection is none the worse for it
SELECT wtcache.get('op:1');

-- arguments
SELECT wtcache.set(NULL, '1');
SELECT wtcache.set('op:x', NULL);
SELECT wtcache.set('', '1');
SELECT wtcache.set('wtcache:token', '1');
SELECT wtcache.set('tag:x', '1');
SELECT wtcache.delete('wtcache:token');
SELECT wtcache.delete('tag:y');
SELECT wtcache.set('op:x', '1', '0');
SELECT wtcache.set('op:x', '1', '-1 s');
SELECT wtcache.set('op:x', '1', NULL, '{NULL}');
SELECT wtcache.set('op:x', '1', NULL, '{""}');
SELECT wtcache.set('op:x', '1', NULL, (SELECT array_agg(i::text) FROM generate_series(1, 257) i));
SELECT wtcache.set('op:256', '1', NULL, (SELECT array_agg('op' || i::text) FROM generate_series(1, 256) i));
\! $REDIS eval "return #redis.call('KEYS', 'tag:op[0-9]*')" 0
SELECT wtcache.delete(NULL);
SELECT wtcache.delete('op:1', NULL);
SELECT wtcache.delete('');
SELECT wtcache.delete('op:1', '');
SELECT wtcache.delete(VARIADIC NULL::text[]) IS NULL AS nothing;
SELECT wtcache.invalidate_tags(NULL);
SELECT wtcache.invalidate_tags('');
SELECT wtcache.get(NULL) IS NULL AS nothing;
SELECT wtcache.get('');
\! $REDIS exists op:x
\! $REDIS type tag:y
\! $REDIS type wtcache:token
\! $REDIS exists op:1
-- an error in a statement takes back what it had queued
BEGIN;
SAVEPOINT a;
SELECT wtcache.delete('op:1', '');
ROLLBACK TO a;
COMMIT;
\! $REDIS exists op:1

-- read-only transactions may read
CREATE TABLE op_read (id int PRIMARY KEY);
SELECT wtcache.attach('op_read');
INSERT INTO op_read VALUES (1);
BEGIN READ ONLY;
SELECT wtcache.get('op:1');
SAVEPOINT a;
SELECT wtcache.set('op:1', '1');
ROLLBACK TO a;
SELECT wtcache.delete('op:1');
ROLLBACK TO a;
SELECT wtcache.invalidate_tags('op:1');
ROLLBACK TO a;
SELECT wtcache.clear('op_read');
COMMIT;
\! $REDIS get op:1
\! $REDIS get op_read:1
DROP TABLE op_read;

-- what carries a tag that this transaction has invalidated is gone for it
SELECT wtcache.set('op:tagged', '1', NULL, '{op:t}');
SELECT wtcache.set('op:untagged', '2');
BEGIN;
SAVEPOINT a;
SELECT wtcache.invalidate_tags('op:t', 'op:other');
SELECT wtcache.get('op:tagged') AS tagged, wtcache.get('op:untagged') AS untagged;
SELECT wtcache.set('op:tagged', '3', NULL, '{op:t}');
SELECT wtcache.get('op:tagged') AS tagged;
ROLLBACK TO a;
SELECT wtcache.get('op:tagged') AS tagged;
ROLLBACK;

-- arrays, also of other types
\! $REDIS mset op:x 1 op:y 2 op:z 3 7 4 8 5
SELECT wtcache.delete(ARRAY['op:x', 'op:y']);
SELECT wtcache.delete(VARIADIC ARRAY['op:z']);
SELECT wtcache.delete(ARRAY[7, 8]);
\! $REDIS exists op:x op:y op:z 7 8
SELECT wtcache.set('op:x', '1', NULL, '{op:t1}'), wtcache.set('op:y', '2', NULL, '{op:t2}');
SELECT wtcache.invalidate_tags(ARRAY['op:t1', 'op:t2']::varchar[]);
\! $REDIS exists op:x op:y
SELECT wtcache.delete(ARRAY['op:x', NULL]);
SELECT wtcache.delete('{op:x}');

-- which key holds what jsonb does not take
\! $REDIS set op:null '{"v":"\u0000"}'
\! $REDIS set op:lone '{"v":"\ud800"}'
\! $REDIS set op:large '{"v":1e400000}'
\! $REDIS set op:text 'hello'
SELECT wtcache.get('op:null');
SELECT wtcache.get('op:lone');
SELECT wtcache.get('op:large');
SELECT wtcache.get('op:text');
\! $REDIS del op:null op:lone op:large op:text

DROP TABLE op;
