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
//! | what stays when there is no room: three engines | [`L1Engine`] |
//! | why a key is served or not | [`Cache::explain`] |
//! | bytes in memory or in any blob store as a tier; a stack of tiers as one | [`MemoryTier`], [`BlobTier`], [`Tiers`] |
//! | a warm start, snapshots | [`Warming`], [`Caches::warm_up`], [`Caches::snapshot`] |
//! | what happens, as a stream | [`Caches::events`] |
//! | metrics, health, shutdown | `MetricsSource`, `HealthCheck`, `Lifecycle` on [`Caches`] |
//!
//! # How a value finds its way
//! A hit is one look-up in the first level: a synchronous call that decodes, allocates and waits for nothing and reads
//! the time from a coarse clock. A miss asks the lower tiers in their order, all keys of a batch in one call, and
//! copies what it finds upwards. Only when no tier has a fresh value does a loader run, one for all who want the key:
//! in this process they wait for the same flight, and in a fleet the tier that all share hands out one *lease*; who
//! does not get it is told when the holder is done.
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
//!
//! `cargo xtask torture cache` holds this against tens of thousands of seeded schedules, and processes against a Redis
//! that is killed and frozen under them.
//!
//! # What is not promised
//! - *A copy in another process* may be as old as the backplane is slow. Who must read its own writes from any
//!   process sets `local_fresh_for` as short as it can bear, or reads the source.
//! - *A change of the source that nobody tells the cache* shows when the entry's time is over: change the source first,
//!   then the cache.
//! - *A shared tier that loses what it has acknowledged* (a Redis that fails over to a replica that lags, or restarts
//!   without persistence) may bring an older entry back, or forget a removal; `fresh_for` and `local_fresh_for` bound
//!   for how long.
//! - *Tiers without leases* are filled by comparing generations before and after: safe in this process, with a short
//!   moment in which another process may read the older value from them.
//! - *A change that returned an error* may or may not have reached the lower tiers. This process behaves as if it had.
//! - *No transactions*: keys of one batch change one after the other.
//! - Eviction is the engine's business: any entry may be gone at any time, and a value may be refused for its size.
//!
//! # When things go wrong
//! | what | what comes of it |
//! |---|---|
//! | a key that is empty or longer than 512 bytes | `Invalid`; [`peek`](Cache::peek) finds nothing. Any bytes are a key |
//! | foreign, cut or changed bytes in a lower tier | a miss, counted as damaged; the next load mends it |
//! | an entry of another codec or schema (two releases side by side) | a miss, left to those who write it; puts and removals are seen by both |
//! | a value larger than what the first level can hold | served, not kept, counted; the older value is gone |
//! | a loader that fails | the stale value if there is one and [`fail_safe`](CacheOptions::fail_safe) is on; else its error, for all who wait |
//! | a loader that panics | the same, with an `Other` that holds the message |
//! | a loader that hangs | dropped after [`hard_timeout`](CacheOptions::hard_timeout), then as one that fails with `Timeout` |
//! | a caller that is cancelled | the load goes on for the others; one that [borrows](Cache::get_or_load_scoped) is handed over |
//! | a tier that is down or hangs | stale values within [`tier_soft_timeout`](CacheOptions::tier_soft_timeout), at once when the breaker is open; loads go on; changes say `Unavailable` or `Timeout` and are made up for later |
//! | Redis says `-LOADING`, `-READONLY`, `-MOVED`, `-CLUSTERDOWN`, or breaks off | `Unavailable`, with the remedy; as a tier that is down |
//! | Redis says `-OOM` | `Full`: reads go on, what could not be put is removed |
//! | Redis says `-NOAUTH`, `-WRONGPASS`, `-NOPERM` | `Denied`, with the remedy; loads go on |
//! | Redis never answers | `Timeout` after its command timeout; as a tier that is down |
//! | more removals wait than can be kept | the namespace is cleared instead when the tier is back |
//! | the machine's clock steps | nothing here: times are monotonic. An entry of a lower tier never lives longer than it was given; a snapshot from the future is not restored |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod behind;
mod blob;
mod cache;
mod caches;
mod call;
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
pub use call::CallOptions;
pub use codec::{Codec, Json, Postcard, Raw};
pub use error::{BoxError, loader_error};
pub use events::{CacheEvent, CacheEvents, EventKey, EventKind};
pub use item::Item;
pub use key::CacheKey;
pub use memory::MemoryTier;
pub use options::CacheOptions;
pub use space::{EntryReport, EntryState, Explanation, TierReport};
pub use tiers::Tiers;
pub use warm::{RestoreReport, WarmProgress, WarmReport, Warming, Warmup};
#[cfg(feature = "seal")]
pub use wire::CacheKeys;
#[cfg(any(feature = "zstd", feature = "lz4"))]
pub use wire::Compression;
