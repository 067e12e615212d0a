-- attach, detach, attachments, preview: defaults and options
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SET intervalstyle = postgres;
CREATE TABLE at_plain (id int PRIMARY KEY, name text, price numeric(8,2));
CREATE TABLE at_full (a int, b text, secret text, n int, PRIMARY KEY (b, a));

-- all defaults
SELECT wtcache.attach('at_plain');
SELECT * FROM wtcache.attachments WHERE relation = 'at_plain'::regclass;
INSERT INTO at_plain VALUES (1, 'one', 1.50);
\! $REDIS get at_plain:1
\! $REDIS eval "local t = redis.call('PTTL', 'at_plain:1') return t > 3140000 and t <= 3600000" 0

-- all options, by position and by name
SELECT wtcache.attach('at_full', 'full/{b}/{a}', '90 seconds',
                      '{"b:{b}","n:{n}"}', '{"list","list:{b}"}',
                      '{a,b,n}', 'n > 0', 'hash');
\x on
SELECT * FROM wtcache.attachments WHERE relation = 'at_full'::regclass;
SELECT wtcache.attach(relation => 'at_full', key => '{a}-{b}', ttl => '1 day',
                      tags => '{t}', invalidates => '{i}', columns => '{b,a}',
                      condition => 'n IS NOT NULL AND b <> ''x''',
                      format => 'json', replace => true);
SELECT * FROM wtcache.attachments WHERE relation = 'at_full'::regclass;
\x off
INSERT INTO at_full VALUES (1, 'k', 'hidden', 5);
\! $REDIS get 1-k
\! $REDIS smembers tag:t
\! $REDIS eval "local t = redis.call('PTTL', '1-k') return t > 77750000 and t <= 86400000" 0

-- NULL stands for the default of every option
SELECT wtcache.attach('at_full', NULL, NULL, NULL, NULL, NULL, NULL, NULL, replace => true);
SELECT * FROM wtcache.attachments WHERE relation = 'at_full'::regclass;

-- attaching twice is an error, unless all is to be replaced: then there is one row
-- trigger still, and one TRUNCATE trigger
SELECT wtcache.attach('at_full', ttl => '1 day');
SELECT wtcache.attach('at_full', replace => true);
SELECT tgname, tgtype, tgenabled FROM pg_trigger
 WHERE tgrelid = 'at_full'::regclass AND NOT tgisinternal ORDER BY tgname;
INSERT INTO at_full VALUES (2, 'k', 'hidden', 5);
\! $REDIS get at_full:k:2
\! $REDIS exists 2-k

-- braces in templates
SELECT wtcache.attach('at_plain', key => 'p{{{id}}}', tags => '{"{{}}","{{name}}"}', replace => true);
SELECT key, tags FROM wtcache.attachments WHERE relation = 'at_plain'::regclass;
INSERT INTO at_plain VALUES (3, 'three', 3);
\! $REDIS get 'p{3}'
\! $REDIS smembers 'tag:{}'
\! $REDIS smembers 'tag:{name}'

-- a key may use another unique index than the primary key's
CREATE TABLE at_unique (id int PRIMARY KEY, slug text UNIQUE, v int);
SELECT wtcache.attach('at_unique', key => 'slug:{slug}');
INSERT INTO at_unique VALUES (1, 'first', 1), (2, NULL, 2);
\! $REDIS get slug:first
\! $REDIS --scan --pattern 'slug:*'
\! $REDIS --scan --pattern 'at_unique*'

-- and more columns than the index has
SELECT wtcache.attach('at_unique', key => 'u:{id}:{v}', replace => true);
UPDATE at_unique SET v = 10 WHERE id = 1;
\! $REDIS get u:1:10

-- preview writes nothing
SELECT wtcache.attach('at_plain', ttl => '5 min', tags => '{"name:{name}","all"}',
                      invalidates => '{"list:{name}"}', condition => 'price > 1', replace => true);
SELECT p.* FROM at_plain t, wtcache.preview('at_plain', t) p ORDER BY t.id;
SELECT * FROM wtcache.preview('at_plain', ROW(7, NULL, 2.5)::at_plain);
SELECT * FROM wtcache.preview('at_plain', ROW(7, 'x', 0.5)::at_plain);
SELECT * FROM wtcache.preview('at_plain', ROW(NULL, 'x', 2)::at_plain);
SELECT * FROM wtcache.preview('at_plain', NULL);
\! $REDIS exists at_plain:7
SELECT wtcache.attach('at_plain', format => 'hash', columns => '{id,price}', replace => true);
SELECT * FROM wtcache.preview('at_plain', ROW(7, 'x', 2)::at_plain);
SELECT * FROM wtcache.preview('at_plain', ROW(7, 'x', 2));
SELECT * FROM wtcache.preview('at_full', ROW(7, 'x', 2)::at_plain);

-- detached: no more captures, and the keys go; or on request stay until they expire
INSERT INTO at_plain VALUES (4, 'four', 4);
BEGIN;
SELECT wtcache.detach('at_plain');
\! $REDIS exists at_plain:4
COMMIT;
\! $REDIS exists at_plain:4
SELECT wtcache.attach('at_plain', format => 'hash', columns => '{id,price}');
UPDATE at_plain SET price = 4 WHERE id = 4;
SELECT wtcache.detach('at_plain', drop_keys => false);
SELECT count(*) FROM wtcache.attachments WHERE relation = 'at_plain'::regclass;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'at_plain'::regclass;
UPDATE at_plain SET price = 5 WHERE id = 4;
\! $REDIS hget at_plain:4 price
SELECT wtcache.detach('at_plain');
SELECT * FROM wtcache.preview('at_plain', ROW(7, 'x', 2)::at_plain);
SELECT wtcache.detach(NULL);
-- keys that were kept are dropped by attaching the table so again, for a moment
SELECT wtcache.attach('at_plain'), wtcache.detach('at_plain');
\! $REDIS exists at_plain:4

-- attached and detached in a transaction that is rolled back
BEGIN;
SELECT wtcache.attach('at_plain', key => 'rolled:{id}');
UPDATE at_plain SET price = 6 WHERE id = 4;
ROLLBACK;
SELECT count(*) FROM wtcache.attachments WHERE relation = 'at_plain'::regclass;
\! $REDIS exists rolled:4

-- a disabled trigger is no attachment in force
ALTER TABLE at_full DISABLE TRIGGER wtcache_capture;
SELECT relation, enabled FROM wtcache.attachments WHERE relation = 'at_full'::regclass;
UPDATE at_full SET n = 6 WHERE a = 2;
\! $REDIS get at_full:k:2
ALTER TABLE at_full ENABLE TRIGGER wtcache_capture;
SELECT relation, enabled FROM wtcache.attachments WHERE relation = 'at_full'::regclass;

-- a renamed trigger is still the attachment
ALTER TRIGGER wtcache_capture ON at_full RENAME TO mine;
SELECT wtcache.attach('at_full', key => 'again:{b}:{a}', replace => true);
SELECT tgname FROM pg_trigger WHERE tgrelid = 'at_full'::regclass ORDER BY tgname;
SELECT key FROM wtcache.attachments WHERE relation = 'at_full'::regclass;
SELECT wtcache.detach('at_full');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'at_full'::regclass ORDER BY tgname;

DROP TABLE at_plain, at_full, at_unique;
