//! One server of the cluster.

use super::endpoint::address;
use super::link::{Link, Links, Opener};
use super::options::PostgresOptions;
use super::sight::{Sight, look};
use crate::error::from_sqlx;
use crate::pool::Holders;
use aeth_core::{Clock, ClockExt, Error, Result};
use deadpool::Runtime;
use deadpool::managed::{Pool, QueueMode, Timeouts};
use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgPool};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// How long a connection may take to become clean before it is given up.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

pub(super) struct Node {
    pub(super) index: usize,
    pub(super) address: String,
    pub(super) opener: Arc<Opener>,
    pub(super) pool: Pool<Links>,
    pub(super) holders: Holders,
    clock: Arc<dyn Clock>,
    /// The session beside the pool: it probes and cancels.
    side: Mutex<Option<PgConnection>>,
    /// Round trip of the probes in nanoseconds, smoothed.
    latency: AtomicU64,
    /// Wakes the prober.
    pub(super) kick: Notify,
    /// Readers that wait for this server to reach a position.
    pub(super) awaited: AtomicUsize,
}

impl Node {
    pub(super) fn new(
        index: usize,
        connect: PgConnectOptions,
        host: Option<PgPool>,
        options: &PostgresOptions,
    ) -> Result<Self> {
        let address = address(&connect);
        let opener = Arc::new(Opener::new(connect, host, options));
        let pool = Pool::builder(Links(Arc::clone(&opener)))
            .max_size(options.max_connections)
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(options.acquire_timeout),
                // The opener has limits of its own that say more.
                create: Some(options.connect_timeout.saturating_mul(2).saturating_add(SETTLE)),
                // Nothing is waited for but a ping, which has a limit of its own.
                recycle: None,
            })
            .build()
            .map_err(|error| Error::invalid("the pool cannot be built").with_source(error))?;
        Ok(Self {
            index,
            address,
            opener,
            pool,
            holders: Holders::new(),
            clock: Arc::clone(&options.clock),
            side: Mutex::default(),
            latency: AtomicU64::new(0),
            kick: Notify::new(),
            awaited: AtomicUsize::new(0),
        })
    }

    /// Does something on the session beside the pool, which is opened when it is missing and dropped when it fails.
    pub(super) async fn aside<T: Send>(&self, limit: Duration, work: impl AsyncAside<T>) -> Result<T> {
        let mut side = self.clock.timeout(limit, self.side.lock()).await?;
        // Taken out meanwhile: dropped part-way, it is gone and not in an unknown state.
        let mut connection = match side.take() {
            Some(connection) => connection,
            None => self.opener.connect().await?,
        };
        let done = self.clock.timeout(limit, work.run(&mut connection)).await?;
        if !matches!(&done, Err(error) if !matches!(error, sqlx::Error::Database(_))) {
            *side = Some(connection);
        }
        done.map_err(from_sqlx)
    }

    /// Asks the server what it is now.
    pub(super) async fn look(&self, limit: Duration) -> Result<Sight> {
        let now = self.clock.monotonic();
        let sight = self.aside(limit, Look(now)).await?;
        let took = self.clock.monotonic().saturating_sub(now);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = self.latency.load(Relaxed);
        let smoothed = if before == 0 { took } else { before - before / 4 + took / 4 };
        self.latency.store(smoothed, Relaxed);
        Ok(sight)
    }

    /// Stops what a session is doing.
    pub(super) async fn cancel(&self, session: Sight) -> Result<()> {
        self.aside(SETTLE, Cancel(session)).await
    }

    /// What another reader would add to: busy connections times round trip.
    pub(super) fn load(&self) -> u64 {
        let latency = self.latency.load(Relaxed).max(50_000);
        (self.holders.count() as u64 + 1).saturating_mul(latency)
    }

    /// The connections of before must not be used any more.
    pub(super) fn renew(&self) {
        self.opener.generation.fetch_add(1, Relaxed);
        // Those that are idle need not wait to be found; each is closed by being dropped.
        for link in self.pool.retain(|_, _| false).removed {
            Link::discard(link);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Something to do on the session beside the pool.
pub(super) trait AsyncAside<T>: Send {
    fn run(self, connection: &mut PgConnection) -> impl Future<Output = Result<T, sqlx::Error>> + Send;
}

struct Look(Duration);

impl AsyncAside<Sight> for Look {
    async fn run(self, connection: &mut PgConnection) -> Result<Sight, sqlx::Error> {
        look(connection, self.0).await
    }
}

struct Cancel(Sight);

impl AsyncAside<()> for Cancel {
    async fn run(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        // By pid and start: a number that was given to another session meanwhile is not hit.
        let Sight { pid, begun, .. } = self.0;
        let sql = format!(
            "SELECT pg_cancel_backend(a.pid) FROM pg_stat_get_activity({pid}) a
             WHERE (extract(epoch FROM a.backend_start) * 1000000)::bigint = {begun}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.map(drop)
    }
}
