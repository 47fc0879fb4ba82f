//! The tables, and the functions that change them in one round trip.
//!
//! Entries stand in generations: tables of which one is written to. When it has its share of the budget, the oldest
//! one is emptied by `TRUNCATE`, which leaves nothing to vacuum, and is written to next. An entry is found by 64 bits
//! of a hash and compared by its whole name; of several the one with the greatest number (`seq`) counts. Everything
//! is UNLOGGED: written fast, gone after a crash of the server and on a promoted standby, all of it together.
//!
//! - Whatever changes a key holds an advisory lock on it until it commits, in order, so that changes of one key
//!   follow one another. Whatever invalidates in a namespace holds that one's lock, which promotions share.
//! - A lease is a row with a token; what changes the key deletes it, and a fill must delete it itself to store.
//!   What invalidates deletes leases first and takes its number then: a fill that was quicker has a smaller one.
//! - A tag's row has the number of its last invalidation: entries with it and a smaller number are not readable.
//!   Every entry has the tag '' that stands for its namespace.

use crate::migrate::Migrations;

/// How many generations there are.
pub(super) const GENERATIONS: usize = 4;

const TABLES: &str = "
CREATE SEQUENCE aeth_cache_seq;
CREATE UNLOGGED TABLE aeth_cache_state (
    id integer PRIMARY KEY CHECK (id = 1),
    current integer NOT NULL,
    starts bigint[] NOT NULL
);
CREATE UNLOGGED TABLE aeth_cache_tag (
    namespace text NOT NULL,
    tag text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (namespace, tag)
);
CREATE UNLOGGED TABLE aeth_cache_lease (
    namespace text NOT NULL,
    key bytea NOT NULL,
    token bytea NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (namespace, key)
);
";

/// One generation.
const GENERATION: &str = "
CREATE UNLOGGED TABLE aeth_cache_{N} (
    hash bigint PRIMARY KEY,
    namespace text NOT NULL,
    key bytea NOT NULL,
    seq bigint NOT NULL,
    fresh_until bigint NOT NULL,
    usable_until bigint NOT NULL,
    version bigint NOT NULL,
    tags text[] NOT NULL,
    envelope bytea NOT NULL
);
ALTER TABLE aeth_cache_{N} ALTER COLUMN envelope SET STORAGE EXTERNAL;
";

/// Two numbers are the advisory lock's: these bits are ours, the others are the key's or namespace's.
const FUNCTIONS: &str = "
CREATE FUNCTION aeth_cache_lock_keys(p_hashes bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1634039912, h)
    FROM (SELECT DISTINCT (hash & 2147483647)::integer AS h FROM unnest(p_hashes) hash ORDER BY 1) k;
END $$;

CREATE FUNCTION aeth_cache_current() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE found integer;
BEGIN
    SELECT current INTO found FROM aeth_cache_state;
    IF found IS NULL THEN
        INSERT INTO aeth_cache_state VALUES (1, 0, ARRAY[0, 0, 0, 0]) ON CONFLICT DO NOTHING;
        RETURN 0;
    END IF;
    RETURN found;
END $$;

CREATE FUNCTION aeth_cache_find(p_namespace text, p_hash bigint, p_key bytea, p_now bigint)
RETURNS SETOF aeth_cache_0 LANGUAGE sql STABLE AS $$
    SELECT e.* FROM (
        SELECT * FROM ({ALL}) every
        WHERE namespace = p_namespace AND key = p_key ORDER BY seq DESC LIMIT 1
    ) e
    WHERE e.usable_until > p_now AND NOT EXISTS (
        SELECT 1 FROM aeth_cache_tag t
        WHERE t.namespace = p_namespace AND t.tag = ANY (e.tags) AND t.seq > e.seq)
$$;

CREATE FUNCTION aeth_cache_store(p_row aeth_cache_0) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g integer := aeth_cache_current();
BEGIN
    {STORE}
END $$;

CREATE FUNCTION aeth_cache_put(p_namespace text, p_hashes bigint[], p_keys bytea[], p_fresh bigint[],
    p_usable bigint[], p_versions bigint[], p_tags text[], p_envelopes bytea[], p_now bigint)
RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE stored boolean[] := '{}'; row aeth_cache_0; there bigint;
BEGIN
    PERFORM aeth_cache_lock_keys(p_hashes);
    FOR i IN 1..cardinality(p_hashes) LOOP
        SELECT f.version INTO there FROM aeth_cache_find(p_namespace, p_hashes[i], p_keys[i], p_now) f;
        -- The least version is the one that always replaces.
        IF p_versions[i] <> -9223372036854775808 AND there > p_versions[i] THEN
            stored := stored || false;
            CONTINUE;
        END IF;
        DELETE FROM aeth_cache_lease WHERE namespace = p_namespace AND key = p_keys[i];
        row := ROW(p_hashes[i], p_namespace, p_keys[i], nextval('aeth_cache_seq'), p_fresh[i], p_usable[i],
            p_versions[i], string_to_array(p_tags[i], E'\\x1f'), p_envelopes[i]);
        PERFORM aeth_cache_store(row);
        stored := stored || true;
    END LOOP;
    RETURN stored;
END $$;

CREATE FUNCTION aeth_cache_remove(p_namespace text, p_hashes bigint[], p_keys bytea[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM aeth_cache_lock_keys(p_hashes);
    DELETE FROM aeth_cache_lease WHERE namespace = p_namespace AND key = ANY (p_keys);
    {REMOVE}
END $$;

CREATE FUNCTION aeth_cache_invalidate(p_namespace text, p_tags text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1634039913, hashtext(p_namespace));
    DELETE FROM aeth_cache_lease WHERE namespace = p_namespace;
    INSERT INTO aeth_cache_tag SELECT DISTINCT ON (tag) p_namespace, tag, nextval('aeth_cache_seq')
        FROM unnest(p_tags) tag
        ON CONFLICT (namespace, tag) DO UPDATE SET seq = excluded.seq;
END $$;

CREATE FUNCTION aeth_cache_grant(p_namespace text, p_hashes bigint[], p_keys bytea[], p_tokens bytea[],
    p_until bigint, p_now bigint)
RETURNS TABLE (n integer, granted boolean, envelope bytea) LANGUAGE plpgsql AS $$
DECLARE row aeth_cache_0; got boolean;
BEGIN
    PERFORM aeth_cache_lock_keys(p_hashes);
    FOR i IN 1..cardinality(p_hashes) LOOP
        row := NULL;
        SELECT f.* INTO row FROM aeth_cache_find(p_namespace, p_hashes[i], p_keys[i], p_now) f;
        got := false;
        IF row.fresh_until IS NULL OR row.fresh_until <= p_now THEN
            INSERT INTO aeth_cache_lease AS l VALUES (p_namespace, p_keys[i], p_tokens[i], p_until)
                ON CONFLICT (namespace, key) DO UPDATE SET token = excluded.token, until = excluded.until
                WHERE l.until <= p_now;
            got := FOUND;
        END IF;
        RETURN QUERY SELECT i, got, row.envelope;
    END LOOP;
END $$;

CREATE FUNCTION aeth_cache_fill(p_namespace text, p_hash bigint, p_key bytea, p_token bytea, p_fresh bigint,
    p_usable bigint, p_version bigint, p_tags text, p_envelope bytea, p_now bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM aeth_cache_lock_keys(ARRAY[p_hash]);
    DELETE FROM aeth_cache_lease
        WHERE namespace = p_namespace AND key = p_key AND token = p_token AND until > p_now;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    RETURN (aeth_cache_put(p_namespace, ARRAY[p_hash], ARRAY[p_key], ARRAY[p_fresh], ARRAY[p_usable],
        ARRAY[p_version], ARRAY[p_tags], ARRAY[p_envelope], p_now))[1];
END $$;

CREATE FUNCTION aeth_cache_promote(p_namespace text, p_hashes bigint[], p_keys bytea[], p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE row aeth_cache_0;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1634039913, hashtext(p_namespace));
    PERFORM aeth_cache_lock_keys(p_hashes);
    FOR i IN 1..cardinality(p_hashes) LOOP
        SELECT f.* INTO row FROM aeth_cache_find(p_namespace, p_hashes[i], p_keys[i], p_now) f;
        IF FOUND THEN
            row.seq := nextval('aeth_cache_seq');
            PERFORM aeth_cache_store(row);
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION aeth_cache_rotate(p_share bigint, p_now bigint, OUT bytes bigint, OUT dropped bigint)
LANGUAGE plpgsql AS $$
DECLARE g integer; following integer;
BEGIN
    dropped := 0;
    IF pg_try_advisory_xact_lock(1634039914, 0) THEN
        g := aeth_cache_current();
        IF pg_total_relation_size(('aeth_cache_' || g)::regclass) >= p_share THEN
            following := (g + 1) % 4;
            dropped := greatest(pg_stat_get_live_tuples(('aeth_cache_' || following)::regclass), 0);
            PERFORM set_config('lock_timeout', '2s', true);
            EXECUTE 'TRUNCATE aeth_cache_' || following;
            UPDATE aeth_cache_state
                SET current = following, starts[following + 1] = nextval('aeth_cache_seq');
            DELETE FROM aeth_cache_tag t USING aeth_cache_state s
                WHERE t.seq < (SELECT min(start) FROM unnest(s.starts) start);
            DELETE FROM aeth_cache_lease WHERE until <= p_now;
        END IF;
    END IF;
    bytes := {SIZES};
END $$;
";

/// Puts of the second step: one statement for the whole batch where the first had several for each entry.
const PUT: &str = "
CREATE OR REPLACE FUNCTION aeth_cache_put(p_namespace text, p_hashes bigint[], p_keys bytea[], p_fresh bigint[],
    p_usable bigint[], p_versions bigint[], p_tags text[], p_envelopes bytea[], p_now bigint)
RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE
    -- The least version is the one that always replaces.
    always CONSTANT bigint := -9223372036854775808;
    stored boolean[] := array_fill(true, ARRAY[cardinality(p_hashes)]);
    kept bytea[] := p_keys;
    g integer;
BEGIN
    PERFORM aeth_cache_lock_keys(p_hashes);
    IF (SELECT count(DISTINCT hash) FROM unnest(p_hashes) hash) < cardinality(p_hashes) THEN
        -- No statement changes a row twice: what stands in one place goes in one after the other.
        FOR i IN 1..cardinality(p_hashes) LOOP
            stored[i] := (aeth_cache_put(p_namespace, p_hashes[i:i], p_keys[i:i], p_fresh[i:i], p_usable[i:i],
                p_versions[i:i], p_tags[i:i], p_envelopes[i:i], p_now))[1];
        END LOOP;
        RETURN stored;
    END IF;
    IF EXISTS (SELECT 1 FROM unnest(p_versions) version WHERE version <> always) THEN
        SELECT array_agg(k.version = always OR NOT EXISTS (
                SELECT 1 FROM aeth_cache_find(p_namespace, k.hash, k.key, p_now) f WHERE f.version > k.version
            ) ORDER BY k.n)
        INTO stored
        FROM unnest(p_hashes, p_keys, p_versions) WITH ORDINALITY AS k (hash, key, version, n);
        kept := ARRAY(SELECT k.key FROM unnest(p_keys, stored) AS k (key, stored) WHERE k.stored);
    END IF;
    DELETE FROM aeth_cache_lease WHERE namespace = p_namespace AND key = ANY (kept);
    g := aeth_cache_current();
    {PUT}
    RETURN stored;
END $$;
";

/// One text with a part for each generation.
fn each(separator: &str, part: &str) -> String {
    let parts: Vec<String> = (0..GENERATIONS).map(|n| part.replace("{N}", &n.to_string())).collect();
    parts.join(separator)
}

pub(super) fn migrations() -> Migrations {
    let all = each(" UNION ALL ", "SELECT * FROM aeth_cache_{N} WHERE hash = p_hash");
    let store = each(
        "\n    ",
        "IF g = {N} THEN
        INSERT INTO aeth_cache_{N} SELECT p_row.* ON CONFLICT (hash) DO UPDATE SET
            namespace = excluded.namespace, key = excluded.key, seq = excluded.seq,
            fresh_until = excluded.fresh_until, usable_until = excluded.usable_until,
            version = excluded.version, tags = excluded.tags, envelope = excluded.envelope;
    END IF;",
    );
    let remove = each(
        "\n    ",
        "DELETE FROM aeth_cache_{N}
        WHERE hash = ANY (p_hashes) AND namespace = p_namespace AND key = ANY (p_keys);",
    );
    let functions = FUNCTIONS
        .replace("{ALL}", &all)
        .replace("{STORE}", &store)
        .replace("{REMOVE}", &remove)
        .replace("{SIZES}", &each(" + ", "pg_total_relation_size('aeth_cache_{N}')"));
    let sql = [TABLES, &each("", GENERATION), &functions].concat();
    let put = each(
        "\n    ",
        "IF g = {N} THEN
        INSERT INTO aeth_cache_{N}
        SELECT k.hash, p_namespace, k.key, nextval('aeth_cache_seq'), k.fresh, k.usable, k.version,
            string_to_array(k.tags, E'\\x1f'), k.envelope
        FROM (
            SELECT unnest(p_hashes) AS hash, unnest(p_keys) AS key, unnest(p_fresh) AS fresh,
                unnest(p_usable) AS usable, unnest(p_versions) AS version, unnest(p_tags) AS tags,
                unnest(p_envelopes) AS envelope, unnest(stored) AS stored
        ) k
        WHERE k.stored
        ON CONFLICT (hash) DO UPDATE SET
            namespace = excluded.namespace, key = excluded.key, seq = excluded.seq,
            fresh_until = excluded.fresh_until, usable_until = excluded.usable_until,
            version = excluded.version, tags = excluded.tags, envelope = excluded.envelope;
    END IF;",
    );
    Migrations::new("aeth-cache")
        // Both are applied where they are missing: what an applied step says must stay as it is.
        .step(1, "generations, tags and leases", sql)
        .step(2, "puts of a batch in one statement", PUT.replace("{PUT}", &put))
}
