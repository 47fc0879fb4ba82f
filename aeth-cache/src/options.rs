//! What a cache is opened with.

use crate::behind::WriteMode;
use crate::codec::{Codec, ErasedCodec, Json, LocalCodec, Postcard, Raw, TypedCodec, WeighFn};
use crate::wire::Wire;
use aeth_core::{Error, Result};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The options that know no type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) fresh_for: Duration,
    pub(crate) usable_for: Option<Duration>,
    pub(crate) local_fresh_for: Option<Duration>,
    pub(crate) negative_for: Option<Duration>,
    pub(crate) jitter: f64,
    pub(crate) early_refresh: f64,
    pub(crate) fail_safe: bool,
    pub(crate) retry_after: Duration,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Duration,
    pub(crate) tier_timeout: Duration,
    pub(crate) tier_soft_timeout: Option<Duration>,
    pub(crate) lease_for: Duration,
    pub(crate) schema: u32,
    pub(crate) write: WriteMode,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fresh_for: Duration::from_secs(60),
            usable_for: None,
            local_fresh_for: None,
            negative_for: None,
            jitter: 0.0,
            early_refresh: 0.0,
            fail_safe: true,
            retry_after: Duration::from_secs(1),
            soft_timeout: None,
            hard_timeout: Duration::from_secs(30),
            tier_timeout: Duration::from_secs(2),
            tier_soft_timeout: None,
            lease_for: Duration::from_secs(10),
            schema: 0,
            write: WriteMode::Through,
        }
    }
}

type MakeCodec<V> = Arc<dyn Fn(Option<WeighFn<V>>) -> Arc<dyn ErasedCodec> + Send + Sync>;

/// How a [`Cache`](crate::Cache) keeps its values.
///
/// The two times that matter: an entry is *fresh* for [`fresh_for`](Self::fresh_for) and *usable* for
/// [`usable_for`](Self::usable_for). Between the two it is stale: a load replaces it, and it is served instead
/// when that load is slow ([`soft_timeout`](Self::soft_timeout)) or fails ([`fail_safe`](Self::fail_safe)).
///
/// ```
/// use aeth_cache::CacheOptions;
/// use std::time::Duration;
///
/// let options: CacheOptions<String> = CacheOptions::new()
///     .fresh_for(Duration::from_secs(30))
///     .usable_for(Duration::from_secs(3600))
///     .stale_while_revalidate();
/// ```
pub struct CacheOptions<V> {
    pub(crate) settings: Settings,
    pub(crate) wire: Wire,
    make_codec: MakeCodec<V>,
    weigh: Option<WeighFn<V>>,
}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> CacheOptions<V> {
    /// The defaults, with the [`Postcard`] codec.
    #[must_use]
    pub fn new() -> Self {
        Self::with_codec(Postcard)
    }

    /// The defaults, with the [`Json`] codec.
    #[must_use]
    pub fn json() -> Self {
        Self::with_codec(Json)
    }
}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> Default for CacheOptions<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl CacheOptions<Bytes> {
    /// The defaults for values that are bytes already.
    #[must_use]
    pub fn raw() -> Self {
        Self::with_codec(Raw)
    }
}

impl<V: Send + Sync + 'static> CacheOptions<V> {
    /// The defaults, with this codec.
    #[must_use]
    pub fn with_codec(codec: impl Codec<V>) -> Self {
        let codec = Arc::new(codec);
        Self::with(Arc::new(move |weigh| Arc::new(TypedCodec::new(Arc::clone(&codec), weigh))))
    }

    /// The defaults for values that have no bytes (connections, compiled templates): they stay in this process
    /// and never reach a lower tier. They are taken to weigh `size_of::<V>()`, so say
    /// [`weigh`](Self::weigh) for values with heap memory.
    #[must_use]
    pub fn local() -> Self {
        Self::with(Arc::new(|weigh| Arc::new(LocalCodec::new(weigh))))
    }

    fn with(make_codec: MakeCodec<V>) -> Self {
        Self { settings: Settings::default(), wire: Wire::default(), make_codec, weigh: None }
    }

    /// How long an entry is fresh. Default 1 minute.
    #[must_use]
    pub fn fresh_for(mut self, time: Duration) -> Self {
        self.settings.fresh_for = time;
        self
    }

    /// How long an entry may be used at all; at least [`fresh_for`](Self::fresh_for), which is the default.
    #[must_use]
    pub fn usable_for(mut self, time: Duration) -> Self {
        self.settings.usable_for = Some(time);
        self
    }

    /// The longest that this process trusts its decoded copy before it asks the lower tiers again: the bound on
    /// staleness while no backplane tells of the changes of other nodes. Default: no bound of its own. Without
    /// lower tiers it has no effect.
    #[must_use]
    pub fn local_fresh_for(mut self, time: Duration) -> Self {
        self.settings.local_fresh_for = Some(time);
        self
    }

    /// How long the absence of a value is cached. Default: not at all.
    #[must_use]
    pub fn negative_for(mut self, time: Duration) -> Self {
        self.settings.negative_for = Some(time);
        self
    }

    /// Spreads `fresh_for` at random by up to this part of it (0 to 0.5) in either direction, so that entries
    /// stored together do not expire together. Default 0.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.settings.jitter = part;
        self
    }

    /// Refreshes popular entries in the background before they expire, each at a random moment that is the
    /// earlier the longer its load took (Vattani et al., *Optimal Probabilistic Cache Stampede Prevention*,
    /// VLDB 2015). `beta` weighs it: 1 is the paper's optimum, 0, the default, is off; at most 100.
    #[must_use]
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.settings.early_refresh = beta;
        self
    }

    /// Whether a stale entry is served when its load fails. Default yes.
    #[must_use]
    pub fn fail_safe(mut self, yes: bool) -> Self {
        self.settings.fail_safe = yes;
        self
    }

    /// After a failed load, how long the stale entry is served without another attempt. Default 1 second.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.settings.retry_after = time;
        self
    }

    /// How long a caller waits for a load while there is a stale entry; then the stale one is served and the
    /// load goes on in the background. Default: as long as the load takes.
    #[must_use]
    pub fn soft_timeout(mut self, time: Duration) -> Self {
        self.settings.soft_timeout = Some(time);
        self
    }

    /// Serves a stale entry at once and loads in the background: a [`soft_timeout`](Self::soft_timeout) of 0.
    #[must_use]
    pub fn stale_while_revalidate(self) -> Self {
        self.soft_timeout(Duration::ZERO)
    }

    /// How long a loader may take; then it is dropped and the load fails with `Timeout`. Default 30 seconds.
    #[must_use]
    pub fn hard_timeout(mut self, time: Duration) -> Self {
        self.settings.hard_timeout = time;
        self
    }

    /// How long a call of a lower tier may take; then the tier counts as unavailable. Default 2 seconds.
    #[must_use]
    pub fn tier_timeout(mut self, time: Duration) -> Self {
        self.settings.tier_timeout = time;
        self
    }

    /// The same while there is a stale entry to serve. Default: as [`tier_timeout`](Self::tier_timeout).
    #[must_use]
    pub fn tier_soft_timeout(mut self, time: Duration) -> Self {
        self.settings.tier_soft_timeout = Some(time);
        self
    }

    /// How long the lease lasts under which a load may fill the lower tiers. A load that takes longer is
    /// answered but not stored there; a process that dies while it loads holds others up for so long. Default
    /// 10 seconds.
    #[must_use]
    pub fn lease_for(mut self, time: Duration) -> Self {
        self.settings.lease_for = time;
        self
    }

    /// The schema of the type in lower tiers: raise it when the type changes in a way that its codec does not
    /// notice. Entries of another schema are misses, and are left to the processes that still write them: while two
    /// releases run side by side, each loads for itself what the other has stored, a put replaces the other's entry,
    /// and a removal by either is seen by both. Default 0.
    #[must_use]
    pub fn schema(mut self, number: u32) -> Self {
        self.settings.schema = number;
        self
    }

    /// Which way a put takes; see [`WriteMode`]. Default: through.
    #[must_use]
    pub fn write(mut self, mode: WriteMode) -> Self {
        self.settings.write = mode;
        self
    }

    /// Compresses values on their way into the lower tiers. Processes that do and that do not read each other's
    /// entries, if they are built with the feature. Default: not.
    #[cfg(any(feature = "zstd", feature = "lz4"))]
    #[must_use]
    pub fn compress(mut self, compression: crate::Compression) -> Self {
        self.wire.compression = Some(compression);
        self
    }

    /// Seals values on their way into the lower tiers, bound to their namespace, key, schema, times and tags. From
    /// then on entries that are not sealed, or that no key opens, are misses; they are counted, and are left to the
    /// processes that write them. Default: not.
    #[cfg(feature = "seal")]
    #[must_use]
    pub fn seal(mut self, keys: &crate::CacheKeys) -> Self {
        self.wire.keys = Some(keys.clone());
        self
    }

    /// Says how many bytes of memory a value takes, instead of the codec's estimate.
    #[must_use]
    pub fn weigh(mut self, weigh: impl Fn(&V) -> usize + Send + Sync + 'static) -> Self {
        self.weigh = Some(Arc::new(weigh));
        self
    }

    pub(crate) fn codec(&self) -> Arc<dyn ErasedCodec> {
        (self.make_codec)(self.weigh.clone())
    }

    /// Checks the options, all at once.
    pub(crate) fn validate(&self) -> Result<()> {
        let settings = &self.settings;
        let mut wrong = Vec::new();
        if settings.fresh_for.is_zero() {
            wrong.push("fresh_for is zero".to_owned());
        }
        if settings.usable_for.is_some_and(|usable| usable < settings.fresh_for) {
            wrong.push("usable_for is shorter than fresh_for".to_owned());
        }
        if !(0.0..=0.5).contains(&settings.jitter) {
            wrong.push(format!("jitter is {}, outside of 0 to 0.5", settings.jitter));
        }
        if !(0.0..=100.0).contains(&settings.early_refresh) {
            wrong.push(format!("early_refresh is {}, outside of 0 to 100", settings.early_refresh));
        }
        for (name, time) in [
            ("hard_timeout", settings.hard_timeout),
            ("tier_timeout", settings.tier_timeout),
            ("lease_for", settings.lease_for),
        ] {
            if time.is_zero() {
                wrong.push(format!("{name} is zero"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong.join("; "))) }
    }
}

impl<V> Clone for CacheOptions<V> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings,
            wire: self.wire.clone(),
            make_codec: Arc::clone(&self.make_codec),
            weigh: self.weigh.as_ref().map(Arc::clone),
        }
    }
}

impl<V> fmt::Debug for CacheOptions<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}
