//! The bridge to object_store, in both directions.

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "http"))]
mod cloud;
mod convert;
mod error;
mod inward;
mod outward;

#[cfg(feature = "azure")]
pub use cloud::AzureOptions;
#[cfg(feature = "gcs")]
pub use cloud::GcsOptions;
#[cfg(feature = "http")]
pub use cloud::HttpOptions;
#[cfg(feature = "s3")]
pub use cloud::{ObjectLockMode, S3ObjectLock, S3Options};
pub use inward::{Engine, ObjectStoreAdapter, ObjectStoreAdapterOptions};
pub use outward::AsObjectStore;
