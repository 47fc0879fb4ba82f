//! What autovacuum and the operator keep up.

use super::Rule;
use crate::postgres::advise::Topic;
use crate::postgres::statistics::{INDEX_BLOAT, TABLE_BLOAT};

pub(super) const RULES: &[Rule] = &[
    Rule {
        topic: Topic::Maintenance,
        sql: "SELECT format('%I.%I', schemaname, relname), 'many dead rows: autovacuum does not keep up, or an old '
                || 'transaction holds it back',
            n_dead_tup || ' dead and ' || n_live_tup || ' live rows, last vacuumed '
                || coalesce(greatest(last_vacuum, last_autovacuum)::text, 'never'),
            format('VACUUM (ANALYZE) %I.%I', schemaname, relname)
            FROM pg_stat_user_tables WHERE n_dead_tup > 10000 AND n_dead_tup > 0.2 * n_live_tup",
    },
    Rule {
        topic: Topic::Maintenance,
        sql: "SELECT format('%I.%I', schemaname, relname), 'never analysed: its queries are planned blindly',
            'about ' || n_live_tup || ' rows', format('ANALYZE %I.%I', schemaname, relname)
            FROM pg_stat_user_tables
            WHERE last_analyze IS NULL AND last_autoanalyze IS NULL AND n_live_tup > 10000",
    },
    Rule {
        topic: Topic::Maintenance,
        sql: "SELECT datname::text, 'the numbers of transactions run out: the server will refuse writes at two billion',
            'the oldest is ' || age(datfrozenxid) || ' back', 'VACUUM (FREEZE)'
            FROM pg_database WHERE datname = current_database() AND age(datfrozenxid) > 1000000000",
    },
    Rule {
        topic: Topic::Maintenance,
        sql: "SELECT 'process ' || pid, 'a transaction is open for long: nothing that was deleted since is reclaimed',
            coalesce(state, '?') || ' since ' || (now() - xact_start)::text || ', application ' || application_name,
            'SELECT pg_terminate_backend(' || pid || ')'
            FROM pg_stat_activity WHERE xact_start < now() - interval '1 hour' AND pid <> pg_backend_pid()
                AND backend_type = 'client backend'",
    },
    Rule {
        topic: Topic::Maintenance,
        sql: "SELECT c.oid::regclass::text, 'autovacuum is off for the table: what dies in it is never reclaimed',
            n_dead_tup || ' dead and ' || n_live_tup || ' live rows',
            format('ALTER TABLE %s RESET (autovacuum_enabled)', c.oid::regclass)
            FROM pg_class c JOIN pg_stat_user_tables t ON t.relid = c.oid
            WHERE array_to_string(c.reloptions, ' ') ~ 'autovacuum_enabled=(off|false|0|no)'",
    },
    Rule {
        topic: Topic::Maintenance,
        sql: "SELECT s.seq::regclass::text, 'the numbers of a key run out: inserts fail at the end',
            s.last_value || ' of ' || s.most || ' are used by ' || s.tab::regclass || '.' || quote_ident(s.attname),
            CASE WHEN s.most < 9223372036854775807 THEN
                format('ALTER SEQUENCE %s AS bigint; ALTER TABLE %s ALTER %I TYPE bigint',
                    s.seq::regclass, s.tab::regclass, s.attname) END
            FROM (SELECT c.oid AS seq, a.attrelid AS tab, a.attname,
                    pg_sequence_last_value(q.seqrelid) AS last_value,
                    least(q.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
                        ELSE 9223372036854775807 END) AS most
                FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid
                JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass
                    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE NOT q.seqcycle AND q.seqincrement > 0 AND has_sequence_privilege(q.seqrelid, 'SELECT')) s
            WHERE s.last_value > 0.75 * s.most",
    },
    Rule {
        topic: Topic::Bloat,
        sql: TABLE_BLOAT,
    },
    Rule {
        topic: Topic::Bloat,
        sql: INDEX_BLOAT,
    },
];
