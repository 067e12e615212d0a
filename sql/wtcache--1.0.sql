/* wtcache 1.0 */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION wtcache" to load this file. \quit

GRANT USAGE ON SCHEMA wtcache TO PUBLIC;

--
-- Triggers.  A table's owner needs EXECUTE on capture_row() to restore a dump.
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
    columns name[] DEFAULT NULL,
    condition text DEFAULT NULL,
    format text DEFAULT 'json',
    always boolean DEFAULT false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'wtcache_attach';
COMMENT ON FUNCTION wtcache.attach(regclass, text, interval, text[], text[], name[], text, text, boolean) IS
'attaches a table: from now on its committed rows are in the cache; replaces an earlier attachment';

CREATE FUNCTION wtcache.detach(relation regclass)
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_detach';
COMMENT ON FUNCTION wtcache.detach(regclass) IS
'detaches a table; what the cache holds of it stays until it expires';

CREATE FUNCTION wtcache.attachments(
    OUT relation regclass,
    OUT key text,
    OUT ttl interval,
    OUT tags text[],
    OUT invalidates text[],
    OUT columns text[],
    OUT condition text,
    OUT format text,
    OUT enabled boolean,
    OUT always boolean)
RETURNS SETOF record
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_attachments';
COMMENT ON FUNCTION wtcache.attachments() IS
'the attached tables, decoded from their triggers';

CREATE VIEW wtcache.attachments AS
SELECT * FROM wtcache.attachments();
COMMENT ON VIEW wtcache.attachments IS
'the attached tables and how each is cached';

CREATE FUNCTION wtcache.preview(
    relation regclass,
    "row" record,
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

CREATE FUNCTION wtcache.delete(VARIADIC keys text[])
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_delete';
COMMENT ON FUNCTION wtcache.delete(text[]) IS
'deletes keys when the transaction commits';

CREATE FUNCTION wtcache.invalidate_tag(VARIADIC tags text[])
RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_invalidate_tag';
COMMENT ON FUNCTION wtcache.invalidate_tag(text[]) IS
'deletes all keys that carry one of the tags when the transaction commits';

CREATE FUNCTION wtcache.get(key text)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_get';
COMMENT ON FUNCTION wtcache.get(text) IS
'what the cache holds under a key, with the pending changes of this transaction';

CREATE FUNCTION wtcache.flush(timeout interval DEFAULT '10 seconds')
RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wtcache_flush';
COMMENT ON FUNCTION wtcache.flush(interval) IS
'waits until the cache holds everything that was committed before; false if that takes longer than the timeout';

--
-- Watching
--

CREATE FUNCTION wtcache.status(
    OUT endpoint text,
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
    OUT parked integer,
    OUT retained_from pg_lsn,
    OUT cold_at timestamptz,
    OUT cold_reason text)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_status';
COMMENT ON FUNCTION wtcache.status() IS
'state of the connection to Redis and of the replay, one row';

CREATE VIEW wtcache.status AS
SELECT * FROM wtcache.status();
COMMENT ON VIEW wtcache.status IS
'state of the connection to Redis and of the replay, one row';

CREATE FUNCTION wtcache.stat(
    OUT pushes_ok bigint,
    OUT pushes_failed bigint,
    OUT pushes_skipped bigint,
    OUT sets bigint,
    OUT deletes bigint,
    OUT invalidations bigint,
    OUT stored bigint,
    OUT refused_older bigint,
    OUT degraded bigint,
    OUT bytes_sent bigint,
    OUT rollbacks bigint,
    OUT discarded bigint,
    OUT spilled bigint,
    OUT replayed bigint,
    OUT replay_batches bigint,
    OUT unconfirmed bigint,
    OUT cold_starts bigint,
    OUT fail_connect bigint,
    OUT fail_timeout bigint,
    OUT fail_closed bigint,
    OUT fail_protocol bigint,
    OUT fail_auth bigint,
    OUT fail_oom bigint,
    OUT fail_readonly bigint,
    OUT fail_loading bigint,
    OUT fail_misconf bigint,
    OUT fail_noreplicas bigint,
    OUT fail_wrongtype bigint,
    OUT fail_busy bigint,
    OUT fail_cluster bigint,
    OUT fail_noperm bigint,
    OUT fail_cancelled bigint,
    OUT fail_config bigint,
    OUT fail_other bigint)
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wtcache_stat';
COMMENT ON FUNCTION wtcache.stat() IS
'counters since the server was started, one row';

CREATE VIEW wtcache.stat AS
SELECT * FROM wtcache.stat();
COMMENT ON VIEW wtcache.stat IS
'counters since the server was started, one row';

--
-- Privileges.  What changes or reads the cache is granted to those who may;
-- what watches it is for pg_monitor; what is attached anybody may know.
--

REVOKE ALL ON FUNCTION wtcache.capture_row(), wtcache.capture_truncate(),
    wtcache.cover_partitions(),
    wtcache.attach(regclass, text, interval, text[], text[], name[], text, text, boolean),
    wtcache.detach(regclass),
    wtcache.set(text, jsonb, interval, text[]),
    wtcache.delete(text[]),
    wtcache.invalidate_tag(text[]),
    wtcache.get(text),
    wtcache.flush(interval),
    wtcache.status(), wtcache.stat()
FROM PUBLIC;

GRANT SELECT ON wtcache.attachments TO PUBLIC;
GRANT EXECUTE ON FUNCTION wtcache.status(), wtcache.stat() TO pg_monitor;
GRANT SELECT ON wtcache.status, wtcache.stat TO pg_monitor;
