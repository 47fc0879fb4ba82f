
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

CREATE UNLOGGED TABLE aeth_cache_0 (
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
ALTER TABLE aeth_cache_0 ALTER COLUMN envelope SET STORAGE EXTERNAL;

CREATE UNLOGGED TABLE aeth_cache_1 (
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
ALTER TABLE aeth_cache_1 ALTER COLUMN envelope SET STORAGE EXTERNAL;

CREATE UNLOGGED TABLE aeth_cache_2 (
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
ALTER TABLE aeth_cache_2 ALTER COLUMN envelope SET STORAGE EXTERNAL;

CREATE UNLOGGED TABLE aeth_cache_3 (
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
ALTER TABLE aeth_cache_3 ALTER COLUMN envelope SET STORAGE EXTERNAL;

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
        SELECT * FROM (SELECT * FROM aeth_cache_0 WHERE hash = p_hash UNION ALL SELECT * FROM aeth_cache_1 WHERE hash = p_hash UNION ALL SELECT * FROM aeth_cache_2 WHERE hash = p_hash UNION ALL SELECT * FROM aeth_cache_3 WHERE hash = p_hash) every
        WHERE namespace = p_namespace AND key = p_key ORDER BY seq DESC LIMIT 1
    ) e
    WHERE e.usable_until > p_now AND NOT EXISTS (
        SELECT 1 FROM aeth_cache_tag t
        WHERE t.namespace = p_namespace AND t.tag = ANY (e.tags) AND t.seq > e.seq)
$$;

CREATE FUNCTION aeth_cache_store(p_row aeth_cache_0) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g integer := aeth_cache_current();
BEGIN
    IF g = 0 THEN
        INSERT INTO aeth_cache_0 SELECT p_row.* ON CONFLICT (hash) DO UPDATE SET
            namespace = excluded.namespace, key = excluded.key, seq = excluded.seq,
            fresh_until = excluded.fresh_until, usable_until = excluded.usable_until,
            version = excluded.version, tags = excluded.tags, envelope = excluded.envelope;
    END IF;
    IF g = 1 THEN
        INSERT INTO aeth_cache_1 SELECT p_row.* ON CONFLICT (hash) DO UPDATE SET
            namespace = excluded.namespace, key = excluded.key, seq = excluded.seq,
            fresh_until = excluded.fresh_until, usable_until = excluded.usable_until,
            version = excluded.version, tags = excluded.tags, envelope = excluded.envelope;
    END IF;
    IF g = 2 THEN
        INSERT INTO aeth_cache_2 SELECT p_row.* ON CONFLICT (hash) DO UPDATE SET
            namespace = excluded.namespace, key = excluded.key, seq = excluded.seq,
            fresh_until = excluded.fresh_until, usable_until = excluded.usable_until,
            version = excluded.version, tags = excluded.tags, envelope = excluded.envelope;
    END IF;
    IF g = 3 THEN
        INSERT INTO aeth_cache_3 SELECT p_row.* ON CONFLICT (hash) DO UPDATE SET
            namespace = excluded.namespace, key = excluded.key, seq = excluded.seq,
            fresh_until = excluded.fresh_until, usable_until = excluded.usable_until,
            version = excluded.version, tags = excluded.tags, envelope = excluded.envelope;
    END IF;
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
            p_versions[i], string_to_array(p_tags[i], E'\x1f'), p_envelopes[i]);
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
    DELETE FROM aeth_cache_0
        WHERE hash = ANY (p_hashes) AND namespace = p_namespace AND key = ANY (p_keys);
    DELETE FROM aeth_cache_1
        WHERE hash = ANY (p_hashes) AND namespace = p_namespace AND key = ANY (p_keys);
    DELETE FROM aeth_cache_2
        WHERE hash = ANY (p_hashes) AND namespace = p_namespace AND key = ANY (p_keys);
    DELETE FROM aeth_cache_3
        WHERE hash = ANY (p_hashes) AND namespace = p_namespace AND key = ANY (p_keys);
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
    bytes := pg_total_relation_size('aeth_cache_0') + pg_total_relation_size('aeth_cache_1') + pg_total_relation_size('aeth_cache_2') + pg_total_relation_size('aeth_cache_3');
END $$;
