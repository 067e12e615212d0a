-- Documents: what several tables make together
CREATE TABLE doc_customer (id int PRIMARY KEY, name text);
CREATE TABLE doc_order (id int PRIMARY KEY, customer int, note text);
CREATE TABLE doc_item (id int PRIMARY KEY, order_id bigint, qty int);
INSERT INTO doc_customer VALUES (1, 'ann'), (2, 'bob');

SELECT wtcache.attach_document('order', 'doc_order', $$
	SELECT jsonb_build_object('note', o.note, 'customer', c.name, 'items',
		(SELECT jsonb_object_agg(i.id, i.qty) FROM doc_item i WHERE i.order_id = o.id))
	  FROM doc_order o LEFT JOIN doc_customer c ON c.id = o.customer
	 WHERE o.id = $1; -- the root
$$, tags => '{"doc_customer:{customer}"}', invalidates => '{"doc_list:{customer}"}');
SELECT wtcache.attach_part('order', 'doc_item', 'order_id');
SELECT wtcache.attach('doc_customer', invalidates => '{"doc_customer:{id}"}');

SELECT name, root, query, key, ttl, tags, invalidates, parts, others, problem FROM wtcache.documents;
SELECT definition FROM wtcache.documents;
\df wtcache_document_order

-- built once, at the end
BEGIN;
INSERT INTO doc_order VALUES (1, 1, 'one'), (2, 2, 'two');
INSERT INTO doc_item VALUES (1, 1, 5), (2, 1, 6), (3, 2, 7);
SELECT wtcache.get('order:1');
COMMIT;
SELECT wtcache.get('order:1'), wtcache.get('order:2');

-- a part that moves is in two documents
UPDATE doc_item SET order_id = 2 WHERE id = 2;
SELECT wtcache.get('order:1'), wtcache.get('order:2');
DELETE FROM doc_item WHERE order_id = 2;
SELECT wtcache.get('order:1'), wtcache.get('order:2');
INSERT INTO doc_item VALUES (8, NULL, 1), (9, 9, 1);
SELECT wtcache.get('order:9');

-- savepoints
BEGIN;
SAVEPOINT a;
UPDATE doc_order SET note = 'undone' WHERE id = 2;
UPDATE doc_item SET qty = 0 WHERE id = 1;
ROLLBACK TO a;
SAVEPOINT b;
UPDATE doc_order SET note = 'done' WHERE id = 1;
RELEASE b;
COMMIT;
SELECT wtcache.get('order:1'), wtcache.get('order:2');
-- nothing is left to write
BEGIN;
SAVEPOINT a;
UPDATE doc_item SET qty = 0 WHERE id = 1;
ROLLBACK TO a;
COMMIT;
BEGIN;
UPDATE doc_item SET qty = 0;
ROLLBACK;
SELECT wtcache.get('order:1');

-- tags: other tables that the document is made of; and lists that it is in
SELECT wtcache.set('list:1', '[1]'::jsonb, tags => '{doc_list:1}');
UPDATE doc_customer SET name = 'anna' WHERE id = 1;
SELECT wtcache.get('order:1') AS gone, wtcache.get('order:2'), wtcache.get('list:1') AS list;
UPDATE doc_item SET qty = 55 WHERE id = 1;
SELECT wtcache.get('order:1'), wtcache.get('list:1') AS gone;
-- another root row, another tag: with the old one it goes no more
SELECT wtcache.set('list:1', '[1]'::jsonb, tags => '{doc_list:1}'), wtcache.set('list:2', '[2]'::jsonb, tags => '{doc_list:2}');
UPDATE doc_order SET customer = 2 WHERE id = 1;
SELECT wtcache.get('list:1') AS gone, wtcache.get('list:2') AS gone;
SELECT wtcache.invalidate_tags('doc_customer:1');
SELECT wtcache.get('order:1');
SELECT wtcache.invalidate_tags('doc_customer:2');
SELECT wtcache.get('order:1') AS gone;
-- in one transaction: what is stored under a tag after all stays
BEGIN;
UPDATE doc_customer SET name = 'bo' WHERE id = 2;
UPDATE doc_order SET note = note || '!';
COMMIT;
SELECT wtcache.get('order:1'), wtcache.get('order:2');

-- roots: another key, gone, back again
UPDATE doc_order SET id = 3 WHERE id = 1;
SELECT wtcache.get('order:1') AS gone, wtcache.get('order:3');
BEGIN;
DELETE FROM doc_order WHERE id = 3;
INSERT INTO doc_order VALUES (3, NULL, 'again');
COMMIT;
SELECT wtcache.get('order:3');
DELETE FROM doc_order WHERE id = 3;
SELECT wtcache.get('order:3') AS gone;

-- TRUNCATE
INSERT INTO doc_item VALUES (20, 2, 20);
SELECT wtcache.get('order:2');
TRUNCATE doc_item;
SELECT wtcache.get('order:2');
TRUNCATE doc_order;
SELECT wtcache.get('order:2') AS gone;

-- deleted instead of stored: no snapshot of its own
INSERT INTO doc_order VALUES (1, 1, 'one'), (2, 2, 'two'), (3, NULL, 'three');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE doc_order SET note = 'rr' WHERE id = 1;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO doc_item VALUES (2, 2, 2);
COMMIT;
SELECT wtcache.get('order:1') AS gone, wtcache.get('order:2') AS gone, wtcache.get('order:3');
-- prepared
UPDATE doc_order SET note = note || '.';
BEGIN;
UPDATE doc_order SET note = 'prepared' WHERE id = 1;
PREPARE TRANSACTION 'doc';
SELECT wtcache.get('order:1');
-- meanwhile nobody waits for long, nor stores anything
SET wtcache.document_lock_timeout = '10ms';
INSERT INTO doc_item VALUES (1, 1, 1);
SELECT wtcache.get('order:1') AS gone;
COMMIT PREPARED 'doc';
SELECT wtcache.get('order:1') AS gone;
RESET wtcache.document_lock_timeout;
UPDATE doc_order SET note = note || '.';
SELECT wtcache.get('order:1');
-- too many of them
SET wtcache.document_limit = 2;
UPDATE doc_order SET note = note || '.' WHERE id < 3;
SELECT wtcache.get('order:1'), wtcache.get('order:2'), wtcache.get('order:3');
SELECT wtcache.set('list:1', '[1]'::jsonb, tags => '{doc_list:1}');
UPDATE doc_item SET qty = 0;
SELECT wtcache.get('list:1') AS gone;
SELECT wtcache.set('list:1', '[1]'::jsonb, tags => '{doc_list:1}');
UPDATE doc_order SET note = note || '.';
SELECT wtcache.get('order:1') AS gone, wtcache.get('order:2') AS gone, wtcache.get('order:3') AS gone, wtcache.get('list:1') AS gone;
-- the lock of all goes with the savepoint
BEGIN;
UPDATE doc_order SET note = 'first' WHERE id = 1;
SAVEPOINT a;
UPDATE doc_order SET note = note || '.';
ROLLBACK TO a;
SELECT count(*) FROM pg_locks WHERE objsubid = 30581;
COMMIT;
SELECT wtcache.get('order:1'), wtcache.get('order:2') AS gone;
RESET wtcache.document_limit;
SET wtcache.enabled = off;
UPDATE doc_order SET note = 'off';
SELECT wtcache.get('order:1') AS gone;
RESET wtcache.enabled;
UPDATE doc_order SET note = 'on';
SET wtcache.max_image_size = '1kB';
UPDATE doc_order SET note = repeat('x', 1000) WHERE id = 1;
SELECT wtcache.get('order:1') AS gone, wtcache.get('order:2');
RESET wtcache.max_image_size;
-- more than fits into memory
CREATE TABLE doc_other (id int PRIMARY KEY, v text);
SELECT wtcache.attach('doc_other');
SET wtcache.batch_memory = '64kB';
BEGIN;
UPDATE doc_order SET note = 'spilled' WHERE id = 1;
INSERT INTO doc_other SELECT i, repeat('v', 100) FROM generate_series(1, 2000) i;
COMMIT;
SELECT wtcache.get('order:1'), wtcache.get('doc_other:2000') IS NOT NULL AS other;
SET wtcache.document_limit = 1;
INSERT INTO doc_order SELECT i, 1, 'bulk' FROM generate_series(100, 1100) i;
SELECT count(*) FROM generate_series(100, 1100) i WHERE wtcache.get('order:' || i) IS NOT NULL;
RESET wtcache.document_limit;
RESET wtcache.batch_memory;
DELETE FROM doc_order WHERE id >= 100;
-- asynchronous
SET wtcache.mode = async;
UPDATE doc_order SET note = 'async' WHERE id = 1;
SELECT wtcache.wait('60s'), wtcache.get('order:1');
RESET wtcache.mode;

-- a query that fails does not keep tables from being written
UPDATE doc_item SET qty = 1;
SELECT wtcache.attach_document('order', 'doc_order',
	'SELECT to_jsonb(1 / min(qty)) FROM doc_item WHERE order_id = $1', replace => true);
SELECT wtcache.get('order:1') AS gone;
INSERT INTO doc_item VALUES (7, 2, 0);
UPDATE doc_order SET note = 'fails';
SELECT wtcache.get('order:1'), wtcache.get('order:2') AS gone;
SELECT wtcache.preview_document('order', '2');
-- there may be none, and not two
DELETE FROM doc_item;
SELECT wtcache.attach_document('order', 'doc_order',
	'SELECT to_jsonb(qty) FROM doc_item WHERE order_id = $1', replace => true);
INSERT INTO doc_item VALUES (1, 1, 1), (2, 2, 1), (3, 2, 2);
SELECT wtcache.get('order:1'), wtcache.get('order:2') AS gone;
DELETE FROM doc_item WHERE order_id = 1;
SELECT wtcache.get('order:1') AS gone;

-- preview
SELECT * FROM wtcache.preview_document('order', '1');
INSERT INTO doc_item VALUES (1, 1, 1);
SELECT * FROM wtcache.preview_document('order', '1');
SELECT * FROM wtcache.preview_document('order', '77');
SELECT wtcache.preview_document('nope', '77');
SELECT wtcache.preview_document('order', '1', '2');
SELECT wtcache.preview_document('order', 'x');

-- all of them
UPDATE doc_item SET order_id = id;
SELECT wtcache.clear_document('order');
SELECT wtcache.get('order:1') AS gone;
CALL wtcache.warm_document('order', batch_size => 2);
SELECT wtcache.get('order:1'), wtcache.get('order:2'), wtcache.get('order:3');
SELECT * FROM wtcache.verify_document('order');
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
\! $REDIS set order:1 old >/dev/null; $REDIS del order:2 >/dev/null; $REDIS set order:3 '{"n": 1}' >/dev/null
SELECT * FROM wtcache.verify_document('order');
SELECT * FROM wtcache.verify_document('order', repair => true);
SELECT * FROM wtcache.verify_document('order');
SELECT wtcache.get('order:1'), wtcache.get('order:2'), wtcache.get('order:3');
BEGIN;
SELECT wtcache.clear_document('order');
ROLLBACK;
SELECT wtcache.get('order:1');
BEGIN;
CALL wtcache.warm_document('order');
ROLLBACK;
SET default_transaction_isolation = 'repeatable read';
CALL wtcache.warm_document('order');
RESET default_transaction_isolation;
CALL wtcache.warm_document('nope');
CALL wtcache.warm_document('order', batch_size => 0);
CALL wtcache.warm_document('order', max_rate => 0);
CALL wtcache.warm_document(NULL);
SELECT wtcache.clear_document('nope');

-- detaching: the part, then the document
SELECT wtcache.detach_part('order', 'doc_item');
SELECT wtcache.get('order:1') AS gone;
SELECT wtcache.detach_part('order', 'doc_item');
\d doc_item
UPDATE doc_order SET note = '' WHERE id = 1;
SELECT wtcache.get('order:1');
SELECT wtcache.attach_part('order', 'doc_item', 'order_id');
SELECT wtcache.get('order:1') AS gone;
UPDATE doc_order SET note = '';
SELECT wtcache.detach_document('order', drop_keys => false);
SELECT wtcache.get('order:1');
\d doc_order
\d doc_item
\df wtcache_document_order
SELECT wtcache.detach_document('order');

-- keys of several columns, and of text
CREATE TABLE doc_page (site text, "N r" int, title text, PRIMARY KEY ("N r", site));
CREATE TABLE doc_line ("Page, nr" smallint, site varchar, line text);
SELECT wtcache.attach_document('page', 'doc_page', $$
	SELECT json_build_object('title', title, 'lines', (SELECT json_agg(line) FROM doc_line WHERE site = $2 AND "Page, nr" = $1))
	  FROM doc_page WHERE site = $2 AND "N r" = $1 $$, key => 'page/{site}/{N r}', ttl => '2 days');
SELECT wtcache.attach_part('page', 'doc_line', ' "Page, nr" , site ');
SELECT definition FROM wtcache.documents;
INSERT INTO doc_page VALUES ('a/b', 1, 't');
INSERT INTO doc_line VALUES (1, 'a/b', 'l');
SELECT wtcache.get_text('page/a%2Fb/1');
SELECT * FROM wtcache.preview_document('page', '01', 'a/b');
INSERT INTO doc_page VALUES ('a', 1, 't'), ('b', 1, 't'), ('a', 2, 't');
SELECT wtcache.clear_document('page');
CALL wtcache.warm_document('page', 1);
SELECT count(wtcache.get(k)) FROM unnest(ARRAY['page/a/1', 'page/b/1', 'page/a/2', 'page/a%2Fb/1']) k;
DO $$ BEGIN EXECUTE (SELECT replace(definition, '2 days)', ')') FROM wtcache.documents); EXCEPTION WHEN duplicate_object THEN RAISE NOTICE 'exists'; END $$;
SELECT wtcache.detach_document('page');

DROP TABLE doc_customer, doc_order, doc_item, doc_other, doc_page, doc_line;
