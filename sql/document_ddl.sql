-- Documents and changes of the schema
CREATE TABLE dd_order (id int PRIMARY KEY, customer int, note text);
CREATE TABLE dd_item (id int PRIMARY KEY, order_id int, qty int);
CREATE TABLE dd_other (id int PRIMARY KEY);
SELECT wtcache.attach_document('order', 'dd_order', $$
	SELECT jsonb_build_object('order', to_jsonb(o), 'items', (SELECT jsonb_agg(to_jsonb(i)) FROM dd_item i WHERE i.order_id = o.id))
	  FROM dd_order o WHERE o.id = $1$$, tags => '{"customer:{customer}"}', invalidates => '{"list:{customer}"}');
SELECT wtcache.attach_part('order', 'dd_item', 'order_id');
CREATE FUNCTION fill() RETURNS text LANGUAGE plpgsql AS $$ BEGIN UPDATE dd_order SET note = note; RETURN 'done'; END $$;
CREATE FUNCTION cached() RETURNS text LANGUAGE sql AS $$ SELECT wtcache.get_text('order:1') $$;
INSERT INTO dd_order VALUES (1, 1, 'n');
INSERT INTO dd_item VALUES (1, 1, 5);
SELECT cached();

-- whole rows have other fields
ALTER TABLE dd_item ADD COLUMN price int;
SELECT cached() AS gone, fill();
SELECT cached();
ALTER TABLE dd_item RENAME COLUMN price TO cost;
SELECT cached() AS gone, fill();
SELECT cached();
ALTER TABLE dd_item DROP COLUMN cost;
SELECT cached() AS gone, fill();
SELECT cached();
BEGIN;
ALTER TABLE dd_order ADD COLUMN extra int;
ROLLBACK;
SELECT cached() IS NOT NULL AS kept;
ALTER TABLE dd_other ADD COLUMN extra int;
SELECT cached() IS NOT NULL AS kept;
-- names are followed
ALTER TABLE dd_item RENAME COLUMN order_id TO "of, order";
ALTER TABLE dd_order RENAME COLUMN id TO nr;
ALTER TABLE dd_order RENAME COLUMN customer TO cust;
ALTER TABLE dd_order RENAME TO dd_orders;
ALTER TABLE dd_item RENAME TO dd_items;
ALTER FUNCTION wtcache_document_order RENAME TO order_query;
CREATE SCHEMA dd;
ALTER TABLE dd_items SET SCHEMA dd;
SELECT key, tags, invalidates, root, parts, problem, definition FROM wtcache.documents;
INSERT INTO dd.dd_items VALUES (2, 1, 6);
SELECT cached();
ALTER TABLE dd.dd_items SET SCHEMA public;
ALTER TABLE dd_orders RENAME TO dd_order;
ALTER TABLE dd_items RENAME TO dd_item;
ALTER TABLE dd_item RENAME COLUMN "of, order" TO order_id;

SELECT fill();

-- what is needed stays: because of the query, or of the triggers
ALTER TABLE dd_order DROP COLUMN nr;
ALTER TABLE dd_order DROP COLUMN cust;
ALTER TABLE dd_item DROP COLUMN order_id;
ALTER TABLE dd_order ALTER COLUMN nr TYPE bigint;
DROP TABLE dd_item;
DROP FUNCTION order_query;
ALTER TABLE dd_order SET UNLOGGED;
ALTER TABLE dd_item SET UNLOGGED;
ALTER FUNCTION wtcache.capture_part() RENAME TO x;
SELECT cached() IS NOT NULL AS kept;

-- triggers: what is not watched is not cached
ALTER TABLE dd_item DISABLE TRIGGER wtcache_part_order;
SELECT cached() AS gone, fill();
SELECT cached() AS gone;
SELECT problem FROM wtcache.documents;
ALTER TABLE dd_item ENABLE TRIGGER wtcache_part_order;
SELECT cached() AS gone, fill();
SELECT cached() IS NOT NULL AS there;
ALTER TABLE dd_order DISABLE TRIGGER ALL;
SELECT cached() AS gone;
ALTER TABLE dd_order ENABLE TRIGGER ALL;
SELECT fill();
DROP TRIGGER wtcache_document_truncate ON dd_item;
SELECT cached() AS gone, fill();
SELECT problem FROM wtcache.documents;
CREATE TRIGGER t BEFORE TRUNCATE ON dd_item EXECUTE FUNCTION wtcache.capture_document_truncate();
SELECT fill();
SELECT cached() IS NOT NULL AS there;
DROP TRIGGER wtcache_part_order ON dd_item;
SELECT cached() AS gone, fill();
SELECT parts, others FROM wtcache.documents;
CREATE TRIGGER p AFTER INSERT OR UPDATE OR DELETE ON dd_item FOR EACH ROW EXECUTE FUNCTION wtcache.capture_part('document=order', 'root_key=order_id');
SELECT fill();
INSERT INTO dd_item VALUES (3, 1, 7);
SELECT cached();
CREATE TRIGGER second AFTER INSERT OR UPDATE OR DELETE ON dd_order FOR EACH ROW EXECUTE FUNCTION wtcache.capture_document('name=order', 'key=second:{nr}');
CREATE OR REPLACE TRIGGER wtcache_document_order AFTER INSERT OR UPDATE OR DELETE ON dd_order FOR EACH ROW EXECUTE FUNCTION wtcache.capture_document('name=order', 'key=second:{nr}');
SELECT cached() AS gone, fill();
SELECT key, problem FROM wtcache.documents;
SELECT wtcache.detach_document('order');
DROP FUNCTION order_query;

-- a table that is read, but is no part
SELECT wtcache.attach_document('order', 'dd_order', 'SELECT to_jsonb(i) FROM dd_item i WHERE i.order_id = $1 AND i.id = 1');
SELECT fill();
SELECT cached();
ALTER TABLE dd_item ADD COLUMN price int;
SELECT cached() AS gone, fill();
-- gone with all it needs
DROP TABLE dd_item CASCADE;
SELECT cached() AS gone;
SELECT * FROM wtcache.documents;
SELECT wtcache.attach_document('order', 'dd_order', 'SELECT to_jsonb(o) FROM dd_order o WHERE nr = $1');
SELECT fill();
SELECT cached();
DROP TABLE dd_order;
DROP TABLE dd_order CASCADE;
SELECT cached() AS gone;
SELECT * FROM wtcache.documents;
DROP TABLE dd_other;
DROP SCHEMA dd;
DROP FUNCTION fill, cached;
