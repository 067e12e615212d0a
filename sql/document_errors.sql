-- attach_document(), attach_part(): what is refused, and how it says so
CREATE TABLE de (id int PRIMARY KEY, a int, v text);
CREATE TABLE de_part (id int PRIMARY KEY, de int, n numeric, s text);
CREATE TABLE de_nopk (id int);
CREATE TABLE de_numeric (id numeric PRIMARY KEY);
CREATE COLLATION de_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE de_ci (id text COLLATE de_ci PRIMARY KEY);
CREATE TABLE de_parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE UNLOGGED TABLE de_unlogged (id int PRIMARY KEY);
INSERT INTO de VALUES (1, 1, 'v');

SELECT wtcache.attach_document(NULL, 'de', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', NULL, 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'de', NULL);
SELECT wtcache.attach_document('', 'de', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document(repeat('d', 47), 'de', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'de_nopk', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'de_numeric', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'de_ci', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'de_parts', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'de_unlogged', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'pg_class', 'SELECT to_jsonb(1)');

-- queries
SELECT wtcache.attach_document('d', 'de', 'SELECT');
SELECT wtcache.attach_document('d', 'de', '');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1); SELECT 2');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1); END; DROP TABLE de; BEGIN');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1) INTO x');
SELECT wtcache.attach_document('d', 'de', 'DELETE FROM de RETURNING to_jsonb(id)');
SELECT wtcache.attach_document('d', 'de', 'WITH d AS (DELETE FROM de RETURNING id) SELECT to_jsonb(id) FROM d');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(id) FROM de WHERE id = $1 FOR UPDATE');
SELECT wtcache.attach_document('d', 'de', 'SELECT id FROM de WHERE id = $1');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(id), 1 FROM de WHERE id = $1');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(nope) FROM de WHERE id = $1');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(id) FROM de WHERE id = $2');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(random())');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1 / (a - 1)) FROM de WHERE id = $1');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(x) FROM generate_series(1, 2) x');

-- templates and keys
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', key => 'd:{nope}');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', key => 'd:{a}');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', key => 'd:{id}:{a}');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', key => 'd');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', key => 'wtcache:{id}');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', tags => '{"{nope}"}');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', invalidates => '{NULL}');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', ttl => '0');
SELECT wtcache.attach('de');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)', key => 'de:{id}');
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('e', 'de', 'SELECT to_jsonb(1)', key => 'd:{id}');
SELECT wtcache.attach('de', key => 'd:{id}', replace => true);
SELECT wtcache.attach_document('d', 'de', 'SELECT to_jsonb(1)');
SELECT wtcache.attach_document('d', 'de_part', 'SELECT to_jsonb(1)', replace => true);

-- parts
SELECT wtcache.attach_part('nope', 'de_part', 'de');
SELECT wtcache.attach_part('d', 'de_part', 'nope');
SELECT wtcache.attach_part('d', 'de_part', 'n');
SELECT wtcache.attach_part('d', 'de_part', 's');
SELECT wtcache.attach_part('d', 'de_part', 'de,id');
SELECT wtcache.attach_part('d', 'de_part', '"de');
SELECT wtcache.attach_part('d', 'de_part', '"de"x');
SELECT wtcache.attach_part('d', 'de_parts', 'id');
SELECT wtcache.attach_part('d', 'de_part', 'de');
SELECT wtcache.attach_part('d', 'de_part', 'de');

-- triggers by hand
CREATE TRIGGER x AFTER INSERT ON de FOR EACH ROW EXECUTE FUNCTION wtcache.capture_document('name=x', 'key=x:{id}', 'nope=1');
INSERT INTO de VALUES (2);
DROP TRIGGER x ON de;
CREATE TRIGGER x AFTER INSERT ON de FOR EACH ROW EXECUTE FUNCTION wtcache.capture_part('document=d');
INSERT INTO de VALUES (2);
DROP TRIGGER x ON de;
CREATE TRIGGER x AFTER INSERT ON de FOR EACH ROW EXECUTE FUNCTION wtcache.capture_part('document=d', 'root_key=nope');
INSERT INTO de VALUES (2);
DROP TRIGGER x ON de;
CREATE TRIGGER x BEFORE INSERT ON de FOR EACH ROW EXECUTE FUNCTION wtcache.capture_document('name=x', 'key=x:{id}');
INSERT INTO de VALUES (2);
DROP TRIGGER x ON de;
CREATE TRIGGER x AFTER INSERT ON de FOR EACH ROW EXECUTE FUNCTION wtcache.capture_document('name=x', 'key=d:{id}');
-- one without a query: there are no documents
CREATE TRIGGER x AFTER INSERT ON de FOR EACH ROW EXECUTE FUNCTION wtcache.capture_document('name=x', 'key=x:{id}');
INSERT INTO de VALUES (2);
SELECT name, query, problem FROM wtcache.documents ORDER BY name;
SELECT wtcache.preview_document('x', '2');
DROP TRIGGER x ON de;

-- whose it is
CREATE ROLE de_owner;
CREATE ROLE de_other;
GRANT CREATE ON SCHEMA public TO de_owner;
ALTER TABLE de OWNER TO de_owner;
SELECT problem FROM wtcache.documents;
UPDATE de SET v = 'other owner' WHERE id = 1;
SET ROLE de_owner;
SELECT wtcache.attach_document('e', 'de', 'SELECT to_jsonb(1)');
RESET ROLE;
GRANT EXECUTE ON FUNCTION wtcache.attach_document, wtcache.attach_part, wtcache.detach_document TO de_owner, de_other;
SET ROLE de_owner;
SELECT wtcache.attach_document('e', 'de', 'SELECT to_jsonb(s) FROM de_part WHERE id = $1');
SELECT wtcache.attach_document('e', 'de', 'SELECT to_jsonb(v) FROM de WHERE id = $1');
SELECT wtcache.attach_part('e', 'de_part', 'de');
SET ROLE de_other;
SELECT wtcache.attach_document('e', 'de', 'SELECT to_jsonb(1)', replace => true);
SELECT wtcache.attach_part('e', 'de_part', 'de');
SELECT wtcache.detach_document('e');
SELECT wtcache.preview_document('e', '1');
SELECT name FROM wtcache.documents ORDER BY name;
RESET ROLE;
-- built with the owner's rights, whoever writes
GRANT INSERT ON de TO de_other;
SET ROLE de_other;
INSERT INTO de VALUES (3, 3, 'by another');
RESET ROLE;
SELECT wtcache.get('e:3');
-- made for another owner
SELECT wtcache.attach_document('f', 'de', 'SELECT to_jsonb(v) FROM de WHERE id = $1');
SELECT proowner::regrole FROM pg_proc WHERE proname = 'wtcache_document_f';
SELECT wtcache.detach_document('d'), wtcache.detach_document('e'), wtcache.detach_document('f');
DROP TABLE de, de_part, de_nopk, de_numeric, de_ci, de_parts, de_unlogged;
DROP COLLATION de_ci;
REVOKE CREATE ON SCHEMA public FROM de_owner;
REVOKE EXECUTE ON FUNCTION wtcache.attach_document, wtcache.attach_part, wtcache.detach_document FROM de_owner, de_other;
DROP ROLE de_owner;
DROP ROLE de_other;
