//! The typed handle.

use super::conn::PostgresConn;
use super::endpoint::places;
use super::fleet::{Fleet, Standing};
use super::lock::Locks;
use super::node::Node;
use super::options::PostgresOptions;
use super::probe::{probe, probe_forever};
use super::route::Consistency;
use super::shared::Shared;
use super::target::TargetSession;
use super::transaction::PostgresTransaction;
use crate::observe::{Recorder, SlowQuery, StatementStatistics};
use aeth_core::{Error, Result, Tasks};
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// A PostgreSQL database: one primary and its replicas. Cheap to clone; all clones are the same database.
///
/// Writers say [`write`](Self::write), readers say [`read`](Self::read) and how fresh it must be; no statement is
/// parsed to guess. Every server is probed for its role, timeline and position; after a promotion writers go to the
/// new primary, and the old one, should it come back, is not used.
#[derive(Debug, Clone)]
pub struct PostgresDatabase {
    pub(super) shared: Arc<Shared>,
}

/// What is known of one server at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Host and port.
    pub address: String,
    /// What it is taken for.
    pub standing: Standing,
    /// The timeline that it is on, when it has answered.
    pub timeline: Option<u32>,
    /// The position that it has replayed or flushed, when it has answered.
    pub lsn: Option<u64>,
    /// How old at most is what it shows: nothing for the primary; `None` when that is not known.
    pub staleness: Option<Duration>,
    /// Connections that are handed out.
    pub used: usize,
    /// Connections that are open.
    pub open: usize,
    /// Why it does not answer.
    pub error: Option<Error>,
}

impl PostgresDatabase {
    /// Opens the database: asks every server once, and goes on asking in the background.
    ///
    /// # Errors
    /// `Invalid` for impossible options, a wrong URL, or primaries of different clusters; otherwise, when no server
    /// is what the options' target demands, the error of the first one that does not answer (`Denied` for a wrong
    /// password or missing TLS, `NotFound` for the database, `Busy` for too many connections, `Unavailable` for a
    /// server that starts, stops, or cannot be reached, `Timeout`), or `Unavailable` when all answer.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(options: PostgresOptions) -> Result<Self> {
        options.check()?;
        let places = places(&options)?;
        let nodes = places
            .servers
            .into_iter()
            .enumerate()
            .map(|(index, server)| Node::new(index, server, places.pool.clone(), &options).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        let shared = Arc::new(Shared {
            recorder: Recorder::new(Arc::clone(&options.clock), options.slow_after),
            fleet: Fleet::new(nodes.len(), options.system_identifier),
            tasks: Tasks::new(),
            closing: false.into(),
            locks: Locks::default(),
            figures: parking_lot::RwLock::default(),
            hub: std::sync::OnceLock::new(),
            nodes,
            options,
        });
        let named = |error: Error| error.with_operation("open").with_component("database");
        let asked = shared.nodes.iter().map(|node| probe(&shared, node));
        drop(futures_util::future::join_all(asked).await);
        shared.fleet.identify().map_err(named)?;
        shared.target(places.target).map_err(named)?;
        for index in 0..shared.nodes.len() {
            let probing = probe_forever(Arc::downgrade(&shared), index);
            // The handle is not needed: close ends the task.
            drop(shared.tasks.spawn_until_closed(probing));
        }
        let sampling = super::statistics::sample_forever(Arc::downgrade(&shared));
        drop(shared.tasks.spawn_until_closed(sampling));
        Ok(Self { shared })
    }

    /// A connection to the primary. Waits while all are in use, and, where there are several servers, while there is
    /// no primary.
    ///
    /// # Errors
    /// `Timeout` when no connection became free, saying who has them; `Unavailable` when there is no primary, saying
    /// what each server is; `Closed`; what opening a connection gives.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn write(&self) -> impl Future<Output = Result<PostgresConn>> + Send + use<> {
        let (this, place) = (self.clone(), Location::caller());
        async move { this.write_at(place).await }
    }

    /// A connection for statements that change nothing, to a server that is fresh enough.
    ///
    /// # Errors
    /// As [`write`](Self::write); `Precondition` for a token that this cluster's history does not hold.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn read(
        &self,
        consistency: Consistency,
    ) -> impl Future<Output = Result<PostgresConn>> + Send + use<> {
        let (this, place) = (self.clone(), Location::caller());
        async move { this.shared.reader(consistency, place).await }
    }

    /// A connection to a server with these properties, whatever its position is: the least loaded one.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn session(
        &self,
        target: TargetSession,
    ) -> impl Future<Output = Result<PostgresConn>> + Send + use<> {
        let (this, place) = (self.clone(), Location::caller());
        async move { this.shared.session(target, place).await }
    }

    /// Begins a transaction on the primary, of the database's default isolation.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Cancel-safe: it is rolled back.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<PostgresTransaction>> + Send + use<> {
        let (this, place) = (self.clone(), Location::caller());
        async move { this.write_at(place).await?.begin().await }
    }

    /// What is known of each server.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerStatus> {
        let now = self.shared.now();
        let state = self.shared.fleet.state.read();
        let status = |(node, view): (&Arc<Node>, &super::fleet::View)| ServerStatus {
            address: node.address.clone(),
            standing: view.standing,
            timeline: view.sight.map(|sight| sight.timeline),
            lsn: view.sight.map(|sight| sight.lsn),
            staleness: match (view.standing, view.sight) {
                (Standing::Primary, _) => Some(Duration::ZERO),
                (Standing::Standby, Some(sight)) => state.staleness(&sight, now),
                _ => None,
            },
            used: node.holders.count(),
            open: node.pool.status().size,
            error: view.error.clone(),
        };
        self.shared.nodes.iter().zip(&state.views).map(status).collect()
    }

    /// The cluster's system identifier.
    #[must_use]
    pub fn system_identifier(&self) -> Option<u64> {
        self.shared.fleet.state.read().identity
    }

    /// Statements that were slow, the oldest first; the last 128 are kept.
    #[must_use]
    pub fn slow_queries(&self) -> Vec<SlowQuery> {
        self.shared.recorder.slow_queries()
    }

    /// Figures of the statements by fingerprint, the most expensive first.
    #[must_use]
    pub fn statement_statistics(&self) -> Vec<StatementStatistics> {
        self.shared.recorder.statistics()
    }

    pub(super) async fn write_at(&self, place: &'static Location<'static>) -> Result<PostgresConn> {
        self.shared.writer(place).await
    }
}
