//! What the server counts: sampled in the background, shown without asking.

mod bloat;
mod figures;
mod statements;

use super::handle::PostgresDatabase;
use super::node::AsyncAside;
use super::shared::Shared;
use aeth_core::{Clock, Error, Result};
pub(super) use bloat::{INDEX_BLOAT, TABLE_BLOAT};
pub use figures::{ReplicaLag, ServerStatistics};
use sqlx::PgConnection;
pub use statements::{ServerStatement, StatementTotals};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(10);
/// Sizes that every table must be looked at for are taken with each so many.
const RARELY: u32 = 30;

impl PostgresDatabase {
    /// What the primary counted when it was last asked, at most some ten seconds ago. `None` when it has not answered.
    #[must_use]
    pub fn server_statistics(&self) -> Option<Arc<ServerStatistics>> {
        self.shared.figures.read().as_ref().map(Arc::clone)
    }
}

/// Samples until the handle closes or goes away.
pub(super) async fn sample_forever(shared: Weak<Shared>) {
    let (mut round, mut wasted) = (0_u32, None);
    loop {
        let Some(alive) = shared.upgrade() else { return };
        if round.is_multiple_of(RARELY) {
            // A role that may not see it shows none; the other figures are shown all the same.
            wasted = aside(&alive, bloat::Ask).await.ok().or(wasted);
        }
        match sample(&alive).await {
            Ok(mut figures) => {
                (figures.table_bloat, figures.index_bloat) = wasted.unzip();
                *alive.figures.write() = Some(Arc::new(figures));
                round = round.wrapping_add(1);
            }
            // What is not known is left out, not shown as it was.
            Err(_) => *alive.figures.write() = None,
        }
        let clock: Arc<dyn Clock> = Arc::clone(&alive.recorder.clock);
        drop(alive);
        clock.sleep(INTERVAL).await;
    }
}

async fn sample(shared: &Shared) -> Result<ServerStatistics> {
    let mut figures = aside(shared, figures::Ask).await?;
    figures.statements = aside(shared, statements::AskTotals).await.ok().flatten();
    Ok(figures)
}

async fn aside<T: Send>(shared: &Shared, ask: impl AsyncAside<T>) -> Result<T> {
    let primary = shared.fleet.primary().and_then(|(index, _)| shared.nodes.get(index));
    let node = primary.ok_or_else(|| Error::unavailable("there is no primary"))?;
    node.aside(shared.options.connect_timeout, ask).await
}

/// A query on the session beside the pool.
async fn row(connection: &mut PgConnection, sql: &'static str) -> Result<sqlx::postgres::PgRow, sqlx::Error> {
    sqlx::raw_sql(sql).fetch_one(connection).await
}
