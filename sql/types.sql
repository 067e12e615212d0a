-- What is written for a value of every type, as JSON and as a hash field
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE TYPE ty_mood AS ENUM ('sad', 'it''s "ok"', 'happy');
CREATE DOMAIN ty_posint AS int CHECK (VALUE > 0);
CREATE DOMAIN ty_list AS text[];
CREATE TYPE ty_pair AS (a int, b text);

-- Fills two tables of one type, and $SHOW prints what the cache then holds:
-- the JSON image and the field of the hash, byte by byte.
CREATE PROCEDURE ty_show(type text, VARIADIC vals text[]) LANGUAGE plpgsql AS $$
DECLARE
    v text;
    i int := 0;
BEGIN
    EXECUTE format('CREATE TABLE ty (id int PRIMARY KEY, v %s)', type);
    PERFORM wtcache.attach('ty', columns => '{v}', key => 'ty:json:{id}');
    CREATE TABLE ty_hash (LIKE ty INCLUDING ALL);
    PERFORM wtcache.attach('ty_hash', columns => '{v}', key => 'ty:hash:{id}', format => 'hash');
    FOREACH v IN ARRAY vals LOOP
        i := i + 1;
        EXECUTE format('INSERT INTO ty VALUES (%s, %L)', i, v);
        EXECUTE format('INSERT INTO ty_hash VALUES (%s, %L)', i, v);
    END LOOP;
    COMMIT;
    -- what is in the cache is looked at afterwards
    PERFORM wtcache.detach('ty', drop_keys => false),
            wtcache.detach('ty_hash', drop_keys => false);
    DROP TABLE ty, ty_hash;
END $$;
\setenv SHOW 'local r = {} for i = 1, 9 do local j = redis.call("GET", "ty:json:" .. i) if j then r[#r + 1] = j .. "   " .. redis.call("HGET", "ty:hash:" .. i, "v") redis.call("DEL", "ty:json:" .. i, "ty:hash:" .. i) end end return r'

-- numbers
CALL ty_show('int2', '32767', '-32768', '0');
\! $REDIS eval "$SHOW" 0
CALL ty_show('int4', '2147483647', '-2147483648');
\! $REDIS eval "$SHOW" 0
CALL ty_show('int8', '9223372036854775807', '-9223372036854775808', '9007199254740993');
\! $REDIS eval "$SHOW" 0
CALL ty_show('numeric', '1.500', '-0.00', '1e40', '123456789012345678901234567890.123456789', 'NaN', 'Infinity');
\! $REDIS eval "$SHOW" 0
CALL ty_show('numeric(6,3)', '1.5', '0');
\! $REDIS eval "$SHOW" 0
CALL ty_show('float4', '0.1', '1e10', '3.4028235e38', '-0', 'NaN', '-Infinity');
\! $REDIS eval "$SHOW" 0
CALL ty_show('float8', '0.1', '0.30000000000000004', '1e300', '5e-324', '-0', 'NaN', 'Infinity');
\! $REDIS eval "$SHOW" 0
CALL ty_show('oid', '4294967295');
\! $REDIS eval "$SHOW" 0
CALL ty_show('money', '1234.50', '-0.01');
\! $REDIS eval "$SHOW" 0
CALL ty_show('bool', 'true', 'false');
\! $REDIS eval "$SHOW" 0

-- text
CALL ty_show('text', '', 'plain', 'quote " apostrophe '' backslash \ slash / braces {}',
             E'tab\tnewline\nreturn\rbell\x07escape\x1b\x7f', 'null', ' spaces ', '$1 %s', '0', '{"json": "in text"}');
\! $REDIS eval "$SHOW" 0
CALL ty_show('varchar(5)', 'abc', 'ab ');
\! $REDIS eval "$SHOW" 0
CALL ty_show('char(5)', 'abc', '');
\! $REDIS eval "$SHOW" 0 | sed 's/$/|/'
CALL ty_show('"char"', 'x');
\! $REDIS eval "$SHOW" 0
-- above 127 it is half a character in UTF-8, and written as its number
CALL ty_show('"char"', '\303');
\! $REDIS eval "$SHOW" 0
CREATE TABLE ty_char (c "char" PRIMARY KEY);
SELECT wtcache.attach('ty_char', tags => '{"ty:{c}"}');
INSERT INTO ty_char VALUES ('\303');
\! $REDIS get 'ty_char:\303'
\! $REDIS smembers 'tag:ty:\303'
DROP TABLE ty_char;
CALL ty_show('name', 'A name');
\! $REDIS eval "$SHOW" 0
CALL ty_show('bytea', '\x00ff10', '', 'text\\');
\! $REDIS eval "$SHOW" 0
CALL ty_show('bit varying', '10110', '');
\! $REDIS eval "$SHOW" 0

-- time
CALL ty_show('date', '2024-02-29', '0044-03-15 BC', 'infinity', '-infinity', '12345-01-01');
\! $REDIS eval "$SHOW" 0
CALL ty_show('time', '23:59:59.999999', '24:00', '04:05');
\! $REDIS eval "$SHOW" 0
CALL ty_show('timetz', '04:05:06.5+02', '04:05:06-08:30');
\! $REDIS eval "$SHOW" 0
CALL ty_show('timestamp', '2024-02-29 12:00:00.123', '0044-03-15 00:00 BC', 'infinity');
\! $REDIS eval "$SHOW" 0
CALL ty_show('timestamptz', '2024-02-29 12:00:00.5+02', '2024-07-01 00:00 America/New_York', '-infinity');
\! $REDIS eval "$SHOW" 0
CALL ty_show('timestamptz(0)', '2024-02-29 12:00:00.5+00');
\! $REDIS eval "$SHOW" 0
CALL ty_show('interval', '1 year 2 mons 3 days 04:05:06.7', '-1 day +2 hours', '0', '-00:00:00.000001', '36 hours');
\! $REDIS eval "$SHOW" 0

-- json
CALL ty_show('json', '{"b": 1,  "a": [1, 2], "b": 2}', 'null', '"text"', '  1.0 ');
\! $REDIS eval "$SHOW" 0
CALL ty_show('jsonb', '{"b": 1,  "a": [1, {"c": null}], "b": 2}', 'null', '"te\"xt"', '1.10');
\! $REDIS eval "$SHOW" 0

-- arrays
CALL ty_show('int[]', '{1,NULL,3}', '{}', '{{1,2},{3,4}}', '[0:1]={5,6}');
\! $REDIS eval "$SHOW" 0
CALL ty_show('text[]', '{a,"b,c","d\"e",NULL,"NULL",""}');
\! $REDIS eval "$SHOW" 0
CALL ty_show('timestamptz[]', '{"2024-01-01 00:00+00",NULL}');
\! $REDIS eval "$SHOW" 0
CALL ty_show('float8[]', '{0.1,NaN}');
\! $REDIS eval "$SHOW" 0
CALL ty_show('jsonb[]', array['{"a": 1}', '[2]']::jsonb[]::text);
\! $REDIS eval "$SHOW" 0

-- types of the user's
CALL ty_show('ty_mood', 'sad', 'it''s "ok"');
\! $REDIS eval "$SHOW" 0
CALL ty_show('ty_mood[]', '{sad,happy}');
\! $REDIS eval "$SHOW" 0
CALL ty_show('ty_posint', '5');
\! $REDIS eval "$SHOW" 0
CALL ty_show('ty_list', '{x,y}');
\! $REDIS eval "$SHOW" 0
CALL ty_show('ty_pair', '(1,"b c")', '(,)');
\! $REDIS eval "$SHOW" 0
CALL ty_show('ty_pair[]', '{"(1,x)","(2,)"}');
\! $REDIS eval "$SHOW" 0

-- ranges
CALL ty_show('int4range', '[1,5]', 'empty', '(,3)');
\! $REDIS eval "$SHOW" 0
CALL ty_show('numrange', '[1.50,2)');
\! $REDIS eval "$SHOW" 0
CALL ty_show('tstzrange', '[2024-01-01 00:00+00,2024-01-02 00:00+00)');
\! $REDIS eval "$SHOW" 0
CALL ty_show('daterange', '[2024-01-01,)');
\! $REDIS eval "$SHOW" 0
CALL ty_show('int4multirange', '{[1,3),[5,8)}', '{}');
\! $REDIS eval "$SHOW" 0

-- the others
CALL ty_show('uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
\! $REDIS eval "$SHOW" 0
CALL ty_show('inet', '192.168.1.5/24', '10.0.0.1', '::1/128');
\! $REDIS eval "$SHOW" 0
CALL ty_show('cidr', '10.0.0.0/8');
\! $REDIS eval "$SHOW" 0
CALL ty_show('macaddr', '08-00-2B-01-02-03');
\! $REDIS eval "$SHOW" 0
CALL ty_show('point', '(1.5,-2)');
\! $REDIS eval "$SHOW" 0
CALL ty_show('box', '(1,1),(0,0)');
\! $REDIS eval "$SHOW" 0
CALL ty_show('tsvector', 'a:1 fat:2 ''q''''x'':3');
\! $REDIS eval "$SHOW" 0
CALL ty_show('tsquery', 'a & !b');
\! $REDIS eval "$SHOW" 0
CALL ty_show('regclass', 'pg_class', 'wtcache.status');
\! $REDIS eval "$SHOW" 0
CALL ty_show('regtype', 'int', 'ty_pair');
\! $REDIS eval "$SHOW" 0
CALL ty_show('pg_lsn', '16/B374D848');
\! $REDIS eval "$SHOW" 0
CALL ty_show('jsonpath', '$.a[*] ? (@ > 1)');
\! $REDIS eval "$SHOW" 0

-- NULL of any type
CREATE TABLE ty_null (id int PRIMARY KEY, i int, t text, j jsonb, a int[], c ty_pair);
SELECT wtcache.attach('ty_null');
INSERT INTO ty_null (id) VALUES (1);
\! $REDIS get ty_null:1
INSERT INTO ty_null VALUES (2, NULL, NULL, 'null', '{NULL}', ROW(NULL, NULL));
\! $REDIS get ty_null:2

-- in keys and tags: the output form, as in a hash
CREATE TABLE ty_keys (i numeric, f float8, t timestamptz, d date, b bytea, n interval, e ty_mood, u uuid, a text[], j boolean,
                      PRIMARY KEY (i, f, t, d, b, n, e, u, a, j));
SELECT wtcache.attach('ty_keys', key => 'ty_keys/{i}/{f}/{t}/{d}/{b}/{n}/{e}/{u}/{a}/{j}', tags => '{"{t}"}');
INSERT INTO ty_keys VALUES (1.50, 0.1, '2024-01-01 12:00+02', '2024-01-01', '\xff', '1 day 2:00', 'sad',
                            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a,"b/c"}', true);
\! $REDIS --scan --pattern 'ty_keys/*'
\! $REDIS exists 'tag:2024-01-01 10:00:00+00'
-- equal values that are written differently are different keys
UPDATE ty_keys SET i = 1.5;
\! $REDIS --scan --pattern 'ty_keys/*'

DROP TABLE ty_null, ty_keys;
DROP PROCEDURE ty_show;
DROP TYPE ty_mood, ty_pair;
DROP DOMAIN ty_posint, ty_list;
