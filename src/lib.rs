#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(
        feature = "cache",
        feature = "files",
        feature = "backup",
        feature = "metrics",
        feature = "sqlite"
    )),
    allow(
        dead_code,
        unused_imports,
        unused_mut,
        unused_variables,
        clippy::unused_async,
        reason = "a selection of parts leaves the helpers of the others idle; all of them together are linted"
    )
)]

#[cfg(feature = "backup")]
#[cfg_attr(docsrs, doc(cfg(feature = "backup")))]
pub mod backup;
mod data_dir;
#[cfg(any(feature = "files", feature = "backup"))]
#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure", feature = "opendal-0-59")),
    allow(dead_code, unused_variables, reason = "what only some services need is idle without them")
)]
mod location;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
pub mod prelude;
mod settings;
mod storage;

pub use aeth_core::{
    BlobPath, Body, ByteStream, Clock, Error, ErrorKind, InvalidName, Key, Lifecycle, Namespace, Result,
    Retry, Secret, SystemClock, Tag, Tasks,
};
pub use settings::{
    Address, BackupSettings, CacheSettings, Compression, DatabaseSettings, Durability, Encryption,
    FilesSettings, HealthSettings, KeepSettings, LocationSettings, PageCacheSettings, PoolerKind, Problem,
    Problems, RedisMode, RedisSettings, SecretSource, Settings, Size, Span, TierKind, Via,
};
pub use storage::{Storage, StorageBuilder};

/// The caches.
#[cfg(feature = "cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
pub use aeth_cache as cache;
/// The contracts, for whoever writes a tier, a store, a sink or a metrics source.
pub use aeth_core as core;
/// The database.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "sqlite", feature = "postgres"))))]
pub use aeth_db as db;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "sqlite", feature = "postgres"))))]
pub use aeth_db::{Database, Migrations, SqlxResultExt, sqlx};
/// The files.
#[cfg(feature = "files")]
#[cfg_attr(docsrs, doc(cfg(feature = "files")))]
pub use aeth_files as files;
/// The bytes that bodies are made of.
pub use bytes;
