//! The nouns that most programs use.

#[cfg(feature = "backup")]
pub use crate::backup::RestorePoint;
pub use crate::{Secret, Settings, Storage};
#[cfg(feature = "cache")]
pub use aeth_cache::{Cache, CacheOptions};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use aeth_db::{Database, Migrations, SqlxResultExt};
#[cfg(feature = "files")]
pub use aeth_files::Files;
