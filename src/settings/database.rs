//! Settings of the database.

use super::{Address, SecretSource, Span};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Settings of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DatabaseSettings {
    /// Whether there is one. Default: yes.
    pub enabled: bool,
    /// Where PostgreSQL is: `postgres://user@host:port/database?sslmode=verify-full&sslrootcert=…`. Several hosts,
    /// separated by commas, are one cluster with replicas. Default: none, and the database is SQLite in the data
    /// directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Address>,
    /// The password of PostgreSQL. Default: the URL's, if it comes from a file or variable and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// SQLite: how many connections read at the same time (one more writes). Default: 4; 1 to 64.
    pub readers: u32,
    /// PostgreSQL: how many connections there are to each server. Default: 10; 1 to 10,000.
    pub max_connections: u32,
    /// PostgreSQL: what stands between. Default: nothing.
    pub pooler: PoolerKind,
    /// How long to wait for a connection or for the write lock. Default: 5 s.
    pub acquire_timeout: Span,
    /// PostgreSQL: how long a statement may take; 0 is no limit. Default: 60 s.
    pub statement_timeout: Span,
    /// From how long on a statement is counted and logged as slow. Default: 200 ms.
    pub slow_query: Span,
}

/// What stands between the program and PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PoolerKind {
    /// Nothing, or something that gives each client a session of its own.
    #[default]
    None,
    /// PgBouncer in transaction mode, or another pooler that gives a session for a transaction only.
    Transaction,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            url: None,
            password: None,
            readers: 4,
            max_connections: 10,
            pooler: PoolerKind::default(),
            acquire_timeout: Span::new(Duration::from_secs(5)),
            statement_timeout: Span::new(Duration::from_secs(60)),
            slow_query: Span::new(Duration::from_millis(200)),
        }
    }
}
