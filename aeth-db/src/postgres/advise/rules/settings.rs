//! Settings of the server.

use super::Rule;
use crate::postgres::advise::Topic;

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
            ('password_encryption', 'md5', 'new passwords are kept in a form that can be used as it is',
                'ALTER SYSTEM SET password_encryption = ''scram-sha-256'''),
            ('log_lock_waits', 'off', 'long waits for locks leave no trace in the log',
                'ALTER SYSTEM SET log_lock_waits = on')
        ) AS v (name, bad, problem, statement) WHERE current_setting(name) = bad",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT 'shared_buffers', 'the server''s cache is still the tiny default; it takes effect after a restart, and should '
                || 'be no more than a quarter of the machine''s memory',
            'shared_buffers = ' || current_setting('shared_buffers') || ', the database has '
                || pg_size_pretty(pg_database_size(current_database())),
            format('ALTER SYSTEM SET shared_buffers = ''%sMB''',
                least(pg_database_size(current_database()) / 4, 8::bigint << 30) >> 20)
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
                || ' pages were in the cache, shared_buffers = ' || current_setting('shared_buffers'),
            format('ALTER SYSTEM SET shared_buffers = ''%sMB''',
                (SELECT setting::bigint * 8192 * 2 >> 20 FROM pg_settings WHERE name = 'shared_buffers'))
            FROM pg_stat_database WHERE datname = current_database()
                AND blks_hit + blks_read > 1000000 AND blks_hit < 0.95 * (blks_hit + blks_read)",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT 'effective_cache_size', 'the planner is told of less cache than the server has by itself, and avoids indexes',
            'effective_cache_size = ' || current_setting('effective_cache_size') || ', shared_buffers = '
                || current_setting('shared_buffers'),
            format('ALTER SYSTEM SET effective_cache_size = ''%sMB''', b.setting::bigint * 8192 * 3 >> 20)
            FROM pg_settings e, pg_settings b WHERE e.name = 'effective_cache_size' AND b.name = 'shared_buffers'
                AND e.setting::bigint < b.setting::bigint",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT 'maintenance_work_mem', 'indexes are built and tables vacuumed in many passes, for want of memory',
            'maintenance_work_mem = ' || current_setting('maintenance_work_mem') || ', the largest table has '
                || pg_size_pretty(t.size),
            'ALTER SYSTEM SET maintenance_work_mem = ''512MB'''
            FROM pg_settings, (SELECT max(pg_table_size(oid)) AS size FROM pg_class WHERE relkind = 'r') t
            WHERE name = 'maintenance_work_mem' AND setting::bigint <= 65536 AND t.size > 4::bigint << 30",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT name, 'it was changed, and takes effect only after a restart of the server',
            name || ' = ' || current_setting(name) || ' still', NULL
            FROM pg_settings WHERE pending_restart",
    },
    Rule {
        topic: Topic::Setting,
        sql: "SELECT 'pg_stat_statements', 'the server does not count its statements: which of them cost the most stays a guess'
                || CASE WHEN loaded THEN '' ELSE '; it takes effect after a restart, CREATE EXTENSION follows then' END,
            'shared_preload_libraries = ''' || current_setting('shared_preload_libraries') || '''',
            CASE WHEN loaded THEN 'CREATE EXTENSION pg_stat_statements'
                ELSE format('ALTER SYSTEM SET shared_preload_libraries = %s', (
                    SELECT string_agg(quote_literal(trim(part)), ', ')
                    FROM unnest(string_to_array(current_setting('shared_preload_libraries'), ',')
                        || 'pg_stat_statements'::text) part)) END
            FROM (SELECT current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%' AS loaded) l
            WHERE NOT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements')
                AND EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements')",
    },
    Rule {
        topic: Topic::Pool,
        sql: "SELECT 'max_connections', 'the server has few connections left for newcomers; a pooler before it, or smaller pools, cost '
                || 'less than more of them. It takes effect after a restart',
            used || ' of ' || current_setting('max_connections') || ' are in use, ' || idle || ' of them idle',
            format('ALTER SYSTEM SET max_connections = %s', current_setting('max_connections')::int * 3 / 2)
            FROM (SELECT count(*) AS used, count(*) FILTER (WHERE state = 'idle') AS idle FROM pg_stat_activity
                WHERE backend_type = 'client backend') s
            WHERE used > 0.85 * current_setting('max_connections')::int",
    },
];
