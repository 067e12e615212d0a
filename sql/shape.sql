-- the shape of images: names of their fields, and how values are written
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
CREATE DOMAIN sh_count AS bigint;
CREATE TABLE sh (id int PRIMARY KEY, price numeric(10,2), "a=b" int, """q" int, n bigint, c sh_count,
                 at timestamp, tz timestamptz, ok boolean, ns bigint[], ats timestamp[], oks boolean[], j jsonb);

-- a column under another name; names that have an equals sign or begin with a quote
SELECT wtcache.attach('sh', columns => '{id,unit_price=price,price=n,"\"a=b\"","\"x=y\"=\"a=b\"","z=\"\"\"q\""}');
SELECT columns, definition FROM wtcache.attachments WHERE relation = 'sh'::regclass;
INSERT INTO sh (id, price, "a=b", """q", n) VALUES (1, 9.50, 2, 3, 4);
\! $REDIS get sh:1
SELECT value FROM sh t, wtcache.preview('sh', t);
-- what definition() says makes the same
SELECT wtcache.definition('sh') AS before \gset
SELECT wtcache.detach('sh');
:before;
SELECT wtcache.definition('sh') = :'before' AS same;
UPDATE sh SET n = 5;
\! $REDIS get sh:1
-- as a hash
SELECT wtcache.alter('sh', columns => '{id,unit_price=price,again=price}', format => 'hash');
UPDATE sh SET n = 6;
\! $REDIS hgetall sh:1
SELECT * FROM wtcache.verify('sh');
SELECT wtcache.alter('sh', format => 'json');

-- what is no list of columns
SELECT wtcache.alter('sh', columns => '{id,id=n}');
SELECT wtcache.alter('sh', columns => '{"=n"}');
SELECT wtcache.alter('sh', columns => '{"x="}');
SELECT wtcache.alter('sh', columns => '{"\"x"}');
SELECT wtcache.alter('sh', columns => '{"\"x\"y=id"}');
SELECT wtcache.alter('sh', columns => '{x=nothing}');
SELECT wtcache.alter('sh', columns => '{x=ctid}');
SELECT wtcache.alter('sh', columns => ARRAY[repeat('x', 64) || '=id']);
CREATE TABLE sh_hand (id int PRIMARY KEY, v int);
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON sh_hand FOR EACH ROW
    EXECUTE FUNCTION wtcache.capture_row('key=h:{id}', 'column=v', 'column=v=id');
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON sh_hand FOR EACH ROW
    EXECUTE FUNCTION wtcache.capture_row('key=h:{id}', 'column="v');
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON sh_hand FOR EACH ROW
    EXECUTE FUNCTION wtcache.capture_row('key=h:{id}', 'shape=round');
DROP TABLE sh_hand;

-- renaming: a field keeps the name that it was given, and images stay
SELECT wtcache.alter('sh', columns => '{id,unit_price=price,n}');
UPDATE sh SET n = 7;
ALTER TABLE sh RENAME price TO cost;
SELECT columns FROM wtcache.attachments WHERE relation = 'sh'::regclass;
\! $REDIS get sh:1
UPDATE sh SET n = 8;
\! $REDIS get sh:1
-- one without takes the new name of its column, and images go
ALTER TABLE sh RENAME n TO "=";
SELECT columns FROM wtcache.attachments WHERE relation = 'sh'::regclass;
\! $REDIS exists sh:1
UPDATE sh SET "=" = 9;
\! $REDIS get sh:1
-- but not one that another field has; nor can a column be dropped that is listed
ALTER TABLE sh RENAME "=" TO unit_price;
ALTER TABLE sh RENAME "=" TO n;
ALTER TABLE sh DROP COLUMN cost;
ALTER TABLE sh RENAME cost TO price;
UPDATE sh SET n = 10;
\! $REDIS get sh:1
-- another type, and a new column
ALTER TABLE sh ALTER price TYPE text;
\! $REDIS exists sh:1
UPDATE sh SET n = 11;
ALTER TABLE sh ADD COLUMN more int;
\! $REDIS get sh:1
ALTER TABLE sh ALTER price TYPE numeric USING price::numeric;

-- values: as they are, and on request otherwise
SELECT wtcache.alter('sh', reset => '{columns}');
CREATE FUNCTION sh_write() RETURNS void LANGUAGE sql AS $$
    DELETE FROM sh;
    INSERT INTO sh VALUES (1, 12345678901234567.89, 2, 3, 9007199254740993, 5, '2026-01-31 12:00', '2026-01-31 12:00+02', true,
                           '{{1,NULL},{9007199254740993,4}}', '{2026-01-31 12:00:00.5,infinity,NULL}', '{t,NULL,f}', '{"n": 9007199254740993}'),
                          (2, 'NaN', 2, 3, NULL, NULL, '0044-03-15 12:00 BC', '-infinity', false, '{}', '[0:0]={0044-03-15 12:00 BC}', NULL, NULL);
$$;
SELECT sh_write();
\! $REDIS mget sh:1 sh:2
SELECT wtcache.alter('sh', shape => '{text_numbers,utc_timestamps,word_booleans,text_numbers}');
SELECT shape, definition FROM wtcache.attachments WHERE relation = 'sh'::regclass;
\! $REDIS exists sh:1
SELECT sh_write();
\! $REDIS mget sh:1 sh:2
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
SELECT value FROM sh t, wtcache.preview('sh', t);
RESET TimeZone;
RESET DateStyle;
SELECT * FROM wtcache.verify('sh');
-- a hash has texts; booleans are t and f, or words
SELECT wtcache.alter('sh', format => 'hash', columns => '{n,price,at,tz,ok,ns,ats,oks}', reset => '{shape}');
SELECT sh_write();
\! $REDIS hgetall sh:1
SELECT wtcache.alter('sh', shape => '{text_numbers,utc_timestamps,word_booleans}');
SELECT sh_write();
\! $REDIS hgetall sh:1
\! $REDIS hgetall sh:2
SELECT * FROM wtcache.verify('sh');
-- filled from the table
\! $REDIS del sh:1 sh:2
CALL wtcache.warm('sh');
\! $REDIS hmget sh:1 at ok
SELECT wtcache.alter('sh', shape => '{round}');
SELECT wtcache.alter('sh', shape => '{NULL}');
SELECT wtcache.alter('sh', shape => '{}');
SELECT shape FROM wtcache.attachments WHERE relation = 'sh'::regclass;
-- names and words, of a partition
CREATE TABLE sh_parts (id bigint PRIMARY KEY, v int, gone int) PARTITION BY RANGE (id);
CREATE TABLE sh_part (gone int, v int, id bigint NOT NULL);
ALTER TABLE sh_part DROP COLUMN gone;
ALTER TABLE sh_parts DROP COLUMN gone;
ALTER TABLE sh_parts ATTACH PARTITION sh_part FOR VALUES FROM (0) TO (100);
SELECT wtcache.attach('sh_parts', columns => '{number=id,value=v}', shape => '{text_numbers}');
INSERT INTO sh_parts VALUES (1, 2);
\! $REDIS get sh_parts:1
ALTER TABLE sh_parts RENAME v TO w;
UPDATE sh_parts SET w = 3;
\! $REDIS get sh_parts:1
SELECT wtcache.attach('sh_parts', columns => '{id,w}', shape => '{text_numbers}', replace => true);
SELECT tgnargs, encode(tgargs, 'escape') AS args FROM pg_trigger WHERE tgrelid = 'sh_part'::regclass AND tgname = 'wtcache_capture';
DROP TABLE sh_parts, sh;
DROP FUNCTION sh_write;
DROP DOMAIN sh_count;
