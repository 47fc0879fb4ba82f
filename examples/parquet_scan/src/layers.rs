//! The composed store and its counters.

use crate::BoxError;
use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource};
use aeth_core::seal::{Keyset, SegmentMap, SegmentSize};
use aeth_files::object_store::ObjectStore;
use aeth_files::{AsObjectStore, Cached, Encrypted, LocalDir, Metered, Mirrored};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Encrypted over cached over mirrored over three directories, and as parquet sees it.
pub(crate) struct Layers {
    pub(crate) outward: Arc<dyn ObjectStore>,
    pub(crate) locations: Vec<Metered>,
    encrypted: Encrypted,
    cached: Cached,
    size: SegmentSize,
}

impl Layers {
    pub(crate) async fn open(dir: &Path) -> Result<Self, BoxError> {
        let mut mirror = Mirrored::builder();
        let mut locations = Vec::new();
        for name in ["here", "there", "elsewhere"] {
            let location = Metered::new(LocalDir::open(dir.join(name)).await?);
            mirror = mirror.location(name, location.clone());
            locations.push(location);
        }
        let size = SegmentSize::default();
        // The disk below sees sealed bytes only, and so does the cache: one page of it is one segment.
        let cached = Cached::builder(mirror.open().await?)
            .page_size(size.get())
            .revalidate_after(Duration::MAX)
            .memory(256 << 20)
            .open()
            .await?;
        let encrypted = Encrypted::new(cached.clone(), Keyset::generate(size)?);
        let outward = Arc::new(AsObjectStore::new(Arc::new(encrypted.clone())));
        Ok(Self { outward, locations, encrypted, cached, size })
    }

    /// How many segments an object of this length has.
    pub(crate) fn segments(&self, length: u64) -> Result<u32, BoxError> {
        Ok(self.map(length)?.segment_count())
    }

    pub(crate) fn map(&self, length: u64) -> Result<SegmentMap, BoxError> {
        Ok(SegmentMap::of_plaintext(self.size, length)?)
    }

    /// What the layers have counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let cached = self.cached.statistics();
        let mut read = Downloaded(0);
        self.locations.iter().for_each(|location| location.collect(&mut read));
        Counts {
            opened: self.encrypted.statistics().opened_segments,
            hits: cached.hits,
            misses: cached.misses,
            requests: cached.requests,
            fetched: cached.fetched_bytes,
            read: read.0,
        }
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    /// Segments that the encrypted layer opened.
    pub(crate) opened: u64,
    /// Pages that the cache had, and those that it had not.
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Requests of the cache to the mirror, and bytes that these gave.
    pub(crate) requests: u64,
    pub(crate) fetched: u64,
    /// Bytes that the locations gave.
    pub(crate) read: u64,
}

impl Counts {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            opened: self.opened - earlier.opened,
            hits: self.hits - earlier.hits,
            misses: self.misses - earlier.misses,
            requests: self.requests - earlier.requests,
            fetched: self.fetched - earlier.fetched,
            read: self.read - earlier.read,
        }
    }
}

/// Takes one counter out of a source's metrics.
struct Downloaded(u64);

impl Collector for Downloaded {
    fn counter(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: u64) {
        if descriptor.name == "aeth_files_downloaded_bytes" {
            self.0 += value;
        }
    }

    fn gauge(&mut self, _: &Descriptor, _: &[Label<'_>], _: f64) {}

    fn histogram(&mut self, _: &Descriptor, _: &[Label<'_>], _: &HistogramSnapshot) {}
}
