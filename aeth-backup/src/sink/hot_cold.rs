//! What is read often beside what is cheap to keep.

use crate::Id;
use aeth_core::backup::{BackupSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use aeth_core::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::OnceCell;

/// One sink out of two: a cold one, where keeping is cheap and reading slow or dear, and a hot one with what every
/// operation reads: configuration, keys, indexes, snapshots, and packs of trees. Backups, listings, `ls`, `find`,
/// `diff`, retention and the planning of a prune then read nothing from the cold one; restores and checks of data
/// do.
///
/// Everything that lasts is written to the cold sink first, which so is a whole repository by itself: the hot one
/// can be lost and [filled again](Self::refill). Locks and sidecars, which come and go, live on the hot one alone:
/// let nobody write to the cold one by another way meanwhile.
#[derive(Debug)]
pub struct HotCold {
    hot: Arc<dyn BackupSink>,
    cold: Arc<dyn BackupSink>,
    /// The packs that the hot sink has; asked for once.
    packs: OnceCell<Mutex<HashSet<ObjectId>>>,
}

impl HotCold {
    /// Puts the two together. Both may be empty; a hot one that is empty beside a cold one that is not must be
    /// [filled](Self::refill) to be of use.
    #[must_use]
    pub fn new(hot: Arc<dyn BackupSink>, cold: Arc<dyn BackupSink>) -> Self {
        Self { hot, cold, packs: OnceCell::new() }
    }

    /// Copies what the hot sink lacks of configuration, keys, indexes and snapshots from the cold one, and removes
    /// from it what the cold one no longer has; returns how many objects were copied. Packs of trees come back with
    /// the next runs, as far as these write them.
    ///
    /// # Errors
    /// Those of the sinks.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was copied stays, and the next call goes on.
    pub async fn refill(&self) -> Result<u64> {
        let mut copied = 0;
        for kind in [ObjectKind::Key, ObjectKind::Index, ObjectKind::Snapshot, ObjectKind::Config] {
            let cold = listed(&*self.cold, kind).await?;
            let hot = listed(&*self.hot, kind).await?;
            let stale: Vec<ObjectId> = hot
                .iter()
                .map(|(id, _)| id)
                .filter(|id| !cold.iter().any(|(other, _)| other == *id))
                .cloned()
                .collect();
            self.hot.remove(&stale).await?;
            for (id, _) in cold.iter().filter(|object| !hot.contains(object)) {
                self.hot.write(id, self.cold.read(id, None).await?).await?;
                copied += 1;
            }
        }
        Ok(copied)
    }

    async fn packs(&self) -> Result<&Mutex<HashSet<ObjectId>>> {
        let list = || async {
            let packs = listed(&*self.hot, ObjectKind::Pack).await?;
            Ok(Mutex::new(packs.into_iter().map(|(id, _)| id).collect()))
        };
        self.packs.get_or_try_init(list).await
    }

    /// Whether the hot sink may have it.
    async fn is_hot(&self, id: &ObjectId) -> bool {
        match id.kind() {
            // A hot sink that does not answer is no reason not to read.
            ObjectKind::Pack => self.packs().await.is_ok_and(|packs| packs.lock().contains(id)),
            _ => true,
        }
    }
}

/// Whether bytes are what the name says, where it does: a damaged hot copy must not hide a good cold one.
fn is_whole(id: &ObjectId, bytes: &Bytes) -> bool {
    id.hash().is_none_or(|hash| *Id::of(bytes).as_bytes() == hash)
}

async fn listed(sink: &dyn BackupSink, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>> {
    sink.list(kind).map_ok(|meta| (meta.id, meta.size)).try_collect().await
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupSink for HotCold {
    fn name(&self) -> Cow<'_, str> {
        format!("hot({}) cold({})", self.hot.name(), self.cold.name()).into()
    }

    fn capabilities(&self) -> SinkCapabilities {
        let (hot, cold) = (self.hot.capabilities(), self.cold.capabilities());
        let mut both = SinkCapabilities::new(hot.durable && cold.durable);
        // The cold half is the repository.
        both.object_lock = cold.object_lock;
        if hot.append_only || cold.append_only { both.append_only() } else { both }
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        if id.kind().is_transient() {
            return self.hot.write(id, sealed).await;
        }
        self.cold.write(id, sealed.clone()).await?;
        if id.kind() != ObjectKind::Pack {
            return self.hot.write(id, sealed).await;
        }
        if id.is_metadata() {
            self.hot.write(id, sealed).await?;
            self.packs().await?.lock().insert(id.clone());
        }
        Ok(())
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        if id.kind().is_transient() {
            return self.hot.read(id, range).await;
        }
        if self.is_hot(id).await
            && let Ok(bytes) = self.hot.read(id, range.clone()).await
            && (range.is_some() || is_whole(id, &bytes))
        {
            return Ok(bytes);
        }
        self.cold.read(id, range).await
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        if id.kind().is_transient() { self.hot.size(id).await } else { self.cold.size(id).await }
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        // The cold sink is what counts; listing it costs no more than listing any other.
        if kind.is_transient() { self.hot.list(kind) } else { self.cold.list(kind).boxed() }
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        if self.capabilities().append_only
            && let Some(id) = ids.iter().find(|id| !id.kind().is_transient())
        {
            return Err(Error::new(ErrorKind::Denied, "the sink is append-only")
                .with_operation("remove")
                .with_key(id)
                .with_remedy("prune with credentials that may delete, from a trusted host"));
        }
        // From the hot one first: what it has, the cold one must have.
        self.hot.remove(ids).await?;
        if let Some(packs) = self.packs.get() {
            let mut packs = packs.lock();
            packs.retain(|pack| !ids.contains(pack));
        }
        let lasting: Vec<ObjectId> = ids.iter().filter(|id| !id.kind().is_transient()).cloned().collect();
        self.cold.remove(&lasting).await
    }

    async fn keep_until(&self, ids: &[ObjectId], until: SystemTime) -> Result<()> {
        self.cold.keep_until(ids, until).await
    }
}
