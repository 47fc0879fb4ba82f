//! Redis: the shared tier, the backplane, the leader lock, and what the server says of itself.
//!
//! One [`Redis`] is one connection for commands, shared by everything that is made from it; each subscription
//! has a connection of its own. Nothing is connected before the first call, and a connection that is lost comes
//! back by itself. Redis 6.2 or later (sorted-set scores in batches, RESP3).
//!
//! # How entries stay coherent
//! - **Leases.** A value and its lease are two keys of one slot. A look-up that misses takes the lease by a
//!   script (or learns that another holds it); a fill stores only while the lease is the one it was given; put
//!   and remove delete the lease together with what they do. So a loader that began before a put or remove
//!   never stores anything after it, and the lease is the single-flight of the fleet.
//!   Whoever finds the lease held is told by the server when it ends, over a connection of its own
//!   ([`TierCapability::LeaseEvents`](aeth_core::cache::TierCapability::LeaseEvents)).
//! - **Tags and clear.** Every entry stores the moment in its namespace's life at which its load or put *began*,
//!   and every look-up compares it with the moment *now*, which the server tells in the same round trip, or has told
//!   before and not taken back since ([`track`](RedisOptions::track)). A lease's token holds its moment. Clear is one
//!   deleted key; a tag is one number in a sorted set; neither looks at an entry. After others have invalidated tags,
//!   the next look-up of this process takes one round trip more.
//!
//! # What is not promised
//! A server that forgets what it has acknowledged (a failover to a replica that lags, a crash without
//! persistence) may bring an older entry back; a freshness cap bounds it. A server that loses keys (eviction,
//! a flush) causes misses only.
//!
//! ```no_run
//! # async fn example() -> aeth_core::Result<()> {
//! use aeth_cache::redis::{Redis, RedisOptions};
//! use aeth_core::SystemClock;
//! use aeth_core::cache::{CacheTierExt, Entry};
//! use aeth_core::{Key, Namespace};
//!
//! let redis = Redis::open(RedisOptions::new("redis://127.0.0.1:6379"), SystemClock::shared())?;
//! let tier = redis.tier();
//! let users = Namespace::new("users")?;
//! tier.put(&users, Key::new("42")?, Entry::new("Ada", 0, u64::MAX)).await?;
//! # Ok(())
//! # }
//! ```

mod advisor;
mod answer;
mod backplane;
mod dial;
mod error;
mod frame;
mod gather;
mod handle;
mod health;
mod heard;
mod info;
mod leader;
mod link;
mod lookup;
mod monitor;
mod names;
mod options;
mod script;
mod singles;
mod state;
mod stats;
mod straight;
mod subscriber;
mod tier;
mod tls;
mod watch;
mod write;

pub use advisor::{Advice, Severity};
pub use backplane::RedisBackplane;
pub use handle::Redis;
pub use leader::RedisLeaderLock;
pub use monitor::RedisMonitor;
pub use options::{RedisOptions, Topology};
pub use tier::RedisTier;
pub use tls::RedisTls;
