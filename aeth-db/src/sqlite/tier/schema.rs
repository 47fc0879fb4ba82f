//! The tables.

use crate::migrate::Migrations;

/// `version` is the unsigned version with its highest bit turned over, so that the signed order is the right
/// one. `tick` grows with every store: the smallest is the oldest. The totals are kept by triggers, because
/// counting a large table takes long; triggers also void the lease on what is stored and forget the tags of what
/// is replaced, so that a store is one statement.
const TABLES: &str = "
CREATE TABLE aeth_cache_entry (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    key BLOB NOT NULL,
    tick INTEGER NOT NULL,
    usable_until INTEGER NOT NULL,
    version INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    UNIQUE (namespace, key)
);
CREATE INDEX aeth_cache_entry_tick ON aeth_cache_entry (tick);
CREATE INDEX aeth_cache_entry_usable_until ON aeth_cache_entry (usable_until);
CREATE TABLE aeth_cache_tag (
    namespace TEXT NOT NULL,
    tag TEXT NOT NULL,
    entry INTEGER NOT NULL REFERENCES aeth_cache_entry (id) ON DELETE CASCADE,
    PRIMARY KEY (namespace, tag, entry)
) WITHOUT ROWID;
CREATE INDEX aeth_cache_tag_entry ON aeth_cache_tag (entry);
CREATE TABLE aeth_cache_lease (
    namespace TEXT NOT NULL,
    key BLOB NOT NULL,
    token BLOB NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;
CREATE TABLE aeth_cache_total (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    tick INTEGER NOT NULL
);
INSERT INTO aeth_cache_total VALUES (1, 0, 0, 0);
CREATE TRIGGER aeth_cache_entry_inserted AFTER INSERT ON aeth_cache_entry BEGIN
    UPDATE aeth_cache_total SET entries = entries + 1, bytes = bytes + NEW.bytes, tick = tick + 1;
    DELETE FROM aeth_cache_lease WHERE namespace = NEW.namespace AND key = NEW.key;
END;
CREATE TRIGGER aeth_cache_entry_updated AFTER UPDATE ON aeth_cache_entry BEGIN
    UPDATE aeth_cache_total SET bytes = bytes + NEW.bytes - OLD.bytes, tick = tick + 1;
    DELETE FROM aeth_cache_lease WHERE namespace = NEW.namespace AND key = NEW.key;
    DELETE FROM aeth_cache_tag WHERE entry = NEW.id;
END;
CREATE TRIGGER aeth_cache_entry_deleted AFTER DELETE ON aeth_cache_entry BEGIN
    UPDATE aeth_cache_total SET entries = entries - 1, bytes = bytes - OLD.bytes;
END;
";

pub(super) fn migrations() -> Migrations {
    Migrations::new("aeth-cache").step(1, "entries, tags and leases", TABLES)
}
