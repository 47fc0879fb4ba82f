//! A check from end to end.

use super::options::CheckOptions;
use super::report::{CheckFinding, CheckReport};
use super::rotation::Sample;
use crate::Id;
use crate::error::cancelled;
use crate::format::{IndexFile, IndexPack, Snapshot, open_unpacked, pack_overhead};
use crate::repo::{IdMap, Ledger, LockGuard, Repository, Shared, Sink, joined, object};
use aeth_core::backup::{ObjectId, ObjectKind};
use aeth_core::{Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Small files that are read at once.
const PARALLEL: usize = 4;

/// What the index files of all sinks say, one entry a pack.
pub(super) type Packs = IdMap<IndexPack>;

impl Repository {
    /// Checks the repository in each of its sinks.
    ///
    /// Damage does not end the check: all that is found stands in the report.
    ///
    /// # Errors
    /// `Busy` when the repository is locked exclusively; `Closed` when it was cancelled; the sinks' errors when
    /// none of them answers.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn check(&self, options: CheckOptions) -> Result<CheckReport> {
        let started = self.shared.clock.monotonic();
        self.shared.revive_unless_writing().await;
        let lock = LockGuard::for_reading(&self.shared).await?;
        // What was read before may hide what has been damaged since.
        self.shared.trees.clear();
        let result = self.shared.check(&options).await;
        lock.release().await;
        let mut report = result?;
        report.elapsed = self.shared.clock.monotonic().saturating_sub(started);
        Ok(report)
    }
}

impl Shared {
    async fn check(self: &Arc<Self>, options: &CheckOptions) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let ledger = self.ledger().await;
        let mut indexed = Packs::default();
        let mut roots: BTreeMap<Id, Snapshot> = BTreeMap::new();
        let mut held: Vec<(Arc<Sink>, BTreeSet<ObjectId>)> = Vec::new();
        for sink in &self.sinks.all {
            if let Some(error) = sink.status().error {
                report.error(Some(sink.name()), error);
                continue;
            }
            let names =
                self.check_sink(sink, &ledger, options, &mut report, &mut roots, &mut indexed).await?;
            held.push((Arc::clone(sink), names));
        }
        let union: BTreeSet<ObjectId> = held.iter().flat_map(|(_, names)| names.iter().cloned()).collect();
        for (sink, names) in &held {
            for lacks in union.difference(names) {
                // It may have been written, or forgotten everywhere, since the sinks were listed.
                let lacking = sink.inner.size(lacks).await.is_err_and(|error| error.is_not_found());
                if lacking && !self.was_forgotten(lacks).await {
                    let error = Error::corrupt("the sink lacks a file that another has").with_key(lacks);
                    report.error(Some(sink.name()), error.with_remedy("the next backup run copies it"));
                }
            }
            self.check_presence(sink, &ledger, &indexed, &mut report).await;
        }
        if self.sinks.live().is_empty() {
            self.sinks.check_quorum()?;
        }
        self.check_trees(&roots, &indexed, options, &mut report).await?;
        if options.sample != Sample::None {
            let turn = self.turn(options.sample, &indexed).await;
            let before = report.errors.len();
            let chosen = turn.packs.as_ref().unwrap_or(&indexed);
            report.packs_read = u64::try_from(chosen.len()).unwrap_or(0);
            self.check_data(chosen, options, &mut report).await?;
            if report.errors.len() == before {
                self.remember(turn).await?;
            }
        }
        Ok(report)
    }

    async fn was_forgotten(&self, name: &ObjectId) -> bool {
        match name.hash() {
            Some(hash) => self.ledger().await.is_removed(name.kind(), &Id::from_bytes(hash)),
            None => false,
        }
    }

    /// The small files of one sink; returns the names of its indexes and snapshots, damaged ones included.
    async fn check_sink(
        self: &Arc<Self>,
        sink: &Arc<Sink>,
        ledger: &Ledger,
        options: &CheckOptions,
        report: &mut CheckReport,
        roots: &mut BTreeMap<Id, Snapshot>,
        indexed: &mut Packs,
    ) -> Result<BTreeSet<ObjectId>> {
        let name = Some(sink.name());
        let mut names = BTreeSet::new();
        let config = sink.read(&ObjectId::config(), None).await;
        let config =
            config.and_then(|bytes| crate::format::Config::parse(&open_unpacked(&self.key, &bytes)?));
        match config {
            Ok(config) if config.id == self.config.id => {}
            Ok(_) => report.error(name.clone(), Error::corrupt("the config is that of another repository")),
            Err(error) => report.error(name.clone(), error.with_key("config")),
        }
        match self.damaged_ledgers(sink).await {
            Ok(damaged) => damaged.into_iter().for_each(|(_, error)| report.error(name.clone(), error)),
            Err(error) => report.error(name.clone(), error),
        }
        let keys =
            self.read_named(sink, ledger, ObjectKind::Key, options, report, &mut BTreeSet::new()).await?;
        if keys.is_empty() {
            report.error(name.clone(), Error::corrupt("there is no undamaged key"));
        }
        for (id, bytes) in
            self.read_named(sink, ledger, ObjectKind::Snapshot, options, report, &mut names).await?
        {
            match open_unpacked(&self.key, &bytes).and_then(|json| Snapshot::parse(&json)) {
                Ok(snapshot) => {
                    roots.insert(id, snapshot);
                }
                Err(error) => report.error(name.clone(), error.with_key(object(ObjectKind::Snapshot, id))),
            }
        }
        for (id, bytes) in
            self.read_named(sink, ledger, ObjectKind::Index, options, report, &mut names).await?
        {
            let shared = Arc::clone(self);
            let work =
                self.tasks.spawn_blocking(move || IndexFile::parse(&open_unpacked(&shared.key, &bytes)?));
            match joined(work.await) {
                Ok(file) => {
                    for pack in file.packs {
                        indexed.entry(pack.id).or_insert(pack);
                    }
                }
                Err(error) => report.error(name.clone(), error.with_key(object(ObjectKind::Index, id))),
            }
        }
        Ok(names)
    }

    /// Reads all files of a kind whose content is what their names say.
    async fn read_named(
        &self,
        sink: &Arc<Sink>,
        ledger: &Ledger,
        kind: ObjectKind,
        options: &CheckOptions,
        report: &mut CheckReport,
        names: &mut BTreeSet<ObjectId>,
    ) -> Result<Vec<(Id, Bytes)>> {
        let listed = match sink.list(kind).await {
            // What was removed elsewhere and is still here is nothing to rely on.
            Ok(mut listed) => {
                listed.retain(|(id, _)| !ledger.is_removed(kind, id));
                listed
            }
            Err(error) => {
                report.error(Some(sink.name()), error);
                return Ok(Vec::new());
            }
        };
        names.extend(listed.iter().map(|(id, _)| object(kind, *id)));
        let reads =
            listed.into_iter().map(|(id, _)| async move { (id, sink.read(&object(kind, id), None).await) });
        let mut reads = stream::iter(reads).buffer_unordered(PARALLEL);
        let mut good = Vec::new();
        while let Some((id, read)) = reads.next().await {
            if options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            match read {
                Ok(bytes) if Id::of(&bytes) == id => good.push((id, bytes)),
                Ok(_) => {
                    let error =
                        Error::corrupt("the file is not what its name says").with_key(object(kind, id));
                    report.error(Some(sink.name()), error.with_remedy("copy it from another replica"));
                }
                // Forgotten since it was listed: that needs no lock which would keep a check out.
                Err(error) if error.is_not_found() && kind == ObjectKind::Snapshot => {
                    names.remove(&object(kind, id));
                }
                Err(error) => report.error(Some(sink.name()), error),
            }
        }
        Ok(good)
    }

    async fn check_presence(
        &self,
        sink: &Arc<Sink>,
        ledger: &Ledger,
        packs: &Packs,
        report: &mut CheckReport,
    ) {
        let name = || Some(sink.name());
        let listed: BTreeMap<Id, u64> = match sink.list(ObjectKind::Pack).await {
            Ok(listed) => listed.into_iter().collect(),
            Err(error) => return report.error(name(), error),
        };
        for (id, pack) in packs {
            let key = object(ObjectKind::Pack, *id);
            match listed.get(id) {
                None => {
                    let error = Error::corrupt("a pack that the index names is missing").with_key(key);
                    report.error(
                        name(),
                        error.with_remedy("copy it from another replica, or repair the index"),
                    );
                }
                Some(size) if *size != pack_size(pack) => {
                    let expected = pack_size(pack);
                    let error = Error::corrupt(format!("the pack has {size} bytes instead of {expected}"));
                    report.error(name(), error.with_key(key).with_remedy("copy it from another replica"));
                }
                Some(_) => report.packs += 1,
            }
        }
        let removed = |id: &Id| ledger.is_removed(ObjectKind::Pack, id);
        for id in listed.keys().filter(|id| !packs.contains_key(*id) && !removed(id)) {
            let error =
                Error::other("no index names the pack; an interrupted run left it, and the next uses it")
                    .with_key(object(ObjectKind::Pack, *id));
            report.hints.push(CheckFinding { sink: name(), error });
        }
    }
}

/// The length that a pack with these blobs has.
pub(super) fn pack_size(pack: &IndexPack) -> u64 {
    let end =
        pack.blobs.iter().map(|blob| u64::from(blob.offset) + u64::from(blob.length)).max().unwrap_or(0);
    end + u64::try_from(pack_overhead(&pack.blobs)).unwrap_or(0)
}
