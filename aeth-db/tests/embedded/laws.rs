//! The laws of metrics sources and health checks.
#![cfg(feature = "sqlite")]
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, missing_docs)]

use aeth_core::conformance::{health_check, metrics_source};
use aeth_db::{Database, SqliteOptions};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn the_handle_keeps_the_laws() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(dir.path().join("a.db"));
    let db = Arc::new(Database::open_sqlite(options).await.unwrap());
    metrics_source::run_all(db.clone()).await.into_result().unwrap();
    health_check::run_all(db).await.into_result().unwrap();
}
