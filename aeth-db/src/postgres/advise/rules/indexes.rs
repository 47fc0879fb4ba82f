//! Indexes that are missing, and those that nobody needs.

use super::Rule;
use crate::postgres::advise::Topic;

pub(super) const RULES: &[Rule] = &[
    Rule {
        topic: Topic::MissingIndex,
        sql: "SELECT c.conrelid::regclass::text, 'a foreign key without an index: each change of the table that it refers '
                || 'to reads this one from end to end, and locks meanwhile',
            'constraint ' || c.conname || ', about ' || greatest(r.reltuples, 0)::bigint || ' rows',
            format('CREATE INDEX CONCURRENTLY ON %s (%s)', c.conrelid::regclass, (
                SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n)
                FROM unnest(c.conkey) WITH ORDINALITY k (attnum, n)
                JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum))
            FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
            WHERE c.contype = 'f' AND c.conparentid = 0 AND NOT EXISTS (
                SELECT 1 FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
                    AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)",
    },
    Rule {
        topic: Topic::MissingIndex,
        sql: "SELECT format('%I.%I', schemaname, relname), 'a large table is mostly read from end to end',
            seq_scan || ' scans of the whole read ' || seq_tup_read || ' rows, ' || coalesce(idx_scan, 0)
                || ' went by an index; it has about ' || n_live_tup || ' rows', NULL
            FROM pg_stat_user_tables
            WHERE n_live_tup > 10000 AND seq_scan > 50 AND seq_scan > coalesce(idx_scan, 0)
                AND seq_tup_read / seq_scan > 5000",
    },
    Rule {
        topic: Topic::UnusedIndex,
        sql: "SELECT format('%I.%I', s.schemaname, s.indexrelname), 'an index that no query has used: it costs each write',
            pg_size_pretty(pg_relation_size(s.indexrelid)) || ' on ' || s.relname || ', never used; '
                || (t.n_tup_ins + t.n_tup_upd + t.n_tup_del) || ' writes kept it',
            format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', s.schemaname, s.indexrelname)
            FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
            JOIN pg_stat_user_tables t ON t.relid = s.relid
            WHERE s.idx_scan = 0 AND NOT i.indisunique AND NOT i.indisexclusion
                AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.contype = 'f' AND c.conrelid = s.relid
                    AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)
                AND pg_relation_size(s.indexrelid) > 65536 AND t.n_tup_ins + t.n_tup_upd + t.n_tup_del > 1000",
    },
    Rule {
        topic: Topic::UnusedIndex,
        sql: "SELECT b.indexrelid::regclass::text, 'the same index is there twice',
            'the twin of ' || a.indexrelid::regclass || ', ' || pg_size_pretty(pg_relation_size(b.indexrelid)),
            'DROP INDEX CONCURRENTLY IF EXISTS ' || b.indexrelid::regclass
            FROM pg_index a JOIN pg_index b ON a.indrelid = b.indrelid AND a.indexrelid < b.indexrelid
                AND a.indkey = b.indkey AND a.indclass = b.indclass AND a.indoption = b.indoption
                AND a.indcollation = b.indcollation
                AND pg_get_expr(a.indexprs, a.indrelid) IS NOT DISTINCT FROM pg_get_expr(b.indexprs, b.indrelid)
                AND pg_get_expr(a.indpred, a.indrelid) IS NOT DISTINCT FROM pg_get_expr(b.indpred, b.indrelid)
            JOIN pg_class ca ON ca.oid = a.indexrelid JOIN pg_class cb ON cb.oid = b.indexrelid AND ca.relam = cb.relam
            WHERE a.indrelid >= 16384 AND NOT b.indisunique",
    },
    Rule {
        topic: Topic::UnusedIndex,
        sql: "SELECT i.indexrelid::regclass::text, 'an index that was not built to its end: it costs each write and serves nobody',
            'not valid, ' || pg_size_pretty(pg_relation_size(i.indexrelid)) || ' on ' || i.indrelid::regclass,
            'REINDEX INDEX CONCURRENTLY ' || i.indexrelid::regclass
            FROM pg_index i WHERE NOT i.indisvalid AND i.indrelid >= 16384
                AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)",
    },
];
