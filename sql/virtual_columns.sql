-- Virtual generated columns (PostgreSQL 18): a trigger's row does not have
-- their values, so what would need one is refused or deleted.  Before 18
-- the column is a stored one, and there is nothing to refuse.
\set redis `echo "redis-cli -s $WTC_REDIS_SOCKET"`
\setenv REDIS :redis
SELECT current_setting('server_version_num')::int >= 180000 AS virtual,
       CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END AS kind \gset
CREATE TABLE vg (id int PRIMARY KEY, a int, v int GENERATED ALWAYS AS (a * 2) :kind);
CREATE FUNCTION vg_refused(how text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'SELECT wtcache.attach(''vg'', replace => true, ' || how || ')';
    RETURN false;
EXCEPTION WHEN feature_not_supported THEN RETURN SQLERRM LIKE '%virtual generated column%';
END $$;
-- in a template or a condition: refused
SELECT vg_refused($$key => '{id}:{v}'$$) = :'virtual' AS key,
       vg_refused($$tags => '{"{v}"}'$$) = :'virtual' AS tag,
       vg_refused($$invalidates => '{"{v}"}'$$) = :'virtual' AS invalidates,
       vg_refused($$condition => 'v > 0'$$) = :'virtual' AS condition,
       vg_refused($$columns => '{id,a}'$$) AS columns;
-- in the image: no image, and never a wrong one
SELECT wtcache.attach('vg', replace => true);
\! $REDIS set vg:1 '"stale"'
INSERT INTO vg (id, a) VALUES (1, 1);
SELECT wtcache.get('vg:1') IS NOT DISTINCT FROM CASE WHEN NOT :'virtual' THEN '{"a": 1, "v": 2, "id": 1}'::jsonb END AS ok;
SELECT wtcache.attach('vg', columns => '{v}', format => 'hash', replace => true);
UPDATE vg SET a = 2;
SELECT wtcache.get('vg:1') IS NOT DISTINCT FROM CASE WHEN NOT :'virtual' THEN '{"v": "4"}'::jsonb END AS ok;
-- without it
SELECT wtcache.attach('vg', columns => '{id,a}', replace => true);
UPDATE vg SET a = 3;
\! $REDIS get vg:1
DELETE FROM vg;
\! $REDIS exists vg:1
DROP TABLE vg;
DROP FUNCTION vg_refused;
