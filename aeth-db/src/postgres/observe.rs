//! Metrics, health, end.

use super::fleet::Standing;
use super::handle::PostgresDatabase;
use super::route::Consistency;
use crate::error::SqlxResultExt;
use aeth_core::observe::standard::{database, labels};
use aeth_core::observe::{Collector, Descriptor, Health, HealthCheck, MetricsSource, Unit};
use aeth_core::{ClockExt, Error, Lifecycle, Result};
use async_trait::async_trait;
use std::borrow::Cow;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What a server is taken for: 1 for the state that holds, by `server` and `standing`.
const STANDING: Descriptor =
    Descriptor::gauge("aeth_db_server", "What a server is taken for: 1 for the standing that holds.");
/// How old at most is what a standby shows, by `server`.
const STALENESS: Descriptor = Descriptor::gauge(
    "aeth_db_replica_staleness_seconds",
    "How old at most is what a standby shows, by the primary's positions.",
)
.with_unit(Unit::Seconds);

const STANDINGS: [(Standing, &str); 7] = [
    (Standing::Unknown, "unknown"),
    (Standing::Down, "down"),
    (Standing::Primary, "primary"),
    (Standing::Standby, "standby"),
    (Standing::Stale, "stale"),
    (Standing::Rival, "rival"),
    (Standing::Foreign, "foreign"),
];

impl MetricsSource for PostgresDatabase {
    fn component(&self) -> Cow<'_, str> {
        "database".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "gauges need no more than 53 bits")]
    fn collect(&self, out: &mut dyn Collector) {
        let shared = &*self.shared;
        let named = (labels::DATABASE, shared.options.name.as_str());
        shared.recorder.collect(&shared.options.name, out);
        let (mut used, mut open) = (0, 0);
        let servers = self.servers();
        for server in &servers {
            used += server.used;
            open += server.open;
            let placed = (SERVER, server.address.as_str());
            for (standing, word) in STANDINGS {
                let holds = f64::from(u8::from(server.standing == standing));
                out.gauge(&STANDING, &[named, placed, ("standing", word)], holds);
            }
            if let (Standing::Standby, Some(stale)) = (server.standing, server.staleness) {
                out.gauge(&STALENESS, &[named, placed], stale.as_secs_f64());
            }
        }
        for (state, count) in [(labels::USED, used), (labels::IDLE, open.saturating_sub(used))] {
            out.gauge(&database::CONNECTIONS, &[named, (labels::STATE, state)], count as f64);
        }
        if let Some(figures) = self.server_statistics() {
            figures.collect(named, out);
        }
        let most = shared.options.max_connections * shared.nodes.len();
        out.gauge(&database::CONNECTIONS_MAX, &[named], most as f64);
    }
}

/// Transactions since the oldest that is not frozen from which on health is degraded: autovacuum begins to hurry at 200
/// million.
const TRANSACTION_AGE: u64 = 1_000_000_000;

/// The label that names a server.
const SERVER: &str = "server";

/// Down when no server that is asked for answers, or two believe to be the primary; degraded when one of several servers
/// is down, left behind or of another cluster, when nine tenths of the server's connections are in use, and when the
/// numbers of transactions run out.
#[async_trait]
impl HealthCheck for PostgresDatabase {
    fn component(&self) -> Cow<'_, str> {
        "database".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "figures need no more than 53 bits")]
    async fn check(&self) -> Health {
        let touched = self.touch().await;
        let servers = self.servers();
        let wrong: Vec<String> = servers
            .iter()
            .filter(|server| !matches!(server.standing, Standing::Primary | Standing::Standby))
            .map(|server| match &server.error {
                Some(error) => format!("{}: {}", server.address, error.message()),
                None => format!("{} is {:?}", server.address, server.standing).to_lowercase(),
            })
            .collect();
        let wrong: Vec<String> = wrong.into_iter().chain(self.pressure()).collect();
        let rivals = servers.iter().any(|server| server.standing == Standing::Rival);
        let health = match touched {
            Err(error) => Health::from(&error),
            Ok(()) if rivals => Health::down(format!("two servers are primaries: {}", wrong.join("; "))),
            Ok(()) if !wrong.is_empty() => Health::degraded(wrong.join("; ")),
            Ok(()) => Health::up(),
        };
        let standing = |wanted| servers.iter().filter(|server| server.standing == wanted).count() as f64;
        let stalest = servers
            .iter()
            .filter(|server| server.standing == Standing::Standby)
            .filter_map(|server| server.staleness)
            .max();
        let health = health.with_observed("primaries", standing(Standing::Primary), "").with_observed(
            "standbys",
            standing(Standing::Standby),
            "",
        );
        match stalest {
            Some(stalest) => health.with_observed("replica_staleness", stalest.as_secs_f64(), "seconds"),
            None => health,
        }
    }
}

impl PostgresDatabase {
    /// What is about to run out, by the latest sample of the server's statistics.
    fn pressure(&self) -> Vec<String> {
        let Some(figures) = self.server_statistics() else { return Vec::new() };
        let mut told = Vec::new();
        if figures.connections * 10 > figures.connections_max * 9 {
            let (used, most) = (figures.connections, figures.connections_max);
            told.push(format!("{used} of the server's {most} connections are in use"));
        }
        if figures.transaction_age > TRANSACTION_AGE {
            let age = figures.transaction_age;
            told.push(format!("the oldest transaction is {age} back: writes are refused near two billion"));
        }
        told
    }

    async fn touch(&self) -> Result<()> {
        let place = Location::caller();
        let has_primary = self.shared.fleet.primary().is_some();
        // Only standbys may be what was asked for: then one of them must answer.
        let wanted = if has_primary { Consistency::Strong } else { Consistency::Eventual };
        let mut reader = self.shared.reader(wanted, place).await?;
        sqlx::query("SELECT count(*) FROM pg_class WHERE oid = 1259").execute(&mut reader).await.storage()?;
        Ok(())
    }

    async fn finish(&self, deadline: Duration) -> Result<()> {
        let shared = &*self.shared;
        let clock = &shared.recorder.clock;
        let started = clock.monotonic();
        let left = || deadline.saturating_sub(clock.monotonic().saturating_sub(started));
        for node in &shared.nodes {
            if clock.timeout(left(), node.holders.none()).await.is_err() {
                let holders = node.holders.describe(clock.monotonic());
                return Err(Error::timeout(format!("connections are still in use: {holders}"))
                    .with_key(&node.address));
            }
            node.pool.close();
            for link in node.pool.retain(|_, _| false).removed {
                link.close().await;
            }
        }
        shared.tasks.close(left()).await
    }
}

#[async_trait]
impl Lifecycle for PostgresDatabase {
    /// Refuses new loans, waits for those that are out, closes all connections.
    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.closing.store(true, Relaxed);
        self.shared.tasks.cancel();
        Box::pin(self.finish(deadline))
            .await
            .map_err(|error| error.with_operation("close").with_component("database"))
    }
}
