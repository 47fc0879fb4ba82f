//! Every byte of every pack.

use super::options::CheckOptions;
use super::report::CheckReport;
use super::run::Packs;
use crate::crypto::Hasher;
use crate::error::cancelled;
use crate::format::{BlobEntry, IndexPack, parse_header};
use crate::repo::{Beside, Location, Opener, Shared, Sink, joined, object};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::sync::Arc;

/// As many as packs are checked at once; used again for the next ones.
type Openers = Mutex<Vec<Opener>>;

impl Shared {
    /// Reads every pack in every live sink. Its hash is compared everywhere; since the same hash means the same
    /// bytes, its header and its blobs are opened only once.
    pub(super) async fn check_data(
        self: &Arc<Self>,
        packs: &Packs,
        options: &CheckOptions,
        report: &mut CheckReport,
    ) -> Result<()> {
        let openers = Arc::new(Mutex::default());
        // Collected: a future that holds the closure could not be spawned.
        let jobs: Vec<_> = packs.values().map(|pack| self.check_pack(pack, &openers)).collect();
        let mut checks = stream::iter(jobs).buffer_unordered(self.options.threads.max(1));
        while let Some((findings, read)) = checks.next().await {
            if options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            report.read += read;
            options.progress.file_done();
            options.progress.stored(read);
            for (sink, error) in findings {
                report.error(sink, error);
            }
        }
        Ok(())
    }

    async fn check_pack(
        self: &Arc<Self>,
        pack: &IndexPack,
        openers: &Arc<Openers>,
    ) -> (Vec<(Option<String>, Error)>, u64) {
        let mut findings = Vec::new();
        let (mut read, mut opened) = (0, false);
        for sink in self.sinks.live() {
            match self.check_copy(&sink, pack, (!opened).then_some(openers)).await {
                Ok(bytes) => {
                    read += bytes;
                    opened = true;
                }
                // Its absence was reported already.
                Err(error) if error.is_not_found() => {}
                Err(error) => findings.push((Some(sink.name()), error)),
            }
        }
        (findings, read)
    }

    /// Without openers only the hash is compared.
    async fn check_copy(
        self: &Arc<Self>,
        sink: &Sink,
        pack: &IndexPack,
        openers: Option<&Arc<Openers>>,
    ) -> Result<u64> {
        let name = object(ObjectKind::Pack, pack.id);
        let bytes = sink.read(&name, None).await?;
        let length = u64::try_from(bytes.len()).unwrap_or(0);
        let (shared, pack, openers) = (Arc::clone(self), pack.clone(), openers.map(Arc::clone));
        let work = self.tasks.spawn_blocking(move || {
            let mut beside = Beside { hasher: Hasher::new(), rest: &bytes };
            let blobs = openers.map_or(Ok(()), |openers| {
                let mut opener = openers.lock().pop().unwrap_or_default();
                let checked = shared.check_blobs(&pack, &bytes, &mut opener, &mut beside);
                openers.lock().push(opener);
                checked
            });
            if beside.finish() == pack.id {
                return blobs;
            }
            Err(Error::corrupt("the pack is not what its name says")
                .with_remedy("copy it from another replica"))
        });
        joined(work.await).map_err(|error| error.with_key(name))?;
        Ok(length)
    }

    fn check_blobs(
        &self,
        pack: &IndexPack,
        bytes: &Bytes,
        opener: &mut Opener,
        beside: &mut Beside<'_>,
    ) -> Result<()> {
        let size = u64::try_from(bytes.len()).unwrap_or(0);
        let header = parse_header(&self.key, size, bytes)?
            .map_err(|_| Error::corrupt("the pack is shorter than its header"))?;
        let sorted = |blobs: &[BlobEntry]| {
            let mut blobs = blobs.to_vec();
            blobs.sort_by_key(|blob| (blob.offset, blob.id));
            blobs
        };
        if sorted(&header) != sorted(&pack.blobs) {
            return Err(
                Error::corrupt("the pack's header and the index differ").with_remedy("repair the index")
            );
        }
        for blob in &header {
            let from = usize::try_from(blob.offset).unwrap_or(usize::MAX);
            let to = from.saturating_add(usize::try_from(blob.length).unwrap_or(usize::MAX));
            let sealed =
                bytes.get(from..to).ok_or_else(|| Error::corrupt("a blob reaches beyond its pack"))?;
            let location = Location { pack: pack.id, entry: *blob };
            opener.unseal(&self.key, &location, sealed)?;
            opener.verify(&location, beside)?;
        }
        Ok(())
    }
}
