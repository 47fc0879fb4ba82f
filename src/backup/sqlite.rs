//! A SQLite database as a source.

use crate::db::Database;
use aeth_backup::OnlineCopy;
use aeth_core::Result;
use std::path::Path;

/// A SQLite database that is copied by its online backup while it is used: for plans of the host's own. A
/// [`Storage`](crate::Storage) backs up its database by itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> aetherius::Result<()> {
/// use aetherius::backup::{CopySource, Plan, SqliteCopy};
/// use aetherius::db::{Database, SqliteOptions};
/// # let dir = tempfile::tempdir()?;
/// let orders = Database::open_sqlite(SqliteOptions::new(dir.path().join("orders.db"))).await?;
/// let copy = CopySource::new("/databases/orders.db", dir.path().join("scratch"), SqliteCopy::new(orders));
/// let plan = Plan::new().source(copy);
/// # let _ = plan;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteCopy(Database);

impl SqliteCopy {
    /// Copies this database. One of another engine fails when the run comes to it, with `Unsupported`.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }
}

#[async_trait::async_trait]
impl OnlineCopy for SqliteCopy {
    async fn copy_to(&self, path: &Path) -> Result<()> {
        self.0.sqlite()?.snapshot_to(path).await.map(drop)
    }
}
