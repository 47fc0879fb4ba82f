//! Standbys, slots, archiving.

use super::Rule;
use crate::postgres::advise::Topic;

pub(super) const RULES: &[Rule] = &[
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
    Rule {
        topic: Topic::Replication,
        sql: "SELECT 'archive_command', 'the log is not archived any more: it fills the disk, and no restore reaches the present; mend '
                || 'the command or its target',
            failed_count || ' failures, the last of ' || last_failed_wal || ' at ' || last_failed_time::timestamp(0)
                || ', archived last ' || coalesce(last_archived_time::timestamp(0)::text, 'never'),
            NULL
            FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'
                AND last_failed_time > coalesce(last_archived_time, '-infinity')",
    },
    Rule {
        topic: Topic::Replication,
        sql: "SELECT 'max_slot_wal_keep_size', 'a standby that stays away lets its slot keep the log until the disk is full',
            (SELECT count(*) FROM pg_replication_slots) || ' slots, max_slot_wal_keep_size = -1',
            format('ALTER SYSTEM SET max_slot_wal_keep_size = ''%sMB''',
                (SELECT greatest(setting::bigint * 10, 10240) FROM pg_settings WHERE name = 'max_wal_size'))
            WHERE current_setting('max_slot_wal_keep_size', true) = '-1'
                AND EXISTS (SELECT 1 FROM pg_replication_slots)",
    },
];
