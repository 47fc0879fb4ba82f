//! Room that holds nothing.
//!
//! What a table or B-tree would need is reckoned from its rows and the average widths in the planner's statistics, and
//! compared with its pages. It is an estimate: out-of-line values are not looked at, and a deduplicated index seems
//! to be better filled than it is. `pgstattuple` counts exactly, by reading everything.

use super::row;
use crate::postgres::node::AsyncAside;
use sqlx::{PgConnection, Row};

/// A query of (relation, bytes, wasted) for every table of the database that was analysed. A row has 24 bytes of
/// header, 4 of pointer, and is filled up to 8; a page 24.
macro_rules! table_bloat {
    () => {
        "SELECT t.oid AS relation, t.size AS bytes, greatest(t.size - 8192 * ceil(t.rows * (t.width + 32)
            / ((8192 - 24) * t.fill / 100.0)), 0)::bigint AS wasted
        FROM (
            SELECT c.oid, pg_relation_size(c.oid) AS size, c.reltuples AS rows,
                coalesce(substring(array_to_string(c.reloptions, ' ') FROM 'fillfactor=([0-9]+)')::int, 100) AS fill,
                (SELECT sum((1 - s.null_frac) * s.avg_width) FROM pg_stats s
                    WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited) AS width
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND c.oid >= 16384 AND c.reltuples >= 0 AND c.relpersistence <> 't'
        ) t WHERE t.width IS NOT NULL"
    };
}

/// The same for every B-tree over plain columns. An entry has 8 bytes of header and 4 of pointer; a page 40, and is
/// left a tenth empty.
macro_rules! index_bloat {
    () => {
        "SELECT x.oid AS relation, x.size AS bytes, greatest(x.size - 8192 * (1 + ceil(x.rows * (x.width + 16)
            / ((8192 - 40) * x.fill / 100.0))), 0)::bigint AS wasted
        FROM (
            SELECT c.oid, pg_relation_size(c.oid) AS size, c.reltuples AS rows,
                coalesce(substring(array_to_string(c.reloptions, ' ') FROM 'fillfactor=([0-9]+)')::int, 90) AS fill,
                (SELECT sum((1 - s.null_frac) * s.avg_width)
                    FROM unnest(i.indkey::smallint[]) k (attnum)
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                    JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = r.relname
                        AND s.attname = a.attname AND NOT s.inherited) AS width
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class r ON r.oid = i.indrelid
            JOIN pg_namespace n ON n.oid = r.relnamespace JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
            WHERE c.relkind = 'i' AND c.oid >= 16384 AND i.indisvalid AND i.indexprs IS NULL AND c.reltuples >= 0
                AND c.relpersistence <> 't'
        ) x WHERE x.width IS NOT NULL"
    };
}

/// Tables of which a good part is wasted.
pub(in crate::postgres) const TABLE_BLOAT: &str = concat!(
    "SELECT relation::regclass::text, 'much of the table holds nothing: it is read and cached in vain. The statement \
     locks the table while it works; pg_repack does the same without that',
        pg_size_pretty(wasted) || ' of ' || pg_size_pretty(bytes) || ' are empty, estimated',
        'VACUUM (FULL, ANALYZE) ' || relation::regclass
    FROM (",
    table_bloat!(),
    ") b WHERE wasted > 0.4 * bytes AND wasted > 8 * 1024 * 1024 ORDER BY wasted DESC"
);

/// Indexes of which a good part is wasted.
pub(in crate::postgres) const INDEX_BLOAT: &str = concat!(
    "SELECT relation::regclass::text, 'much of the index holds nothing: it is read and cached in vain',
        pg_size_pretty(wasted) || ' of ' || pg_size_pretty(bytes) || ' are empty, estimated',
        'REINDEX INDEX CONCURRENTLY ' || relation::regclass
    FROM (",
    index_bloat!(),
    ") b WHERE wasted > 0.4 * bytes AND wasted > 8 * 1024 * 1024 ORDER BY wasted DESC"
);

const ASK: &str = concat!(
    "SELECT (SELECT coalesce(sum(wasted), 0)::bigint FROM (",
    table_bloat!(),
    ") t) AS tables, (SELECT coalesce(sum(wasted), 0)::bigint FROM (",
    index_bloat!(),
    ") i) AS indexes"
);

/// Asks for what tables and indexes waste, all together.
pub(super) struct Ask;

impl AsyncAside<(u64, u64)> for Ask {
    async fn run(self, connection: &mut PgConnection) -> Result<(u64, u64), sqlx::Error> {
        let row = row(connection, ASK).await?;
        let bytes = |name: &str| row.try_get::<i64, _>(name).map(|bytes| u64::try_from(bytes).unwrap_or(0));
        Ok((bytes("tables")?, bytes("indexes")?))
    }
}
