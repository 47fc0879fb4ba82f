//! Where the server is and how it is spoken to.

use super::error;
use super::tls::RedisTls;
use aeth_core::{Error, Result, Secret};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::fmt;
use std::time::Duration;

/// How the servers are arranged. Addresses are URLs: `redis://host:port`, `rediss://host:port` (TLS; needs the
/// feature `redis-tls`), `unix:///path/to.sock`.
#[derive(Clone)]
#[non_exhaustive]
pub enum Topology {
    /// One server.
    Standalone(String),
    /// A primary that Sentinels watch over: asked for at each connect, so that a failover is followed.
    Sentinel {
        /// The URLs of the Sentinels.
        sentinels: Vec<String>,
        /// The name under which they know the primary.
        service: String,
    },
    /// A Redis Cluster, by the URLs of some of its nodes.
    Cluster(Vec<String>),
}

impl Topology {
    pub(super) fn urls(&self) -> &[String] {
        match self {
            Self::Standalone(url) => std::slice::from_ref(url),
            Self::Sentinel { sentinels: urls, .. } | Self::Cluster(urls) => urls,
        }
    }
}

/// The user and password stay out.
impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<String> = self.urls().iter().map(|url| without_credentials(url)).collect();
        match self {
            Self::Standalone(_) => f.debug_tuple("Standalone").field(&urls.concat()).finish(),
            Self::Sentinel { service, .. } => {
                f.debug_struct("Sentinel").field("sentinels", &urls).field("service", service).finish()
            }
            Self::Cluster(_) => f.debug_tuple("Cluster").field(&urls).finish(),
        }
    }
}

/// How to reach Redis.
///
/// ```
/// # #[cfg(feature = "redis")] {
/// use aeth_cache::redis::RedisOptions;
/// use std::time::Duration;
/// let options = RedisOptions::new("redis://127.0.0.1:6379")
///     .with_prefix("shop")
///     .with_command_timeout(Duration::from_millis(250));
/// # drop(options);
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// Where the servers are.
    pub topology: Topology,
    /// The ACL user; `None` takes the URL's, or the server's default user.
    pub user: Option<String>,
    /// The password; `None` takes the URL's, if there is one.
    pub password: Option<Secret>,
    /// The password of the Sentinels, which is none of the servers'.
    pub sentinel_password: Option<Secret>,
    /// The certificates of `rediss://`; `None` trusts the system's.
    pub tls: Option<RedisTls>,
    /// What every key begins with: ASCII letters, digits, `-`, `_`, `.` and `/`, 1 to 64 of them. Two
    /// applications that share a server take different ones. Default `aeth`.
    pub prefix: String,
    /// How long a connect may take, TLS and log-in included. Default 2 s.
    pub connect_timeout: Duration,
    /// How long an answer may take, waiting for a connection included. Default 500 ms.
    pub command_timeout: Duration,
    /// Whether small packets are sent at once (`TCP_NODELAY`). Default true.
    pub nodelay: bool,
    /// Whether look-ups of single keys that are made at the same time become one `MGET`. Otherwise each is a `GET` of
    /// its own, for a proxy that handles those better; they still go out in one write. Default true.
    pub coalesce: bool,
    /// Whether the server's own word that a namespace has changed (*client tracking*) saves asking it along with each
    /// look-up. Redis and Valkey give that word before any later answer, which it depends on; switch it off for a
    /// server that only speaks their language. Where there is no such word each look-up asks. Default true.
    pub track: bool,
    /// The most keys in one command. Default 256.
    pub batch: usize,
    /// The most tags of a namespace whose invalidations are remembered; beyond it the oldest half is forgotten,
    /// and tagged entries that are older than what was forgotten become unreadable. Default 65,536.
    pub tags: usize,
    /// The longest time that the server keeps an entry, however long it would be usable. Default 30 days.
    pub keep: Duration,
}

impl RedisOptions {
    /// The defaults, for one server at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::with_topology(Topology::Standalone(url.into()))
    }

    /// The defaults, for servers arranged so.
    #[must_use]
    pub fn with_topology(topology: Topology) -> Self {
        Self {
            topology,
            user: None,
            password: None,
            sentinel_password: None,
            tls: None,
            prefix: "aeth".into(),
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_millis(500),
            nodelay: true,
            coalesce: true,
            track: true,
            batch: 256,
            tags: 65_536,
            keep: Duration::from_secs(30 * 86_400),
        }
    }

    /// Sets the ACL user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the password, for example by [`Secret::from_file`].
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }

    /// Sets the password of the Sentinels.
    #[must_use]
    pub fn with_sentinel_password(mut self, password: Secret) -> Self {
        self.sentinel_password = Some(password);
        self
    }

    /// Sets the certificates of `rediss://`.
    #[must_use]
    pub fn with_tls(mut self, tls: RedisTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets what every key begins with.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a connect may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets how long an answer may take.
    #[must_use]
    pub fn with_command_timeout(mut self, limit: Duration) -> Self {
        self.command_timeout = limit;
        self
    }

    /// Sets `TCP_NODELAY`.
    #[must_use]
    pub fn with_nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets whether single look-ups leave together.
    #[must_use]
    pub fn with_coalesce(mut self, coalesce: bool) -> Self {
        self.coalesce = coalesce;
        self
    }

    /// Sets whether the server's word that a namespace has changed saves asking it.
    #[must_use]
    pub fn with_track(mut self, track: bool) -> Self {
        self.track = track;
        self
    }

    /// Sets the most keys in one command; at least 1.
    #[must_use]
    pub fn with_batch(mut self, keys: usize) -> Self {
        self.batch = keys;
        self
    }

    /// Sets the most tags of a namespace that are remembered; at least 16.
    #[must_use]
    pub fn with_tags(mut self, tags: usize) -> Self {
        self.tags = tags;
        self
    }

    /// Sets the longest time that the server keeps an entry; 1 ms to 10 years.
    #[must_use]
    pub fn with_keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// Checks everything that can be checked without a connection.
    pub(super) fn check(&self) -> Result<Vec<ConnectionInfo>> {
        let wrong = |what: &'static str, setting: &'static str, remedy: &'static str| {
            Err(Error::invalid(what).with_component("redis").with_key(setting).with_remedy(remedy))
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.chars().all(allowed) {
            return wrong(
                "the key prefix is not allowed",
                "prefix",
                "take 1 to 64 of ASCII letters, digits, `-`, `_`, `.` and `/`",
            );
        }
        if self.connect_timeout.is_zero() || self.command_timeout.is_zero() {
            return wrong("a timeout is zero", "timeout", "take at least a millisecond");
        }
        if self.batch == 0 || self.tags < 16 {
            return wrong("a limit is too small", "batch or tags", "take a batch of 1 and 16 tags or more");
        }
        if self.keep.as_millis() == 0 || self.keep > Duration::from_secs(10 * 366 * 86_400) {
            return wrong("entries cannot be kept so long", "keep", "take 1 ms to 10 years");
        }
        if self.topology.urls().is_empty() {
            return wrong("no server is named", "topology", "give the URL of at least one");
        }
        let infos: Vec<ConnectionInfo> =
            self.topology.urls().iter().map(|url| parse(url)).collect::<Result<_>>()?;
        if let Some(tls) = &self.tls {
            tls.check()?;
            if !infos.iter().all(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. })) {
                return wrong("there are certificates, but no TLS", "tls", "write every URL as rediss://");
            }
        }
        Ok(infos)
    }
}

fn parse(url: &str) -> Result<ConnectionInfo> {
    let named = |error: Error| error.with_key(without_credentials(url));
    let info = url.into_connection_info().map_err(|parse| {
        named(error::convert(&parse).with_remedy("write it as redis://[user:password@]host:port[/database]"))
    })?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) && !info.addr().is_supported() {
        return Err(named(
            Error::unsupported("this build has no TLS for Redis")
                .with_component("redis")
                .with_remedy("enable the feature `redis-tls`, or use redis:// on a network that is trusted"),
        ));
    }
    Ok(info)
}

/// The URL without what stands before an `@`, and without a query, which may hold a password too.
fn without_credentials(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        (_, Some((_, rest))) => format!("***@{rest}"),
        _ => url.to_owned(),
    }
}
