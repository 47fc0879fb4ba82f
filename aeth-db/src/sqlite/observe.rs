//! Metrics, health, end.

use super::connect::Role;
use super::handle::SqliteDatabase;
use crate::error::SqlxResultExt;
use aeth_core::observe::standard::{database, labels};
use aeth_core::observe::{Collector, Health, HealthCheck, MetricsSource};
use aeth_core::{Clock, ClockExt, Error, Lifecycle, Result};
use async_trait::async_trait;
use deadpool::managed::Object;
use sqlx::{Connection, Executor};
use std::borrow::Cow;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl MetricsSource for SqliteDatabase {
    fn component(&self) -> Cow<'_, str> {
        "database".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "gauges need no more than 53 bits")]
    fn collect(&self, out: &mut dyn Collector) {
        let shared = &*self.shared;
        let named = (labels::DATABASE, shared.options.name.as_str());
        shared.recorder.collect(&shared.options.name, out);
        let (mut used, mut open, mut most) = (0, 0, 0);
        for lane in [Some(&shared.writer), shared.readers.as_ref()].into_iter().flatten() {
            let status = lane.pool.status();
            used += lane.holders.count();
            open += status.size;
            most += status.max_size;
        }
        let connections = [(labels::USED, used), (labels::IDLE, open.saturating_sub(used))];
        for (state, count) in connections {
            out.gauge(&database::CONNECTIONS, &[named, (labels::STATE, state)], count as f64);
        }
        out.gauge(&database::CONNECTIONS_MAX, &[named], most as f64);
        if shared.options.path.is_some() {
            out.gauge(&database::SIZE, &[named], shared.size.load(Relaxed) as f64);
            out.gauge(&database::WAL_SIZE, &[named], shared.wal_size.load(Relaxed) as f64);
        }
    }
}

#[async_trait]
impl HealthCheck for SqliteDatabase {
    fn component(&self) -> Cow<'_, str> {
        "database".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "figures need no more than 53 bits")]
    async fn check(&self) -> Health {
        if let Err(error) = self.touch().await {
            return Health::from(&error);
        }
        let shared = &*self.shared;
        shared.sample().await;
        let (size, wal) = (shared.size.load(Relaxed), shared.wal_size.load(Relaxed));
        let health = if shared.damaged.load(Relaxed) {
            Health::down("an integrity check has found damage: restore from a backup")
        } else if wal > shared.options.wal_limit {
            Health::degraded(format!(
                "the write-ahead log has {wal} bytes: look for a reader that holds a transaction open"
            ))
        } else {
            Health::up()
        };
        health.with_observed("size", size as f64, "bytes").with_observed("wal_size", wal as f64, "bytes")
    }
}

impl SqliteDatabase {
    async fn touch(&self) -> Result<()> {
        let mut reader = self.read_at(Location::caller()).await?;
        // Something that the file itself must answer.
        sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut reader).await.storage()?;
        Ok(())
    }

    async fn finish(&self, deadline: Duration) -> Result<()> {
        let shared = &*self.shared;
        let clock = &shared.recorder.clock;
        let started = clock.monotonic();
        let left = || deadline.saturating_sub(clock.monotonic().saturating_sub(started));
        let lanes = [shared.readers.as_ref(), Some(&shared.writer)];
        for lane in lanes.into_iter().flatten() {
            if clock.timeout(left(), lane.holders.none()).await.is_err() {
                let holders = lane.holders.describe(clock.monotonic());
                return Err(Error::timeout(format!("connections are still in use: {holders}")));
            }
        }
        if let Some(readers) = &shared.readers {
            // The writer must be the last to close: the last one removes the log. The pool, when it is closed, only
            // drops what it has, and a dropped connection closes when its thread comes to it.
            for link in readers.pool.retain(|_, _| false).removed {
                drop(link.raw.close().await);
            }
            readers.pool.close();
        }
        if !shared.writer.pool.is_closed() {
            let last = clock.timeout(left(), Box::pin(self.last_writer())).await;
            shared.writer.pool.close();
            last.and_then(|closed| closed)?;
        }
        shared.tasks.close(left()).await
    }

    /// Empties the log into the file and closes the last connection: one file is left.
    async fn last_writer(&self) -> Result<()> {
        let got = self.shared.lane(Role::Writer).pool.get().await;
        let object = got.map_err(|error| Error::unavailable("the writer is gone").with_source(error))?;
        let mut link = Object::take(object);
        link.control.limit(None);
        if self.shared.options.path.is_some() {
            let end = "PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)";
            (&mut link.raw).execute(sqlx::raw_sql(end)).await.storage()?;
        }
        link.raw.close().await.storage()
    }
}

#[async_trait]
impl Lifecycle for SqliteDatabase {
    /// Refuses new loans, waits for those that are out, empties the write-ahead log into the file, closes all
    /// connections.
    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.closing.store(true, Relaxed);
        self.shared.tasks.cancel();
        Box::pin(self.finish(deadline))
            .await
            .map_err(|error| error.with_operation("close").with_component("database"))
    }
}

/// Reads the sizes for the metrics until the handle closes.
pub(super) async fn sample_forever(shared: std::sync::Weak<super::shared::Shared>, every: Duration) {
    loop {
        let Some(alive) = shared.upgrade() else { return };
        alive.sample().await;
        let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::clone(&alive.recorder.clock);
        drop(alive);
        clock.sleep(every).await;
    }
}
