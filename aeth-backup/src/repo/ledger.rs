//! What prune has marked and removed, kept in sidecars beside the repository, which standard tools ignore.
//!
//! Replicas are brought together by union: what one sink has and another lacks is copied. Without a memory of
//! what was removed on purpose, a sink that was away would bring it all back. The ledger is that memory. It maps
//! the names of files to a state and a time, and of two entries for a name the later one counts, so that ledgers
//! which were written apart can be joined in any order. Losing it is harmless: too much is kept, never too little.

use super::IdSet;
use crate::Id;
use crate::format::NodeTime;
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Entries are forgotten after this: a sink that was away for longer brings removed files back, until the next
/// prune.
const KEPT_FOR: Duration = Duration::from_secs(180 * 86_400);
const VERSION: u32 = 1;

/// What became of a file. Of two entries of one moment the greater counts: keeping is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Removed, or about to be. Never copied to another sink.
    Removed,
    /// Nothing refers to it, so it will be removed. Writers store its blobs again instead of relying on it.
    Marked,
    /// Neither of the two, any more.
    Live,
}

/// The kinds of files that the ledger knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Pack,
    Index,
    Snapshot,
    Key,
}

impl Kind {
    fn of(kind: ObjectKind) -> Option<Self> {
        match kind {
            ObjectKind::Pack => Some(Self::Pack),
            ObjectKind::Index => Some(Self::Index),
            ObjectKind::Snapshot => Some(Self::Snapshot),
            ObjectKind::Key => Some(Self::Key),
            _ => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct LedgerFile {
    version: u32,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    time: NodeTime,
    state: State,
    kind: Kind,
    ids: Vec<Id>,
}

/// A change of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) state: State,
    pub(crate) kind: ObjectKind,
    pub(crate) ids: Vec<Id>,
}

/// The joined ledger of all sinks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    entries: BTreeMap<(Kind, Id), (NodeTime, State)>,
}

impl Ledger {
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let file: LedgerFile = serde_json::from_slice(json).map_err(crate::error::json("ledger"))?;
        if file.version != VERSION {
            return Err(Error::unsupported(format!("the ledger has version {}", file.version))
                .with_remedy("upgrade to a version that reads it"));
        }
        let mut ledger = Self::default();
        for entry in file.entries {
            entry.ids.into_iter().for_each(|id| ledger.set(entry.kind, id, entry.time, entry.state));
        }
        Ok(ledger)
    }

    /// The file, without what is so old that it no longer counts.
    pub(crate) fn encode(&self, now: NodeTime) -> Result<Vec<u8>> {
        let horizon = i64::try_from(KEPT_FOR.as_secs()).unwrap_or(i64::MAX);
        let mut groups: BTreeMap<(NodeTime, State, Kind), Vec<Id>> = BTreeMap::new();
        for ((kind, id), (time, state)) in &self.entries {
            if now.seconds().saturating_sub(time.seconds()) <= horizon {
                groups.entry((*time, *state, *kind)).or_default().push(*id);
            }
        }
        let entries = groups.into_iter().map(|((time, state, kind), ids)| Entry { time, state, kind, ids });
        let file = LedgerFile { version: VERSION, entries: entries.collect() };
        serde_json::to_vec(&file).map_err(crate::error::json("ledger"))
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for ((kind, id), (time, state)) in &other.entries {
            self.set(*kind, *id, *time, *state);
        }
    }

    fn set(&mut self, kind: Kind, id: Id, time: NodeTime, state: State) {
        let entry = self.entries.entry((kind, id)).or_insert((time, state));
        *entry = (*entry).max((time, state));
    }

    /// Makes a change that counts over everything in the ledger, even when clocks differ.
    pub(crate) fn change(&mut self, now: NodeTime, changes: &[Change]) {
        let latest = self.entries.values().map(|(time, _)| *time).max();
        let time = match latest {
            Some(latest) if latest >= now => NodeTime::new(latest.seconds() + 1, 0),
            _ => now,
        };
        for change in changes {
            if let Some(kind) = Kind::of(change.kind) {
                change.ids.iter().for_each(|id| self.set(kind, *id, time, change.state));
            }
        }
    }

    fn state(&self, kind: ObjectKind, id: &Id) -> State {
        let entry = Kind::of(kind).and_then(|kind| self.entries.get(&(kind, *id)));
        entry.map_or(State::Live, |(_, state)| *state)
    }

    pub(crate) fn is_removed(&self, kind: ObjectKind, id: &Id) -> bool {
        self.state(kind, id) == State::Removed
    }

    /// Whether writers may rely on a pack.
    pub(crate) fn is_weak(&self, pack: &Id) -> bool {
        self.state(ObjectKind::Pack, pack) != State::Live
    }

    /// The packs that were marked at `until` or before.
    pub(crate) fn marked(&self, until: NodeTime) -> IdSet {
        let marked = self.entries.iter().filter(|((kind, _), (time, state))| {
            *kind == Kind::Pack && *state == State::Marked && *time <= until
        });
        marked.map(|((_, id), _)| *id).collect()
    }

    pub(crate) fn has_removed_packs(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|((kind, _), (_, state))| *kind == Kind::Pack && *state == State::Removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(state: State, ids: &[&[u8]]) -> Change {
        Change { state, kind: ObjectKind::Pack, ids: ids.iter().map(|id| Id::of(id)).collect() }
    }

    #[test]
    fn ledgers_join_in_any_order() {
        let now = NodeTime::new(1000, 0);
        let mut first = Ledger::default();
        first.change(now, &[change(State::Marked, &[b"a", b"b"])]);
        let mut second = first.clone();
        // A clock that is behind does not undo what was known before.
        second.change(NodeTime::new(5, 0), &[change(State::Removed, &[b"a"])]);
        first.change(NodeTime::new(1005, 0), &[change(State::Live, &[b"b"])]);
        let (mut one, mut other) = (first.clone(), second.clone());
        one.join(&second);
        other.join(&first);
        assert_eq!(one, other);
        assert!(one.is_removed(ObjectKind::Pack, &Id::of(b"a")) && !one.is_weak(&Id::of(b"b")));
        assert!(!one.is_removed(ObjectKind::Snapshot, &Id::of(b"a")));
        assert_eq!(Ledger::parse(&one.encode(now).unwrap()).unwrap(), one);
        let later = NodeTime::new(1000 + 181 * 86_400, 0);
        assert_eq!(Ledger::parse(&one.encode(later).unwrap()).unwrap(), Ledger::default());
        assert!(Ledger::parse(br#"{"version":2,"entries":[]}"#).is_err());
    }

    #[test]
    fn marks_have_an_age() {
        let mut ledger = Ledger::default();
        ledger.change(NodeTime::new(1000, 0), &[change(State::Marked, &[b"a"])]);
        ledger.change(NodeTime::new(2000, 0), &[change(State::Marked, &[b"b"])]);
        assert_eq!(ledger.marked(NodeTime::new(1500, 0)).into_iter().collect::<Vec<_>>(), [Id::of(b"a")]);
        assert_eq!(ledger.marked(NodeTime::new(2000, 0)).len(), 2);
    }
}
