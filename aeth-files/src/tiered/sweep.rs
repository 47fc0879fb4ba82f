//! Removing what nobody refers to.

use super::stub::STUB_LEN;
use super::{Core, Tiered, hidden};
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, Result};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How many stubs are looked at at the same time.
const HEADS: usize = 16;

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Swept {
    /// Stubs that there are.
    pub stubs: u64,
    /// Places that were removed, since no stub refers to them.
    pub removed: u64,
    /// Their length in bytes.
    pub removed_bytes: u64,
    /// Stubs that got a place of their own, which a copy or rename that was broken off had not given them.
    pub mended: u64,
    /// Stubs whose bytes are missing in their tier. Reads of these blobs fail with `Corrupt`.
    pub missing: u64,
}

impl Tiered {
    /// Removes from the other tiers what no stub refers to and is older than `grace`: the bytes of blobs that were
    /// overwritten while they were away, and of moves that were broken off. `grace` must be longer than the longest move
    /// takes; a day is usual. Only places that a layer over this first tier named are looked at, so that several
    /// layers may share a store.
    ///
    /// # Errors
    /// Those of the tiers.
    ///
    /// # Cancel safety
    /// Cancel-safe; calling it again completes it.
    pub async fn sweep(&self, grace: Duration) -> Result<Swept> {
        let core = &self.0;
        let mut sweep = Sweep { core, alive: HashSet::new(), grace, swept: Swept::default() };
        sweep.mark().await?;
        for (name, tier) in &core.tiers {
            sweep.clear(name, tier).await?;
        }
        // Of what was marked, all that the tiers have was taken out again.
        for (tier, place) in sweep.alive.iter().filter_map(|referred| referred.split_once('\0')) {
            let place = BlobPath::new(place)?;
            // It may have been written over or moved since.
            let path = core.blob_of(&place);
            let still = match &path {
                Some(path) => core.refers(path, tier, &place).await?,
                None => false,
            };
            if still && !core.tier(tier)?.exists(&place).await? {
                tracing::warn!(path = %place, tier, "the bytes of a blob are missing in its tier");
                sweep.swept.missing += 1;
            }
        }
        Ok(sweep.swept)
    }
}

struct Sweep<'a> {
    core: &'a Arc<Core>,
    /// What stubs refer to: tier, NUL, place.
    alive: HashSet<String>,
    grace: Duration,
    swept: Swept,
}

impl Sweep<'_> {
    async fn mark(&mut self) -> Result<()> {
        let core = self.core;
        let listed = core.hot.list(None);
        let mut stubs = listed
            .try_filter(|meta| std::future::ready(meta.size == STUB_LEN && !hidden(meta.path.as_str())))
            .map(|meta| async move { core.seen(meta?).await })
            .buffered(HEADS);
        while let Some(seen) = stubs.try_next().await? {
            let Some((listed, Some(stub))) = seen else { continue };
            self.swept.stubs += 1;
            self.alive.insert(format!("{}\0{}", stub.tier, stub.place));
            if core.blob_of(&stub.place).as_ref() == Some(&listed.path) {
                continue;
            }
            // The attributes are not in a listing.
            let (meta, Some(stub)) = core.look(&listed.path).await? else { continue };
            if let Some(home) = core.rehome(&meta, &stub).await? {
                tracing::debug!(size = home.size, "a stub was given a place of its own");
                self.swept.mended += 1;
            }
        }
        Ok(())
    }

    async fn clear(&mut self, name: &str, tier: &Arc<dyn BlobStore>) -> Result<()> {
        let now = self.core.clock.now();
        let mut places = tier.list(None);
        while let Some(place) = places.try_next().await? {
            let Some(path) = self.core.blob_of(&place.path) else { continue };
            if self.alive.remove(&format!("{name}\0{}", place.path)) {
                continue;
            }
            let young = now.duration_since(place.modified).unwrap_or_default() < self.grace;
            if young || self.core.refers(&path, name, &place.path).await? {
                continue;
            }
            tier.delete(&place.path).await?;
            self.swept.removed += 1;
            self.swept.removed_bytes += place.size;
        }
        Ok(())
    }
}

impl Core {
    /// Whether a blob is a stub that refers to a place, at this moment.
    async fn refers(&self, path: &BlobPath, tier: &str, place: &BlobPath) -> Result<bool> {
        match self.look(path).await {
            Ok((_, stub)) => Ok(stub.is_some_and(|stub| stub.tier == tier && stub.place == *place)),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
