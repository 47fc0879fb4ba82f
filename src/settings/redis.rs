//! Settings of Redis.

use super::{Address, SecretSource, Span};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Where Redis is. What it is used for stands where it is used: [`CacheSettings::tiers`](super::CacheSettings::tiers),
/// [`CacheSettings::backplane`](super::CacheSettings::backplane),
/// [`BackupSettings::leader`](super::BackupSettings::leader).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisSettings {
    /// `redis://host:port`, `rediss://host:port` (TLS) or `unix:///path`; for Sentinels and clusters the URLs of some of
    /// them, separated by commas.
    pub url: Address,
    /// How the servers are arranged. Default: one server.
    #[serde(default)]
    pub mode: RedisMode,
    /// The name under which the Sentinels know the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The ACL user. Default: the URL's, or the server's default user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// The password of the Sentinels, which is none of the servers'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel_password: Option<SecretSource>,
    /// A PEM file of the authorities that are trusted. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// A PEM file of the certificate that the server is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<SecretSource>,
    /// What every key begins with; applications that share a server take different ones. Default: `aeth`.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// How long a connect may take. Default: 2 s.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// How long an answer may take. Default: 500 ms.
    #[serde(default = "command_timeout")]
    pub command_timeout: Span,
}

/// How Redis servers are arranged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RedisMode {
    /// One server.
    #[default]
    Standalone,
    /// A primary and replicas that Sentinels watch over; the URLs are the Sentinels'.
    Sentinel,
    /// A Redis Cluster; the URLs are those of some of its nodes.
    Cluster,
}

impl RedisSettings {
    /// The defaults, for one server at `url`.
    #[must_use]
    pub fn new(url: impl Into<Address>) -> Self {
        Self {
            url: url.into(),
            mode: RedisMode::default(),
            service: None,
            user: None,
            password: None,
            sentinel_password: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            prefix: prefix(),
            connect_timeout: connect_timeout(),
            command_timeout: command_timeout(),
        }
    }
}

fn prefix() -> String {
    "aeth".into()
}

fn connect_timeout() -> Span {
    Span::new(Duration::from_secs(2))
}

fn command_timeout() -> Span {
    Span::new(Duration::from_millis(500))
}
