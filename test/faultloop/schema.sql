-- The tables of the fault loop.  All columns follow from id, seq and writer,
-- so that a reader can tell a whole image from one that is not: make_image()
-- in oracle.c says the same.  Rows move from category to category.

CREATE FUNCTION category_of(id bigint, seq bigint) RETURNS int
	LANGUAGE sql IMMUTABLE AS 'SELECT ((seq / 2 * 7 + id) % 20)::int';
CREATE FUNCTION pad_of(seq bigint) RETURNS text
	LANGUAGE sql IMMUTABLE AS $$SELECT repeat('x', (seq % 100)::int)$$;
CREATE FUNCTION checksum_of(id bigint, seq bigint, writer int) RETURNS bigint
	LANGUAGE sql IMMUTABLE AS 'SELECT (id * 1000003 + seq * 7919
		+ writer::bigint * 104729 + category_of(id, seq) * 31) % 2147483647';

CREATE TABLE items (id int PRIMARY KEY, seq bigint NOT NULL,
	writer int NOT NULL, category int NOT NULL, note text NOT NULL,
	pad text NOT NULL, checksum bigint NOT NULL);
CREATE TABLE hot (LIKE items INCLUDING ALL);
CREATE TABLE bulk (LIKE items INCLUDING ALL);
CREATE TABLE section (LIKE items INCLUDING ALL);
CREATE TABLE probe (id int PRIMARY KEY, seq bigint NOT NULL);

SELECT wtcache.attach('items', tags => '{"cat:{category}"}');
SELECT wtcache.attach('hot', tags => '{"cat:{category}"}');
SELECT wtcache.attach('bulk', tags => '{"cat:{category}"}');
SELECT wtcache.attach('section', tags => '{"cat:{category}"}',
	invalidates => '{"page:{id}"}');
SELECT wtcache.attach('probe');

INSERT INTO hot SELECT i, 0, 0, category_of(i, 0), 'good-' || i || '-0', '',
	checksum_of(i, 0, 0) FROM generate_series(0, 15) i;
INSERT INTO bulk SELECT i, 0, 0, category_of(i, 0), 'good-' || i || '-0', '',
	checksum_of(i, 0, 0) FROM generate_series(0, 19999) i;
INSERT INTO probe VALUES (1, 0);

CREATE ROLE writer LOGIN;
GRANT ALL ON items, hot, bulk, section TO writer;
GRANT EXECUTE ON FUNCTION wtcache.set(text, jsonb, interval, text[]),
	wtcache.set(text, text, interval, text[]) TO writer;

-- Operators own the tables.  Differences are planted in plant and nowhere else,
-- and the schema is changed of what shape.c creates.
CREATE ROLE operator LOGIN;
GRANT CREATE ON SCHEMA public TO operator;
GRANT EXECUTE ON FUNCTION wtcache.attach, wtcache.detach, wtcache.clear, wtcache.verify,
	wtcache.wait TO operator;
GRANT EXECUTE ON PROCEDURE wtcache.warm TO operator;
GRANT SELECT ON wtcache.stat_progress_warm TO operator;
CREATE TABLE plant (id int PRIMARY KEY, seq bigint NOT NULL);
SELECT wtcache.attach('plant', tags => '{"plant:{id}"}');
INSERT INTO plant SELECT i, 0 FROM generate_series(0, 99) i;
CREATE SEQUENCE shape_seq;
CREATE TABLE shaped (id int PRIMARY KEY, seq bigint NOT NULL);
CREATE TABLE parted (id int PRIMARY KEY, seq bigint NOT NULL)
	PARTITION BY RANGE (id);
ALTER TABLE items OWNER TO operator;
ALTER TABLE hot OWNER TO operator;
ALTER TABLE bulk OWNER TO operator;
ALTER TABLE section OWNER TO operator;
ALTER TABLE plant OWNER TO operator;
ALTER TABLE shaped OWNER TO operator;
ALTER TABLE parted OWNER TO operator;
ALTER SEQUENCE shape_seq OWNER TO operator;

-- Another trigger changes some rows again, in front of wtcache's, which then
-- sees the later version first.
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE items SET seq = NEW.seq + 1,
		category = category_of(id, NEW.seq + 1), pad = pad_of(NEW.seq + 1),
		checksum = checksum_of(id, NEW.seq + 1, NEW.writer),
		note = CASE NEW.note WHEN 'poison' THEN 'poison'
			ELSE 'good-' || id || '-' || NEW.seq + 1 END
		WHERE id = NEW.id;
	RETURN NULL;
END $$;
CREATE TRIGGER aaa AFTER INSERT OR UPDATE ON items
	FOR EACH ROW WHEN (NEW.seq % 10 = 7) EXECUTE FUNCTION again();
