//! Pages in memory.

use super::{PageKey, Pages};
use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::fmt;

#[derive(Debug, Clone, Copy)]
struct Length;

impl Weighter<PageKey, Bytes> for Length {
    fn weight(&self, _key: &PageKey, page: &Bytes) -> u64 {
        (page.len() + size_of::<PageKey>()) as u64
    }
}

/// Pages in memory under a budget of bytes.
pub(in crate::cached) struct MemoryPages(Cache<PageKey, Bytes, Length>);

impl MemoryPages {
    pub(in crate::cached) fn new(budget: u64, page_size: u64) -> Self {
        let pages = usize::try_from(budget / page_size.max(1)).unwrap_or(usize::MAX).max(1);
        Self(Cache::with_weighter(pages, budget.max(1), Length))
    }
}

impl fmt::Debug for MemoryPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPages").field("budget", &self.0.capacity()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Pages for MemoryPages {
    async fn get_many(&self, keys: &[PageKey]) -> Vec<Option<Bytes>> {
        keys.iter().map(|key| self.0.get(key)).collect()
    }

    async fn put(&self, key: PageKey, kept: Bytes) {
        self.0.insert(key, kept);
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.weight())
    }
}
