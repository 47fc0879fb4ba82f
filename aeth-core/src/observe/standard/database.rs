//! `database`: connections, query time, slow queries, deadlocks, size. All carry [`labels::DATABASE`].
//!
//! [`labels::DATABASE`]: super::labels::DATABASE

use crate::observe::{Descriptor, Unit};

/// Open connections, by `state` (idle, used).
pub const CONNECTIONS: Descriptor =
    Descriptor::gauge("aeth_db_connections", "Open connections by state (idle, used).");
/// The greatest number of connections that the pool opens.
pub const CONNECTIONS_MAX: Descriptor =
    Descriptor::gauge("aeth_db_connections_max", "Connections that the pool may open.");
/// How long callers waited for a connection.
pub const POOL_WAIT: Descriptor =
    Descriptor::duration("aeth_db_pool_wait_duration_seconds", "Time spent waiting for a connection.");
/// Callers that gave up waiting for a connection.
pub const POOL_TIMEOUTS: Descriptor =
    Descriptor::counter("aeth_db_pool_timeouts", "Callers that got no connection in time.");
/// How long statements took, by `operation` (read, write).
pub const QUERY_TIME: Descriptor =
    Descriptor::duration("aeth_db_query_duration_seconds", "Time from sending a statement to its end.");
/// Statements that took longer than the threshold.
pub const SLOW_QUERIES: Descriptor =
    Descriptor::counter("aeth_db_slow_queries", "Statements that took longer than the slow-query threshold.");
/// Statements that failed, by `kind`.
pub const ERRORS: Descriptor = Descriptor::counter("aeth_db_errors", "Statements that failed, by kind.");
/// Transactions that the engine aborted to end a deadlock or a lock conflict.
pub const DEADLOCKS: Descriptor = Descriptor::counter(
    "aeth_db_deadlocks",
    "Transactions aborted to end a deadlock or, where locks are whole-database, a lock conflict.",
);
/// Transactions committed.
pub const COMMITS: Descriptor = Descriptor::counter("aeth_db_commits", "Transactions committed.");
/// Transactions rolled back.
pub const ROLLBACKS: Descriptor = Descriptor::counter("aeth_db_rollbacks", "Transactions rolled back.");
/// Transactions repeated after a transient failure.
pub const RETRIES: Descriptor =
    Descriptor::counter("aeth_db_retries", "Transactions repeated after a transient failure.");
/// Runs of statements that their connection had prepared already.
pub const STATEMENT_CACHE_HITS: Descriptor = Descriptor::counter(
    "aeth_db_statement_cache_hits",
    "Runs of statements that their connection had prepared already.",
);
/// Runs of statements that had to be prepared first.
pub const STATEMENT_CACHE_MISSES: Descriptor = Descriptor::counter(
    "aeth_db_statement_cache_misses",
    "Runs of statements that had to be prepared first.",
);
/// Prepared statements that went because a connection's statement cache was full.
pub const STATEMENT_CACHE_EVICTIONS: Descriptor = Descriptor::counter(
    "aeth_db_statement_cache_evictions",
    "Prepared statements that went because a connection's statement cache was full.",
);
/// Bytes of the database on disk, without its log.
pub const SIZE: Descriptor =
    Descriptor::gauge("aeth_db_size_bytes", "Size of the database, without its log.").with_unit(Unit::Bytes);
/// Bytes of the write-ahead log.
pub const WAL_SIZE: Descriptor =
    Descriptor::gauge("aeth_db_wal_size_bytes", "Size of the write-ahead log.").with_unit(Unit::Bytes);

/// The section.
pub const ALL: &[Descriptor] = &[
    CONNECTIONS,
    CONNECTIONS_MAX,
    POOL_WAIT,
    POOL_TIMEOUTS,
    QUERY_TIME,
    SLOW_QUERIES,
    ERRORS,
    DEADLOCKS,
    COMMITS,
    ROLLBACKS,
    RETRIES,
    STATEMENT_CACHE_HITS,
    STATEMENT_CACHE_MISSES,
    STATEMENT_CACHE_EVICTIONS,
    SIZE,
    WAL_SIZE,
];
