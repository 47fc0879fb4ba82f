//! One of the places that keep copies.

use super::version::Version;
use aeth_core::blob::{Attributes, BlobMeta, BlobStore, BlobStoreExt, Capability, ETag};
use aeth_core::{BlobPath, Clock, ClockExt, Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Attributes of this layer start so; the caller's may not.
pub(super) const RESERVED: &str = "aeth-mirror-";
pub(super) const VERSION: &str = "aeth-mirror-version";
/// Present when the blob was deleted.
pub(super) const DEAD: &str = "aeth-mirror-dead";
/// CRC-64/NVME of the bytes, when it was known before they were sent.
pub(super) const SUM: &str = "aeth-mirror-crc64nvme";

/// The first pause of a location that failed, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What a location has at a path.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) version: Version,
    pub(super) dead: bool,
    /// As the location gave it; `None` when there is nothing.
    pub(super) meta: Option<BlobMeta>,
}

impl Replica {
    pub(super) const MISSING: Self = Self { version: Version::LEAST, dead: true, meta: None };

    pub(super) fn of(meta: BlobMeta) -> Self {
        let user = meta.attributes.as_ref().map(|attributes| &attributes.user);
        let value = |name: &str| user.and_then(|user| user.get(name));
        Self {
            version: value(VERSION).and_then(|text| Version::parse(text)).unwrap_or_default(),
            dead: value(DEAD).is_some(),
            meta: Some(meta),
        }
    }

    /// Orders copies by age; something is newer than nothing.
    pub(super) fn rank(&self) -> (Version, bool) {
        (self.version, self.meta.is_some())
    }

    /// The mark that the mirror gives it.
    pub(super) fn etag(&self) -> ETag {
        let native = self.meta.as_ref().and_then(|meta| meta.etag.as_ref());
        match native {
            Some(native) if self.version == Version::LEAST => ETag::new(format!("{}.{native}", self.version)),
            _ => ETag::new(self.version.to_string()),
        }
    }

    /// The checksum of its bytes, when it has one.
    pub(super) fn sum(&self) -> Option<u64> {
        let attributes = self.meta.as_ref()?.attributes.as_ref()?;
        u64::from_str_radix(attributes.user.get(SUM)?, 16).ok()
    }

    /// What the caller sees of it.
    pub(super) fn shown(&self) -> Option<BlobMeta> {
        let mut meta = self.meta.clone()?;
        meta.etag = Some(self.etag());
        meta.version = None;
        if let Some(time) = self.version.time() {
            meta.modified = time;
        }
        if let Some(attributes) = &mut meta.attributes {
            strip(attributes);
        }
        Some(meta)
    }
}

/// Removes this layer's attributes.
pub(super) fn strip(attributes: &mut Attributes) {
    attributes.user.retain(|name, _| !name.starts_with(RESERVED));
}

/// Refuses attributes of the caller's that this layer uses.
pub(super) fn check_attributes(attributes: &Attributes) -> Result<()> {
    match attributes.user.keys().find(|name| name.starts_with(RESERVED)) {
        Some(name) => Err(Error::invalid(format!("the attribute `{name}` is reserved for mirroring"))
            .with_component("mirrored")
            .with_remedy("choose another name")),
        None => Ok(()),
    }
}

/// Whether an error is the location's answer, or says that it has none.
pub(super) fn is_outage(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::Precondition
            | ErrorKind::AlreadyExists
            | ErrorKind::Invalid
            | ErrorKind::Unsupported
            | ErrorKind::Corrupt
    )
}

#[derive(Debug, Default)]
struct Pulse {
    failures: u32,
    /// Until when it is left alone.
    until: Duration,
    /// Seconds that calls took, smoothed.
    latency: f64,
}

/// A place, and how it fares.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) name: String,
    pub(super) store: Arc<dyn BlobStore>,
    /// Whether a write can be tied to the state that it replaces.
    pub(super) swaps: bool,
    clock: Arc<dyn Clock>,
    limit: Duration,
    pulse: Mutex<Pulse>,
}

impl Location {
    pub(super) fn new(
        name: String,
        store: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        limit: Duration,
    ) -> Self {
        let caps = store.capabilities();
        let swaps = caps.has(Capability::CompareAndSwap) && caps.has(Capability::CreateOnly);
        Self { name, store, swaps, clock, limit, pulse: Mutex::default() }
    }

    /// True while it is left alone because it failed.
    pub(super) fn is_suspended(&self) -> bool {
        let pulse = self.pulse.lock();
        pulse.failures > 0 && self.clock.monotonic() < pulse.until
    }

    /// True since it failed until it answers again.
    pub(super) fn is_failing(&self) -> bool {
        self.pulse.lock().failures > 0
    }

    pub(super) fn latency(&self) -> f64 {
        self.pulse.lock().latency
    }

    /// Makes a call, within the limit and `extra`.
    pub(super) async fn call<T: Send>(
        &self,
        extra: Duration,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let began = self.clock.monotonic();
        let limit = self.limit.saturating_add(extra);
        let result = self.clock.timeout(limit, call).await.and_then(|result| result);
        self.record(self.clock.monotonic().saturating_sub(began), result.as_ref().err());
        result.map_err(|error| error.with_component(self.name.clone()))
    }

    fn record(&self, took: Duration, error: Option<&Error>) {
        let mut pulse = self.pulse.lock();
        if error.is_some_and(is_outage) {
            let pause = PAUSES.0.saturating_mul(1 << pulse.failures.min(6)).min(PAUSES.1);
            pulse.failures = pulse.failures.saturating_add(1);
            pulse.until = self.clock.monotonic().saturating_add(pause);
            return;
        }
        pulse.failures = 0;
        pulse.latency += (took.as_secs_f64() - pulse.latency) * 0.2;
    }

    /// What it has at a path.
    pub(super) async fn look(&self, path: &BlobPath) -> Result<Replica> {
        match self.call(Duration::ZERO, self.store.head(path)).await {
            Ok(meta) => Ok(Replica::of(meta)),
            Err(error) if error.is_not_found() => Ok(Replica::MISSING),
            Err(error) => Err(error),
        }
    }
}
