//! What the pool keeps.

use super::connect::{Role, connect};
use super::control::Control;
use super::options::SqliteOptions;
use crate::observe::Prepared;
use crate::statement::Flags;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Executor};
use std::sync::Arc;

/// A connection with what is known of it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) raw: SqliteConnection,
    pub(super) control: Arc<Control>,
    pub(super) flags: Flags,
    /// Its prepared statements.
    pub(super) prepared: Prepared,
}

impl Link {
    /// Brings it back to a clean state: stops what runs, ends what is open.
    ///
    /// Cancel-safe in that it can be called again.
    pub(super) async fn settle(&mut self) -> Result<(), sqlx::Error> {
        if self.flags.is_clean() {
            return Ok(());
        }
        self.control.stop(true);
        // The connection's thread works in order: its answer means that nothing runs any more.
        let answered = self.raw.ping().await;
        self.control.stop(false);
        self.control.limit(None);
        answered?;
        if self.flags.transaction || self.flags.bare {
            // Fails when none is open, which is as good.
            drop((&mut self.raw).execute("ROLLBACK").await);
        }
        self.flags = Flags { broken: self.flags.broken, ..Flags::default() };
        Ok(())
    }
}

/// Makes connections for the pool.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) options: SqliteOptions,
    pub(super) role: Role,
}

impl Manager for Links {
    type Type = Link;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Link, sqlx::Error> {
        let (raw, control) = connect(&self.options, self.role).await?;
        let prepared = Prepared::new(self.options.statement_cache);
        Ok(Link { raw, control, flags: Flags::default(), prepared })
    }

    /// No ping: a connection that comes back dirty was settled before it got here.
    async fn recycle(&self, link: &mut Link, _: &Metrics) -> RecycleResult<sqlx::Error> {
        if link.flags.is_clean() { Ok(()) } else { Err(RecycleError::message("not clean")) }
    }
}
