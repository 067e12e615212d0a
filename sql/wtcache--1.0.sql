/* wtcache 1.0 */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION wtcache" to load this file. \quit

-- It must not exist: another role would own it, and could put functions into it
-- that are called in place of ours.
CREATE SCHEMA wtcache;
COMMENT ON SCHEMA wtcache IS
'the extension wtcache, which keeps Redis in step with tables';
GRANT USAGE ON SCHEMA wtcache TO PUBLIC;

--
-- Triggers.  Every role can execute the functions, as the owner of a partitioned
-- table needs that to make partitions, whichever role has attached it.  A trigger
-- of them can only be made by a role that may call attach().
--

CREATE FUNCTION wtcache.capture_row() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_capture_row';
COMMENT ON FUNCTION wtcache.capture_row() IS
'trigger function: queues a changed row for the cache; created by wtcache.attach()';

CREATE FUNCTION wtcache.capture_truncate() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_capture_truncate';
COMMENT ON FUNCTION wtcache.capture_truncate() IS
'trigger function: queues the deletion of all rows from the cache; created by wtcache.attach()';

-- It does nothing, and only the owner of a table can make a trigger of it; so it
-- is left to PUBLIC.
CREATE FUNCTION wtcache.capture_condition() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_capture_condition';
COMMENT ON FUNCTION wtcache.capture_condition() IS
'trigger function that does nothing: the trigger keeps the condition of an attachment; created by wtcache.attach()';

CREATE FUNCTION wtcache.capture_document() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_capture_document';
COMMENT ON FUNCTION wtcache.capture_document() IS
'trigger function: notes that the document of a changed row is to be built; created by wtcache.attach_document()';

CREATE FUNCTION wtcache.capture_part() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_capture_part';
COMMENT ON FUNCTION wtcache.capture_part() IS
'trigger function: notes that the documents that a changed row is in are to be built; created by wtcache.attach_part()';

CREATE FUNCTION wtcache.capture_document_truncate() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_capture_document_truncate';
COMMENT ON FUNCTION wtcache.capture_document_truncate() IS
'trigger function: notes all documents that rows of a table are in; created by wtcache.attach_document() and attach_part()';

CREATE FUNCTION wtcache.cover_partitions() RETURNS event_trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'wtcache_cover_partitions';
COMMENT ON FUNCTION wtcache.cover_partitions() IS
'event trigger function: gives new partitions of attached tables their TRUNCATE trigger';

CREATE EVENT TRIGGER wtcache_cover_partitions ON ddl_command_end
WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'ALTER TABLE', 'CREATE SCHEMA')
EXECUTE FUNCTION wtcache.cover_partitions();
ALTER EVENT TRIGGER wtcache_cover_partitions ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER wtcache_cover_partitions IS
'gives new partitions of tables attached to wtcache their TRUNCATE trigger';

--
-- Attaching tables
--

CREATE FUNCTION wtcache.attach(
    relation regclass,
    key text DEFAULT NULL,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT '{}',
    invalidates text[] DEFAULT '{}',
    columns text[] DEFAULT NULL,
    condition text DEFAULT NULL,
    format text DEFAULT 'json',
    shape text[] DEFAULT '{}',
    version text DEFAULT NULL,
    envelope text DEFAULT NULL,
    always boolean DEFAULT false,
    replace boolean DEFAULT false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_attach';
COMMENT ON FUNCTION wtcache.attach(regclass, text, interval, text[], text[], text[], text, text, text[], text, text, boolean, boolean) IS
'attaches a table: from now on its committed rows are in the cache';

CREATE FUNCTION wtcache.alter(
    relation regclass,
    key text DEFAULT NULL,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT NULL,
    invalidates text[] DEFAULT NULL,
    columns text[] DEFAULT NULL,
    condition text DEFAULT NULL,
    format text DEFAULT NULL,
    shape text[] DEFAULT NULL,
    version text DEFAULT NULL,
    envelope text DEFAULT NULL,
    always boolean DEFAULT NULL,
    reset text[] DEFAULT '{}')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_alter';
COMMENT ON FUNCTION wtcache.alter(regclass, text, interval, text[], text[], text[], text, text, text[], text, text, boolean, text[]) IS
'changes what is given of how a table is attached, and sets back to its default what is named in reset';

CREATE FUNCTION wtcache.definition(relation regclass)
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_definition';
COMMENT ON FUNCTION wtcache.definition(regclass) IS
'the statement that attaches a table as it is attached';

CREATE FUNCTION wtcache.detach(relation regclass, drop_keys boolean DEFAULT true)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_detach';
COMMENT ON FUNCTION wtcache.detach(regclass, boolean) IS
'detaches a table; its keys are deleted, or on request stay until they expire';

CREATE FUNCTION wtcache.clear(relation regclass)
RETURNS bigint
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_clear';
COMMENT ON FUNCTION wtcache.clear(regclass) IS
'deletes the keys of all rows of a table from the cache when the transaction commits; returns how many';

CREATE FUNCTION wtcache.attachments(
    OUT relation regclass,
    OUT key text,
    OUT ttl interval,
    OUT tags text[],
    OUT invalidates text[],
    OUT columns text[],
    OUT condition text,
    OUT format text,
    OUT shape text[],
    OUT version text,
    OUT envelope text,
    OUT enabled boolean,
    OUT always boolean,
    OUT definition text)
RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'wtcache_attachments';
COMMENT ON FUNCTION wtcache.attachments() IS
'the attached tables, decoded from their triggers';

CREATE VIEW wtcache.attachments AS
SELECT * FROM wtcache.attachments();
COMMENT ON VIEW wtcache.attachments IS
'the attached tables and how each is cached';

CREATE FUNCTION wtcache.preview(
    relation regclass,
    record record,
    OUT operation text,
    OUT key text,
    OUT value text,
    OUT ttl interval,
    OUT tags text[],
    OUT invalidates text[])
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_preview';
COMMENT ON FUNCTION wtcache.preview(regclass, record) IS
'what would be written for a row of an attached table';

--
-- Documents: what several tables make together
--

CREATE FUNCTION wtcache.attach_document(
    name text,
    root regclass,
    query text,
    key text DEFAULT NULL,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT '{}',
    invalidates text[] DEFAULT '{}',
    replace boolean DEFAULT false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_attach_document';
COMMENT ON FUNCTION wtcache.attach_document(text, regclass, text, text, interval, text[], text[], boolean) IS
'defines a document: what a query returns for a row of its root is in the cache from now on';

CREATE FUNCTION wtcache.attach_part(document text, relation regclass, root_key text)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_attach_part';
COMMENT ON FUNCTION wtcache.attach_part(text, regclass, text) IS
'makes a table a part of a document: its changes are in the documents that root_key names';

CREATE FUNCTION wtcache.detach_document(name text, drop_keys boolean DEFAULT true)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_detach_document';
COMMENT ON FUNCTION wtcache.detach_document(text, boolean) IS
'ends a document and its parts; its keys are deleted, or on request stay until they expire';

CREATE FUNCTION wtcache.detach_part(document text, relation regclass)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_detach_part';
COMMENT ON FUNCTION wtcache.detach_part(text, regclass) IS
'a table is no part of a document any more; the keys of the documents are deleted';

CREATE PROCEDURE wtcache.warm_document(
    document text,
    batch_size integer DEFAULT 100,
    max_rate double precision DEFAULT NULL,
    redis_timeout interval DEFAULT '1 minute')
LANGUAGE C
AS 'MODULE_PATHNAME', 'wtcache_warm_document';
COMMENT ON PROCEDURE wtcache.warm_document(text, integer, double precision, interval) IS
'builds all documents that there are roots for, in batches with a commit after each';

CREATE FUNCTION wtcache.clear_document(document text)
RETURNS bigint
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_clear_document';
COMMENT ON FUNCTION wtcache.clear_document(text) IS
'deletes all documents that there are roots for from the cache when the transaction commits; returns how many';

CREATE FUNCTION wtcache.verify_document(
    document text,
    repair boolean DEFAULT false,
    timeout interval DEFAULT '10 seconds',
    OUT kind text,
    OUT key text,
    OUT repaired boolean)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_verify_document';
COMMENT ON FUNCTION wtcache.verify_document(text, boolean, interval) IS
'the differences between the cache and the documents that there are roots for, and on request their repair';

CREATE FUNCTION wtcache.documents(
    OUT name text,
    OUT root regclass,
    OUT query text,
    OUT key text,
    OUT ttl interval,
    OUT tags text[],
    OUT invalidates text[],
    OUT parts regclass[],
    OUT others regclass[],
    OUT problem text,
    OUT definition text)
RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'wtcache_documents';
COMMENT ON FUNCTION wtcache.documents() IS
'the documents, decoded from their triggers';

CREATE VIEW wtcache.documents AS
SELECT * FROM wtcache.documents();
COMMENT ON VIEW wtcache.documents IS
'the documents and how each is made';

CREATE FUNCTION wtcache.preview_document(
    document text,
    VARIADIC root_key text[],
    OUT operation text,
    OUT key text,
    OUT value text,
    OUT ttl interval,
    OUT tags text[],
    OUT invalidates text[])
LANGUAGE C STABLE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_preview_document';
COMMENT ON FUNCTION wtcache.preview_document(text, text[]) IS
'what would be written for a document, by the primary key of its root';

--
-- Changing a row that has not been changed meanwhile: by an UPDATE, with the rights
-- of the caller
--

CREATE FUNCTION wtcache.compare_and_set(
    relation regclass,
    pk jsonb,
    expected jsonb,
    changes jsonb)
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_compare_and_set';
COMMENT ON FUNCTION wtcache.compare_and_set(regclass, jsonb, jsonb, jsonb) IS
'updates a row of an attached table if its version is the expected one; returns the new version';

--
-- Explicit operations
--

CREATE FUNCTION wtcache.set(
    key text,
    value jsonb,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT '{}')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_set';
COMMENT ON FUNCTION wtcache.set(text, jsonb, interval, text[]) IS
'stores a value under a key when the transaction commits';

CREATE FUNCTION wtcache.set(
    key text,
    value text,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT '{}')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_set_text';
COMMENT ON FUNCTION wtcache.set(text, text, interval, text[]) IS
'stores a value as it is under a key when the transaction commits';

CREATE FUNCTION wtcache.set(
    key text,
    value json,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT '{}')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_set_text';
COMMENT ON FUNCTION wtcache.set(text, json, interval, text[]) IS
'stores a value as it is under a key when the transaction commits';

CREATE FUNCTION wtcache.set(
    key text,
    value bytea,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT '{}')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_set_bytea';
COMMENT ON FUNCTION wtcache.set(text, bytea, interval, text[]) IS
'stores a value as it is under a key when the transaction commits';

CREATE FUNCTION wtcache.delete(VARIADIC keys text[])
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_delete';
COMMENT ON FUNCTION wtcache.delete(text[]) IS
'deletes keys when the transaction commits';

CREATE FUNCTION wtcache.invalidate_tags(VARIADIC tags text[])
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_invalidate_tags';
COMMENT ON FUNCTION wtcache.invalidate_tags(text[]) IS
'deletes all keys that carry one of the tags when the transaction commits';

-- a call with an array, without VARIADIC
CREATE FUNCTION wtcache.delete(keys anyarray)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_delete';
COMMENT ON FUNCTION wtcache.delete(anyarray) IS
'deletes keys when the transaction commits';

CREATE FUNCTION wtcache.invalidate_tags(tags anyarray)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_invalidate_tags';
COMMENT ON FUNCTION wtcache.invalidate_tags(anyarray) IS
'deletes all keys that carry one of the tags when the transaction commits';

CREATE FUNCTION wtcache.get(key text)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_get';
COMMENT ON FUNCTION wtcache.get(text) IS
'what the cache holds under a key, with the pending changes of this transaction';

CREATE FUNCTION wtcache.get_text(key text)
RETURNS text
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_get_text';
COMMENT ON FUNCTION wtcache.get_text(text) IS
'what the cache holds under a key, as text, with the pending changes of this transaction';

CREATE FUNCTION wtcache.get_bytea(key text)
RETURNS bytea
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_get_bytea';
COMMENT ON FUNCTION wtcache.get_bytea(text) IS
'what the cache holds under a key, byte for byte, with the pending changes of this transaction';

CREATE FUNCTION wtcache.fetch(relation regclass, VARIADIC key "any")
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_fetch';
COMMENT ON FUNCTION wtcache.fetch(regclass, "any") IS
'the image of a row of an attached table, from the cache, else from the table, which fills the cache';

CREATE FUNCTION wtcache.fetch_many(
    relation regclass,
    keys anyarray,
    OUT ordinality integer,
    OUT key text,
    OUT image jsonb)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_fetch_many';
COMMENT ON FUNCTION wtcache.fetch_many(regclass, anyarray) IS
'the images of many rows of an attached table, as wtcache.fetch() gives them, in one round trip';

CREATE FUNCTION wtcache.remember(
    key text,
    query text,
    ttl interval DEFAULT NULL,
    tags text[] DEFAULT '{}')
RETURNS jsonb
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_remember';
COMMENT ON FUNCTION wtcache.remember(text, text, interval, text[]) IS
'the rows of a query, from the cache, else from the query, which fills the cache';

CREATE FUNCTION wtcache.wait(timeout interval DEFAULT '10 seconds')
RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_wait';
COMMENT ON FUNCTION wtcache.wait(interval) IS
'waits until the cache holds everything that was committed before; false if that takes longer than the timeout';

CREATE FUNCTION wtcache.token()
RETURNS text
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_token';
COMMENT ON FUNCTION wtcache.token() IS
'a position behind all that has been committed, to be waited for on a standby or in Redis';

CREATE FUNCTION wtcache.reached(token text, timeout interval DEFAULT '0 seconds')
RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_reached';
COMMENT ON FUNCTION wtcache.reached(text, interval) IS
'waits until this server has what was committed before the token was made; false if that takes longer than the timeout, or will never be';

CREATE FUNCTION wtcache.take_over()
RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_take_over';
COMMENT ON FUNCTION wtcache.take_over() IS
'makes this server write to Redis again after another one has taken it over; false if none has';

CREATE FUNCTION wtcache.acknowledge()
RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_acknowledge';
COMMENT ON FUNCTION wtcache.acknowledge() IS
'lets wtcache.status be healthy although the cache was emptied; false if there is nothing to acknowledge';

--
-- Filling the cache.  wtcache.warm() keeps these tables as their owner, so no
-- other role needs rights on them.  They are state and not dumped.
--

CREATE TABLE wtcache.warm_job (
    relation oid PRIMARY KEY,
    condition text,
    role oid NOT NULL,
    pid integer NOT NULL DEFAULT pg_catalog.pg_backend_pid(),
    phase text NOT NULL DEFAULT 'scanning'
        CHECK (phase IN ('scanning', 'retrying', 'finished')),
    parts oid[] NOT NULL DEFAULT '{}',
    part oid,
    file oid,
    part_blocks bigint NOT NULL DEFAULT 0,
    last tid NOT NULL DEFAULT '(0,0)',
    blocks_before bigint NOT NULL DEFAULT 0,
    blocks_done bigint NOT NULL DEFAULT 0,
    blocks_total bigint NOT NULL DEFAULT 0,
    rows_total bigint NOT NULL DEFAULT 0,
    rows_done bigint NOT NULL DEFAULT 0,
    rows_pushed bigint NOT NULL DEFAULT 0,
    rows_skipped bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    run_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    run_rows bigint NOT NULL DEFAULT 0,
    run_blocks bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at timestamptz);
COMMENT ON TABLE wtcache.warm_job IS
'how far the last wtcache.warm() of each table has come; see wtcache.stat_progress_warm';

CREATE TABLE wtcache.warm_skipped (
    relation oid,
    part oid,
    file oid NOT NULL,
    tid tid,
    PRIMARY KEY (relation, part, tid));
COMMENT ON TABLE wtcache.warm_skipped IS
'rows that wtcache.warm() has found locked, to be tried again';

CREATE PROCEDURE wtcache.warm(
    relation regclass,
    batch_size integer DEFAULT 1000,
    max_rate double precision DEFAULT NULL,
    condition text DEFAULT NULL,
    resume boolean DEFAULT false,
    redis_timeout interval DEFAULT '1 minute')
LANGUAGE C
AS 'MODULE_PATHNAME', 'wtcache_warm';
COMMENT ON PROCEDURE wtcache.warm(regclass, integer, double precision, text, boolean, interval) IS
'pushes the rows that a table has into the cache, in batches with a commit after each';

CREATE VIEW wtcache.stat_progress_warm AS
SELECT j.relation::pg_catalog.regclass AS relation,
       CASE WHEN j.finished_at IS NOT NULL THEN 'finished'
            WHEN r.running THEN j.phase ELSE 'interrupted' END AS phase,
       CASE WHEN r.running THEN j.pid END AS pid,
       NULLIF(j.part, 0)::pg_catalog.regclass AS partition,
       j.rows_done, j.rows_total, j.rows_pushed, j.rows_skipped,
       j.blocks_done, j.blocks_total,
       pg_catalog.round(((j.rows_done - j.run_rows) / NULLIF(t.seconds, 0))::numeric, 1) AS rate,
       CASE WHEN r.running THEN
           (j.updated_at - j.run_at) * ((j.blocks_total - j.blocks_done)
               / NULLIF(j.blocks_done - j.run_blocks, 0)::double precision)
       END AS remaining,
       j.condition, j.started_at, j.updated_at, j.finished_at
FROM wtcache.warm_job j
JOIN pg_catalog.pg_class c ON c.oid = j.relation,
LATERAL (SELECT EXISTS (
    SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND d.datname = pg_catalog.current_database()
      AND l.classid = j.relation AND l.objid = 0 AND l.objsubid = 30580
      AND l.granted)) AS r(running),
LATERAL (SELECT EXTRACT(epoch FROM j.updated_at - j.run_at)::double precision) AS t(seconds);
COMMENT ON VIEW wtcache.stat_progress_warm IS
'the last wtcache.warm() of each table: how far it is, how fast, and how long it will take';

--
-- Comparing the cache with a table
--

CREATE FUNCTION wtcache.verify(
    relation regclass,
    repair boolean DEFAULT false,
    sample double precision DEFAULT NULL,
    orphans boolean DEFAULT true,
    timeout interval DEFAULT '10 seconds',
    OUT kind text,
    OUT key text,
    OUT partition regclass,
    OUT tid tid,
    OUT detail text,
    OUT repaired boolean)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_verify';
COMMENT ON FUNCTION wtcache.verify(regclass, boolean, double precision, boolean, interval) IS
'the differences between the cache and an attached table, and on request their repair';

CREATE FUNCTION wtcache.verify_summary(
    relation regclass,
    repair boolean DEFAULT false,
    sample double precision DEFAULT NULL,
    orphans boolean DEFAULT true,
    timeout interval DEFAULT '10 seconds',
    OUT checked bigint,
    OUT differing bigint,
    OUT missing bigint,
    OUT stale bigint,
    OUT ttl bigint,
    OUT tag bigint,
    OUT orphan bigint,
    OUT in_flight bigint,
    OUT repaired bigint,
    OUT consistency text,
    OUT nines double precision)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_verify_summary';
COMMENT ON FUNCTION wtcache.verify_summary(regclass, boolean, double precision, boolean, interval) IS
'how far the cache agrees with an attached table; does what wtcache.verify() does';

--
-- Watching
--

CREATE FUNCTION wtcache.status(
    OUT healthy boolean,
    OUT advice text,
    OUT mode text,
    OUT endpoint text,
    OUT redis_open boolean,
    OUT breaker text,
    OUT breaker_since timestamptz,
    OUT consecutive_failures integer,
    OUT last_failure text,
    OUT last_failure_at timestamptz,
    OUT in_flight integer,
    OUT replay_from pg_lsn,
    OUT worker_pid integer,
    OUT worker_state text,
    OUT watermark pg_lsn,
    OUT lag_bytes bigint,
    OUT lag_seconds double precision,
    OUT uncommitted_batches integer,
    OUT retained_from pg_lsn,
    OUT retained_bytes bigint,
    OUT cold_at timestamptz,
    OUT cold_reason text)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_status';
COMMENT ON FUNCTION wtcache.status() IS
'whether all is well, and the state of the connection to Redis and of the replay, one row';

CREATE VIEW wtcache.status AS
SELECT * FROM wtcache.status();
COMMENT ON VIEW wtcache.status IS
'whether all is well, and the state of the connection to Redis and of the replay, one row';

CREATE FUNCTION wtcache.stat(
    OUT pushes_ok bigint,
    OUT pushes_failed bigint,
    OUT pushes_skipped bigint,
    OUT pushes_deferred bigint,
    OUT sets bigint,
    OUT deletes bigint,
    OUT invalidations bigint,
    OUT stored bigint,
    OUT overtaken bigint,
    OUT deleted_instead bigint,
    OUT bytes_sent bigint,
    OUT rollbacks bigint,
    OUT discarded bigint,
    OUT spilled bigint,
    OUT spill_batches bigint,
    OUT replayed bigint,
    OUT replay_batches bigint,
    OUT cold_starts bigint,
    OUT not_in_stat_attachment bigint,
    OUT too_large bigint,
    OUT rejected bigint,
    OUT not_in_rejected bigint,
    OUT forged bigint,
    OUT other_database bigint,
    OUT stats_reset timestamptz)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_stat';
COMMENT ON FUNCTION wtcache.stat() IS
'counters since the server was started or wtcache.stat_reset() was called, one row';

CREATE VIEW wtcache.stat AS
SELECT * FROM wtcache.stat();
COMMENT ON VIEW wtcache.stat IS
'counters since the server was started or wtcache.stat_reset() was called, one row';

CREATE FUNCTION wtcache.stat_failure(
    OUT class text,
    OUT count bigint,
    OUT first timestamptz,
    OUT last timestamptz,
    OUT message text)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 22
AS 'MODULE_PATHNAME', 'wtcache_stat_failure';
COMMENT ON FUNCTION wtcache.stat_failure() IS
'failures to use Redis by class, and what was said at the last one';

CREATE VIEW wtcache.stat_failure AS
SELECT * FROM wtcache.stat_failure();
COMMENT ON VIEW wtcache.stat_failure IS
'failures to use Redis by class, and what was said at the last one';

CREATE FUNCTION wtcache.stat_attachment(
    OUT relation regclass,
    OUT sets bigint,
    OUT deletes bigint,
    OUT invalidations bigint,
    OUT bytes bigint,
    OUT last_change timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'wtcache_stat_attachment';
COMMENT ON FUNCTION wtcache.stat_attachment() IS
'committed operations by table of this database, partitions one by one';

CREATE VIEW wtcache.stat_attachment AS
SELECT a.relation,
       coalesce(sum(s.sets), 0)::bigint AS sets,
       coalesce(sum(s.deletes), 0)::bigint AS deletes,
       coalesce(sum(s.invalidations), 0)::bigint AS invalidations,
       coalesce(sum(s.bytes), 0)::bigint AS bytes,
       max(s.last_change) AS last_change
  FROM wtcache.attachments() a
 CROSS JOIN LATERAL (
       -- not pg_partition_tree(), which waits for locks
       WITH RECURSIVE p AS (
           SELECT a.relation::oid AS relid
           UNION
           SELECT i.inhrelid
             FROM p
             JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) p.relid
             JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) i.inhrelid
            WHERE r.relispartition)
       SELECT p.relid FROM p) AS p(relid)
  LEFT JOIN wtcache.stat_attachment() s ON s.relation = p.relid
 GROUP BY a.relation;
COMMENT ON VIEW wtcache.stat_attachment IS
'committed operations by attached table of this database, its partitions included';

CREATE FUNCTION wtcache.stat_latency(
    OUT outcome text,
    OUT pushes bigint,
    OUT total_time double precision,
    OUT mean_time double precision,
    OUT p50_time double precision,
    OUT p95_time double precision,
    OUT p99_time double precision,
    OUT max_time double precision)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_stat_latency';
COMMENT ON FUNCTION wtcache.stat_latency() IS
'how many milliseconds pushes have taken, a row for those that succeeded and one for those that failed';

CREATE VIEW wtcache.stat_latency AS
SELECT * FROM wtcache.stat_latency();
COMMENT ON VIEW wtcache.stat_latency IS
'how many milliseconds pushes have taken, a row for those that succeeded and one for those that failed';

CREATE FUNCTION wtcache.stat_latency_buckets(
    OUT outcome text,
    OUT upper_bound double precision,
    OUT pushes bigint,
    OUT cumulative bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_stat_latency_buckets';
COMMENT ON FUNCTION wtcache.stat_latency_buckets() IS
'the histogram behind wtcache.stat_latency: pushes below each bound in milliseconds';

CREATE VIEW wtcache.stat_latency_buckets AS
SELECT * FROM wtcache.stat_latency_buckets();
COMMENT ON VIEW wtcache.stat_latency_buckets IS
'the histogram behind wtcache.stat_latency: pushes below each bound in milliseconds';

CREATE FUNCTION wtcache.rejected(
    OUT database oid,
    OUT key text,
    OUT class text,
    OUT message text,
    OUT since timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'wtcache_rejected';
COMMENT ON FUNCTION wtcache.rejected() IS
'the keys of all databases that Redis has refused to store';

CREATE VIEW wtcache.rejected AS
SELECT d.datname AS database, r.key, a.relation, r.class, r.message, r.since
  FROM wtcache.rejected() r
  LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) r.database
  LEFT JOIN LATERAL (
       -- a placeholder becomes %, and what would be one in a pattern is quoted
       SELECT pg_catalog.min(t.relation::oid)::regclass AS relation
         FROM wtcache.attachments() t
        WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
          AND r.key OPERATOR(pg_catalog.~~) (
              pg_catalog.regexp_replace(pg_catalog.current_setting('wtcache.key_prefix'), '([%_\\])', '\\\1', 'g')
              OPERATOR(pg_catalog.||) pg_catalog.replace(pg_catalog.replace(
              pg_catalog.regexp_replace(pg_catalog.regexp_replace(t.key,
              '([%_\\])', '\\\1', 'g'), '\{("([^"]|"")*"|[^{}]+)\}', '%', 'g'), '{{', '{'), '}}', '}'))
       HAVING pg_catalog.count(*) OPERATOR(pg_catalog.=) 1) a ON true;
COMMENT ON VIEW wtcache.rejected IS
'the keys that Redis has refused to store, until it stores them';

CREATE FUNCTION wtcache.stat_read(
    OUT hits bigint,
    OUT misses bigint,
    OUT waits bigint,
    OUT unanswered bigint,
    OUT bypassed bigint,
    OUT filled bigint,
    OUT absent bigint,
    OUT returned bigint,
    OUT refused_lease bigint,
    OUT refused_token bigint,
    OUT refused_tag bigint,
    OUT refused_mark bigint,
    OUT refused_present bigint,
    OUT refused_full bigint,
    OUT refused_journal bigint)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_stat_read';
COMMENT ON FUNCTION wtcache.stat_read() IS
'what wtcache.fetch(), fetch_many() and remember() have found, and what readers of any kind have filled, one row';

CREATE VIEW wtcache.stat_read AS
SELECT * FROM wtcache.stat_read();
COMMENT ON VIEW wtcache.stat_read IS
'what wtcache.fetch(), fetch_many() and remember() have found, and what readers of any kind have filled, one row';

CREATE FUNCTION wtcache.stat_reset()
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_stat_reset';
COMMENT ON FUNCTION wtcache.stat_reset() IS
'sets all counters of wtcache.stat, stat_read, stat_failure, stat_attachment and stat_latency to zero, and empties wtcache.rejected';

--
-- Privileges.  What changes or reads the cache has to be granted; what watches it
-- is for pg_monitor; what is attached is no secret, nor is how far WAL has come.
--

REVOKE ALL ON FUNCTION wtcache.cover_partitions(),
    wtcache.attach(regclass, text, interval, text[], text[], text[], text, text, text[], text, text, boolean, boolean),
    wtcache.alter(regclass, text, interval, text[], text[], text[], text, text, text[], text, text, boolean, text[]),
    wtcache.detach(regclass, boolean),
    wtcache.clear(regclass),
    wtcache.attach_document(text, regclass, text, text, interval, text[], text[], boolean),
    wtcache.attach_part(text, regclass, text),
    wtcache.detach_document(text, boolean), wtcache.detach_part(text, regclass),
    wtcache.clear_document(text), wtcache.verify_document(text, boolean, interval),
    wtcache.set(text, jsonb, interval, text[]), wtcache.set(text, text, interval, text[]),
    wtcache.set(text, json, interval, text[]), wtcache.set(text, bytea, interval, text[]),
    wtcache.delete(text[]), wtcache.delete(anyarray),
    wtcache.invalidate_tags(text[]), wtcache.invalidate_tags(anyarray),
    wtcache.get(text), wtcache.get_text(text), wtcache.get_bytea(text),
    wtcache.fetch(regclass, "any"), wtcache.fetch_many(regclass, anyarray),
    wtcache.remember(text, text, interval, text[]),
    wtcache.wait(interval),
    wtcache.take_over(),
    wtcache.acknowledge(),
    wtcache.status(), wtcache.stat(), wtcache.stat_read(), wtcache.stat_failure(),
    wtcache.stat_attachment(), wtcache.stat_latency(), wtcache.stat_latency_buckets(), wtcache.stat_reset(),
    wtcache.rejected()
FROM PUBLIC;
REVOKE ALL ON FUNCTION
    wtcache.verify(regclass, boolean, double precision, boolean, interval),
    wtcache.verify_summary(regclass, boolean, double precision, boolean, interval)
FROM PUBLIC;
REVOKE ALL ON PROCEDURE
    wtcache.warm(regclass, integer, double precision, text, boolean, interval),
    wtcache.warm_document(text, integer, double precision, interval)
FROM PUBLIC;

GRANT SELECT ON wtcache.attachments, wtcache.documents TO PUBLIC;
GRANT EXECUTE ON FUNCTION wtcache.status(), wtcache.stat(), wtcache.stat_read(), wtcache.stat_failure(),
    wtcache.stat_attachment(), wtcache.stat_latency(),
    wtcache.stat_latency_buckets(), wtcache.rejected() TO pg_monitor;
GRANT SELECT ON wtcache.status, wtcache.stat, wtcache.stat_read, wtcache.stat_failure, wtcache.stat_attachment,
    wtcache.stat_latency, wtcache.stat_latency_buckets,
    wtcache.stat_progress_warm, wtcache.rejected TO pg_monitor;
