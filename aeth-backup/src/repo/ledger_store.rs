//! The ledger's files.

use super::Sink;
use super::ledger::{Change, Ledger};
use super::open::Shared;
use crate::Id;
use crate::format::{NodeTime, open_unpacked, seal_unpacked};
use aeth_core::backup::{ObjectId, ObjectKind};
use aeth_core::{Error, Result};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

const PREFIX: &str = "ledger-";

/// Ledger files that were read. They never change: their names say what they hold.
#[derive(Debug, Default)]
pub(crate) struct LedgerCache(Mutex<HashMap<ObjectId, Arc<Ledger>>>);

/// The id in the name of a ledger's file; `None` for other sidecars.
fn id_of(name: &ObjectId) -> Option<Id> {
    name.name().strip_prefix(PREFIX)?.parse().ok()
}

fn damaged(name: &ObjectId) -> Error {
    Error::corrupt("the file beside the repository is not what its name says")
        .with_key(name)
        .with_remedy("remove it: less is known to be removed or verified then, and nothing is lost")
}

impl Shared {
    /// The ledgers of all live sinks, joined. What cannot be read is left out: it would only let less be kept.
    ///
    /// Append-only sinks have none and are not asked for one: who may only append must not be able to hide what
    /// was there before.
    pub(crate) async fn ledger(&self) -> Ledger {
        let mut joined = Ledger::default();
        for sink in self.removable() {
            match self.ledger_of(&sink).await {
                Ok(files) => files.iter().for_each(|(_, ledger)| joined.join(ledger)),
                Err(error) => tracing::warn!(sink = %sink.inner.name(), %error, "the ledger cannot be read"),
            }
        }
        joined
    }

    /// The live sinks in which files can be removed.
    pub(crate) fn removable(&self) -> Vec<Arc<Sink>> {
        let live = self.sinks.live();
        live.into_iter().filter(|sink| !sink.inner.capabilities().append_only).collect()
    }

    async fn ledger_of(&self, sink: &Sink) -> Result<Vec<(ObjectId, Arc<Ledger>)>> {
        let mut files = Vec::new();
        for name in sink.sidecars().await? {
            let Some(id) = id_of(&name) else { continue };
            let known = self.ledgers.0.lock().get(&name).map(Arc::clone);
            let ledger = match known {
                Some(ledger) => ledger,
                None => match self.read_ledger(sink, &name, id).await {
                    Ok(ledger) => Arc::new(ledger),
                    // Somebody has written a newer one since it was listed.
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => {
                        tracing::warn!(sink = %sink.inner.name(), %error, "a ledger is damaged and passed over");
                        continue;
                    }
                },
            };
            self.ledgers.0.lock().insert(name.clone(), Arc::clone(&ledger));
            files.push((name, ledger));
        }
        Ok(files)
    }

    async fn read_ledger(&self, sink: &Sink, name: &ObjectId, id: Id) -> Result<Ledger> {
        let sealed = sink.read(name, None).await?;
        if Id::of(&sealed) != id {
            return Err(damaged(name));
        }
        Ledger::parse(&open_unpacked(&self.key, &sealed)?).map_err(|error| error.with_key(name))
    }

    /// The files of ours in a sink that are damaged: those whose names end in the hash of what they hold.
    pub(crate) async fn damaged_ledgers(&self, sink: &Sink) -> Result<Vec<(ObjectId, Error)>> {
        let mut found = Vec::new();
        for name in sink.sidecars().await? {
            let Some((_, id)) = name.name().split_once('-') else { continue };
            let Ok(id) = id.parse::<Id>() else { continue };
            let whole = sink.read(&name, None).await.and_then(|sealed| {
                if Id::of(&sealed) == id { open_unpacked(&self.key, &sealed) } else { Err(damaged(&name)) }
            });
            match whole {
                Err(error) if !error.is_not_found() => found.push((name, error)),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Writes changes into the ledger of every live sink, and joins what was there in several files.
    pub(crate) async fn record(&self, changes: &[Change]) -> Result<()> {
        if changes.iter().all(|change| change.ids.is_empty()) {
            return Ok(());
        }
        self.write_ledger(changes).await
    }

    /// Tells every sink what the others know to be removed.
    pub(super) async fn spread_ledger(&self) -> Result<()> {
        let mut all = Vec::new();
        for sink in self.removable() {
            let mut own = Ledger::default();
            let files = self.ledger_of(&sink).await.unwrap_or_default();
            files.iter().for_each(|(_, ledger)| own.join(ledger));
            all.push(own);
        }
        if all.windows(2).any(|pair| pair.first() != pair.get(1)) {
            self.write_ledger(&[]).await
        } else {
            Ok(())
        }
    }

    /// Removes a damaged ledger and writes what the others know.
    pub(crate) async fn replace_ledger(&self, sink: &Sink, damaged: &ObjectId) -> Result<()> {
        sink.remove(std::slice::from_ref(damaged)).await?;
        self.write_ledger(&[]).await
    }

    async fn write_ledger(&self, changes: &[Change]) -> Result<()> {
        let sinks = self.removable();
        let mut joined = Ledger::default();
        let mut old = Vec::with_capacity(sinks.len());
        for sink in &sinks {
            let files = self.ledger_of(sink).await.unwrap_or_default();
            files.iter().for_each(|(_, ledger)| joined.join(ledger));
            old.push(files.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        }
        let now = NodeTime::from(self.clock.now());
        joined.change(now, changes);
        let sealed = seal_unpacked(&self.key, &joined.encode(now)?, self.config.compresses())?;
        let name = ObjectId::parse(ObjectKind::Sidecar, &format!("{PREFIX}{}", Id::of(&sealed)))?;
        for (sink, mut old) in sinks.iter().zip(old) {
            old.retain(|old| *old != name);
            if let Err(error) = sink.write(&name, &sealed).await {
                sink.fail(error);
                continue;
            }
            // What it says stands in the new one.
            if let Err(error) = sink.remove(&old).await {
                tracing::debug!(sink = %sink.inner.name(), %error, "an old ledger stays");
            }
            let mut known = self.ledgers.0.lock();
            old.iter().for_each(|name| drop(known.remove(name)));
        }
        self.sinks.check_quorum()
    }
}
