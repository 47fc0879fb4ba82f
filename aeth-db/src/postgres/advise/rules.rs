//! Each rule is a query that gives subject, problem, evidence and the mending statement.

use super::Topic;

pub(super) struct Rule {
    pub(super) topic: Topic,
    pub(super) sql: &'static str,
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        topic: Topic::Setting,
        sql: "SELECT name, problem, name || ' = ' || current_setting(name), statement FROM (VALUES
            ('fsync', 'off', 'a power cut destroys the cluster', 'ALTER SYSTEM SET fsync = on'),
            ('full_page_writes', 'off', 'a power cut leaves torn pages that no log can mend',
                'ALTER SYSTEM SET full_page_writes = on'),
            ('autovacuum', 'off', 'dead rows are never reclaimed, and the numbers of transactions run out',
                'ALTER SYSTEM SET autovacuum = on'),
            ('track_counts', 'off', 'autovacuum and these findings see nothing', 'ALTER SYSTEM SET track_counts = on'),
            ('idle_in_transaction_session_timeout', '0',
                'a client that forgets a transaction holds its locks and keeps dead rows for ever',
                'ALTER SYSTEM SET idle_in_transaction_session_timeout = ''5min'''),
            ('log_lock_waits', 'off', 'long waits for locks leave no trace in the log',
                'ALTER SYSTEM SET log_lock_waits = on')
        ) AS v (name, bad, problem, statement) WHERE current_setting(name) = bad",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT 'shared_buffers', 'the server''s cache is still the tiny default; it takes effect after a restart',
            'shared_buffers = ' || current_setting('shared_buffers') || ', the database has '
                || pg_size_pretty(pg_database_size(current_database())),
            'ALTER SYSTEM SET shared_buffers = ''25% of the memory, such as 4GB'''
            FROM pg_settings WHERE name = 'shared_buffers' AND setting::bigint * 8192 <= 128 * 1024 * 1024
                AND pg_database_size(current_database()) > setting::bigint * 8192 * 4",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT 'max_wal_size', 'most checkpoints are forced by the amount of log: pages are written again and again',
            checkpoints_req || ' of ' || (checkpoints_req + checkpoints_timed) || ' checkpoints were forced, max_wal_size = '
                || current_setting('max_wal_size'),
            format('ALTER SYSTEM SET max_wal_size = ''%sMB''',
                (SELECT setting::bigint * 4 FROM pg_settings WHERE name = 'max_wal_size'))
            FROM pg_stat_bgwriter WHERE checkpoints_req > 20 AND checkpoints_req > checkpoints_timed
                AND current_setting('server_version_num')::int < 170000",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT 'work_mem', 'sorts and hashes spill to disk',
            pg_size_pretty(temp_bytes) || ' in ' || temp_files || ' temporary files, work_mem = '
                || current_setting('work_mem'),
            format('ALTER SYSTEM SET work_mem = ''%skB''',
                (SELECT setting::bigint * 4 FROM pg_settings WHERE name = 'work_mem'))
            FROM pg_stat_database WHERE datname = current_database() AND temp_bytes > 1024::bigint * 1024 * 1024",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT datname::text, 'too much is read from below the cache: it is too small, or queries read too much',
            round(100.0 * blks_hit / (blks_hit + blks_read), 1) || ' % of ' || (blks_hit + blks_read)
                || ' pages were in the cache', NULL
            FROM pg_stat_database WHERE datname = current_database()
                AND blks_hit + blks_read > 1000000 AND blks_hit < 0.95 * (blks_hit + blks_read)",
    },
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
        topic: Topic::Replication,
        sql: "SELECT slot_name::text, 'a replication slot that nobody reads keeps the log until the disk is full',
            pg_size_pretty(pg_current_wal_lsn() - restart_lsn) || ' of log are kept for it',
            format('SELECT pg_drop_replication_slot(%L)', slot_name)
            FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL AND NOT pg_is_in_recovery()",
    },
    Rule {
        topic: Topic::Replication,
        sql: "SELECT 'synchronous_standby_names', 'no synchronous standby is connected: every commit waits for ever',
            'synchronous_standby_names = ' || current_setting('synchronous_standby_names'),
            'ALTER SYSTEM RESET synchronous_standby_names'
            WHERE current_setting('synchronous_standby_names') <> ''
                AND NOT EXISTS (SELECT 1 FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))",
    },
    Rule {
        topic: Topic::Replication,
        sql: "SELECT coalesce(nullif(application_name, ''), client_addr::text, '?'), 'a standby is far behind',
            pg_size_pretty(pg_current_wal_lsn() - replay_lsn) || ' of log are not replayed yet', NULL
            FROM pg_stat_replication WHERE NOT pg_is_in_recovery()
                AND pg_current_wal_lsn() - replay_lsn > 256 * 1024 * 1024",
    },
];
