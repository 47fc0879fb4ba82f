//! A multi-level cache that is never stale by a race, and whose hit costs next to nothing.
//!
//! [`Caches`] holds what an application's caches share: one first level of *decoded* values under one byte
//! budget, and the lower tiers (memory, Redis, a database, a host's own) under it. [`Cache`] is the typed handle
//! on one namespace of it.
//!
//! | what | where |
//! |---|---|
//! | read-through with single-flight, detached or borrowing | [`Cache::get_or_load`], [`Cache::get_or_load_scoped`] |
//! | absence, tags, versions and times by item | [`Cache::find_or_load`], [`Item`] |
//! | batches | [`Cache::get_many`], [`Cache::get_or_load_many`] |
//! | fresh and usable times, stale-while-revalidate, early refresh, fail-safe | [`CacheOptions`] |
//! | a tier that is down or hangs costs its timeout only until its breaker opens | [`CachesBuilder::breaker`] |
//! | write-through, write-behind, write-around | [`WriteMode`], [`Caches::flush`] |
//! | compressed and sealed values in lower tiers (features `zstd`, `lz4`, `seal`) | [`CacheOptions`] |
//! | per call | [`Cache::with`], [`CallOptions`] |
//! | why a key is served or not | [`Cache::explain`] |
//! | bytes in memory or in any blob store as a tier; a stack of tiers as one | [`MemoryTier`], [`BlobTier`], [`Tiers`] |
//! | a warm start, snapshots | [`Warming`], [`Caches::warm_up`], [`Caches::snapshot`] |
//! | what happens, as a stream | [`Caches::events`] |
//! | metrics, health, shutdown | `MetricsSource`, `HealthCheck`, `Lifecycle` on [`Caches`] |
//!
//! # Coherence
//! After [`put`](Cache::put), [`remove`](Cache::remove), [`invalidate_tag`](Cache::invalidate_tag) or
//! [`clear`](Cache::clear) has returned `Ok`, this process never serves the older value. A loader that began
//! before never brings it back: not here (each key has a generation, captured when a load begins and compared
//! under a lock when it is published), and not in a tier with leases (the lease under which the load may fill it
//! is void). Tags compare with the state of when the load *began*, not of when it ended. Other processes
//! see the change in shared tiers at once; their decoded copies end within the delay of the
//! [backplane](CachesBuilder::backplane), or within [`local_fresh_for`](CacheOptions::local_fresh_for) while there
//! is none or it is down. A process that may have missed messages treats its copies as stale.
//!
//! A lower tier that does not answer is not a miss: reads say so or serve a stale value, loads go on without it,
//! and removals that could not reach it are kept (bounded) and sent when it answers again.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod behind;
mod blob;
mod cache;
mod caches;
mod codec;
mod coherence;
mod error;
mod events;
mod flight;
mod guard;
mod item;
mod key;
mod l1;
mod marks;
mod memory;
mod options;
mod recovery;
#[cfg(feature = "redis")]
pub mod redis;
mod space;
mod striped;
mod tiers;
mod time;
mod warm;
mod wire;

pub use behind::{WhenFull, WriteBehind, WriteMode};
pub use blob::BlobTier;
pub use cache::Cache;
pub use caches::{Caches, CachesBuilder, L1Engine};
pub use codec::{Codec, Json, Postcard, Raw};
pub use error::{BoxError, loader_error};
pub use events::{CacheEvent, CacheEvents, EventKey, EventKind};
pub use item::Item;
pub use key::CacheKey;
pub use memory::MemoryTier;
pub use options::{CacheOptions, CallOptions};
pub use space::{EntryReport, EntryState, Explanation, TierReport};
pub use tiers::Tiers;
pub use warm::{RestoreReport, WarmProgress, WarmReport, Warming, Warmup};
#[cfg(feature = "seal")]
pub use wire::CacheKeys;
#[cfg(any(feature = "zstd", feature = "lz4"))]
pub use wire::Compression;
