//! The bridge to object_store, in both directions.

mod convert;
mod error;
mod inward;
mod outward;

pub use inward::{Engine, ObjectStoreAdapter, ObjectStoreAdapterOptions};
pub use outward::AsObjectStore;
