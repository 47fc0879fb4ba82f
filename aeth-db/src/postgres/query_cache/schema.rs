//! The change rows, and what is asked of them.

/// `aeth_change_floor` says below which transaction change rows were trimmed: a snapshot that does not see all of
/// those cannot be judged any more. The trigger fires always, so that a replication apply is seen too.
pub(super) const TABLES: &str = "
CREATE TABLE aeth_change (
    relation oid NOT NULL,
    xid xid8 NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (relation, xid)
);
CREATE TABLE aeth_change_floor (id integer PRIMARY KEY CHECK (id = 1), floor xid8 NOT NULL);
INSERT INTO aeth_change_floor VALUES (1, '0');

CREATE FUNCTION aeth_change_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.aeth_change (relation, xid) VALUES ($1, pg_current_xact_id())
        ON CONFLICT DO NOTHING', TG_ARGV[1]) USING TG_RELID;
    IF TG_ARGV[0] = 'notify' THEN
        PERFORM pg_notify('aeth_change', TG_RELID::text);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION aeth_change_watch(p_table text, p_notify boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    target regclass := p_table::regclass;
    home text := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = 'aeth_change'::regclass);
BEGIN
    IF EXISTS (SELECT 1 FROM pg_class WHERE oid = target AND (relkind <> 'r' OR relpersistence = 't'))
        OR EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = target OR inhparent = target) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE OR REPLACE TRIGGER aeth_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION %I.aeth_change_note(%L, %L)',
        target, home, CASE WHEN p_notify THEN 'notify' ELSE 'note' END, home);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER aeth_change', target);
    -- What was kept under the trigger of before is looked at again, and does not hold.
    INSERT INTO aeth_change (relation, xid) VALUES (target, pg_current_xact_id()) ON CONFLICT DO NOTHING;
    PERFORM pg_notify('aeth_change', target::oid::text);
    RETURN true;
END $$;
";

/// Who asks.
pub(super) const WHO: &str = "SELECT concat_ws('/', current_database(), current_user, current_schemas(true)::text, current_setting('TimeZone'))";

/// Whether no change of these tables is visible that the snapshot did not see.
pub(super) const HOLDS: &str = "
SELECT f.floor <= pg_snapshot_xmin(s.snapshot) AND NOT EXISTS (
    SELECT 1 FROM aeth_change c
    WHERE c.relation = ANY ($2::oid[]) AND c.xid >= pg_snapshot_xmin(s.snapshot)
        AND NOT pg_visible_in_snapshot(c.xid, s.snapshot))
FROM aeth_change_floor f, (SELECT $1::text::pg_snapshot AS snapshot) s";

/// The snapshot of the transaction, and every relation that it has locked: what the query read, through views and
/// functions too.
pub(super) const READ: &str = "
SELECT pg_current_snapshot()::text, array_agg(DISTINCT l.relation)
FROM pg_locks l
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.relation <> 'pg_catalog.pg_locks'::regclass";

/// What the relations are: its name, whether results of it may be kept, or why not; the definition of a view.
pub(super) const JUDGE: &str = "
SELECT c.oid, c.oid::regclass::text,
    CASE
        WHEN c.relkind IN ('i', 'I', 't') OR c.relkind = 'v' AND c.oid >= 16384 THEN 'passed'
        WHEN c.oid < 16384 THEN 'catalogue'
        WHEN t.oid IS NULL THEN 'unwatched'
        WHEN c.relrowsecurity THEN 'security'
        ELSE 'watched'
    END,
    CASE WHEN c.relkind = 'v' AND c.oid >= 16384 THEN pg_get_viewdef(c.oid) END,
    coalesce(substr(t.tgargs, 1, 6) = 'notify'::bytea, false)
FROM pg_class c
LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'aeth_change' AND t.tgenabled = 'A'
WHERE c.oid = ANY ($1::oid[])";

/// Functions of these names whose result is not decided by their arguments and the tables alone.
pub(super) const UNSTEADY: &str = "
SELECT p.proname::text FROM pg_proc p
WHERE p.proname = ANY ($1::text[]) AND (p.provolatile = 'v' OR p.oid < 16384 AND p.provolatile = 's' AND p.proname ~
    '^(now|age|.*_timestamp|timeofday|current_.*|pg_.*|txid_.*|inet_.*|has_.*_privilege|row_security_active|version)$')
LIMIT 1";

/// Forgets change rows that are older than results are kept, and says so.
pub(super) const TRIM: &str = "
WITH floor AS (
    SELECT least(pg_snapshot_xmin(pg_current_snapshot()),
        (SELECT min(xid) FROM aeth_change WHERE at >= now() - make_interval(secs => $1))) AS xid
    WHERE pg_try_advisory_xact_lock(1634039915, 0)
), raised AS (
    UPDATE aeth_change_floor f SET floor = floor.xid FROM floor WHERE floor.xid > f.floor RETURNING f.floor
)
DELETE FROM aeth_change c USING raised WHERE c.xid < raised.floor";
