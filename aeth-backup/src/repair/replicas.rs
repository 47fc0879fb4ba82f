//! Damaged and missing files, from another sink that has them whole.

use super::options::RepairOptions;
use super::report::RepairReport;
use crate::Id;
use crate::error::cancelled;
use crate::repo::{Ledger, LockGuard, Repository, Shared, Sink, object};
use aeth_core::backup::{ObjectId, ObjectKind};
use aeth_core::{Error, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;

const KINDS: [ObjectKind; 4] = [ObjectKind::Key, ObjectKind::Pack, ObjectKind::Index, ObjectKind::Snapshot];

impl Repository {
    /// Reads every file in every sink and replaces what is damaged or missing in one by what another has whole. A
    /// sink that is out because its configuration is damaged is taken back in.
    ///
    /// Without a second sink nothing can be repaired this way; the report says what is damaged.
    ///
    /// # Errors
    /// `Busy` when the repository is locked exclusively; `Closed` when it was cancelled; the sinks' errors when fewer
    /// than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was repaired stays so.
    pub async fn repair_replicas(&self, options: RepairOptions) -> Result<RepairReport> {
        let shared = &self.shared;
        let _writing = shared.writer.lock().await;
        let mut report = RepairReport { dry_run: options.dry_run, ..RepairReport::default() };
        for sink in &shared.sinks.all {
            shared.repair_config(sink, &options, &mut report).await;
        }
        shared.revive().await;
        shared.sinks.check_quorum()?;
        let lock = LockGuard::acquire_within(shared, false, options.wait, &options.cancel).await?;
        let result = shared.repair_files(&options, &lock, &mut report).await;
        lock.release().await;
        result.map_err(|error| error.with_operation("repair"))?;
        shared.trees.clear();
        *shared.index.write() = None;
        report.sinks = shared.sinks.status();
        Ok(report)
    }
}

impl Shared {
    /// Writes the configuration again where it is damaged and the keys say that the place is ours.
    async fn repair_config(&self, sink: &Arc<Sink>, options: &RepairOptions, report: &mut RepairReport) {
        let name = ObjectId::config();
        let damaged = match sink.read(&name, None).await {
            Ok(bytes) => bytes != *self.config_bytes(),
            Err(error) => error.is_not_found(),
        };
        let Ok(keys) = sink.list(ObjectKind::Key).await else { return };
        let mut ours = false;
        let live = self.sinks.live();
        for (id, _) in keys {
            let key = object(ObjectKind::Key, id);
            let held = join_all(live.iter().map(|live| live.read(&key, None))).await;
            ours |= held.into_iter().flatten().any(|file| Id::of(&file) == id);
        }
        if !damaged || !ours {
            return;
        }
        if !options.dry_run {
            let bytes = self.config_bytes().clone();
            let written = match sink.remove(std::slice::from_ref(&name)).await {
                Ok(()) => sink.write(&name, &bytes).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                report.unrepaired.push(error.with_key(&name).with_component(sink.name()));
                return;
            }
        }
        report.copied.push(format!("{}: {name}", sink.name()));
    }

    async fn repair_files(
        self: &Arc<Self>,
        options: &RepairOptions,
        lock: &LockGuard,
        report: &mut RepairReport,
    ) -> Result<()> {
        for sink in self.removable() {
            for (name, error) in self.damaged_ledgers(&sink).await? {
                report.copied.push(format!("{}: {name}", sink.name()));
                if !options.dry_run
                    && let Err(error) = self.replace_ledger(&sink, &name).await
                {
                    report.unrepaired.push(error);
                }
                tracing::debug!(%error, "a damaged ledger is replaced");
            }
        }
        let ledger = self.ledger().await;
        for kind in KINDS {
            let live = self.sinks.live();
            let mut union: BTreeMap<Id, u64> = BTreeMap::new();
            let mut held = Vec::with_capacity(live.len());
            for sink in &live {
                let list: BTreeMap<Id, u64> = sink.list(kind).await?.into_iter().collect();
                for (id, size) in list.iter().filter(|(id, _)| !ledger.is_removed(kind, id)) {
                    let longest = union.entry(*id).or_insert(*size);
                    *longest = (*longest).max(*size);
                }
                held.push((Arc::clone(sink), list));
            }
            for id in union.into_keys() {
                if options.cancel.is_cancelled() {
                    return Err(cancelled());
                }
                lock.check()?;
                self.repair_file(kind, id, &held, &ledger, options, report).await;
                options.progress.file_done();
            }
        }
        self.sinks.check_quorum()
    }

    async fn repair_file(
        self: &Arc<Self>,
        kind: ObjectKind,
        id: Id,
        held: &[(Arc<Sink>, BTreeMap<Id, u64>)],
        ledger: &Ledger,
        options: &RepairOptions,
        report: &mut RepairReport,
    ) {
        let name = object(kind, id);
        let reads = kind != ObjectKind::Pack || options.read_packs;
        let (mut good, mut bad): (Option<Bytes>, Vec<&Arc<Sink>>) = (None, Vec::new());
        for (sink, list) in held {
            let there = list.contains_key(&id);
            if !there {
                bad.push(sink);
                continue;
            }
            if !reads && held.iter().all(|(_, other)| other.get(&id) == list.get(&id)) {
                continue;
            }
            match sink.read(&name, None).await {
                Ok(bytes) if Id::of(&bytes) == id => good = Some(bytes),
                Ok(_) => bad.push(sink),
                Err(error) if error.is_not_found() => bad.push(sink),
                Err(error) => report.unrepaired.push(error.with_component(sink.name())),
            }
        }
        if bad.is_empty() || ledger.is_removed(kind, &id) {
            return;
        }
        let Some(bytes) = good else {
            report.unrepaired.push(
                Error::corrupt("the file is not what its name says, and no other sink has it whole")
                    .with_key(&name)
                    .with_remedy(remedy(kind)),
            );
            return;
        };
        for sink in bad {
            if !options.dry_run {
                // A sink need not write what is there with the right length: the damaged copy has to go first.
                let written = match sink.remove(std::slice::from_ref(&name)).await {
                    Ok(()) => sink.write(&name, &bytes).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = written {
                    report.unrepaired.push(error.with_key(&name).with_component(sink.name()));
                    continue;
                }
            }
            report.copied.push(format!("{}: {name}", sink.name()));
        }
    }
}

fn remedy(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Pack => {
            "repair the packs: what is whole in it is saved; a backup run stores again what still exists"
        }
        ObjectKind::Index => "rebuild the index from the packs",
        ObjectKind::Snapshot => "forget the snapshot by its id; the others are not concerned",
        _ => "add a key again, and remove this one",
    }
}
