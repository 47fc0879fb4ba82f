//! What the cache knows about one key, and why.

use super::Space;
use crate::l1::{L1Key, Slot};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, Lookup};
use aeth_core::{ClockExt, Namespace, Result, Tag};
use std::fmt;
use std::time::Duration;

/// Whether an entry may be used, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryState {
    /// Fresh.
    Fresh,
    /// Past its `fresh_for`; usable while it is being replaced.
    Stale,
    /// Fresh by time, but messages from other nodes may have been lost since.
    StaleByGap,
    /// An old value that is served for want of a newer one, because its load failed.
    KeptAfterFailure,
    /// Past its `usable_for`.
    Expired,
    /// One of its tags was invalidated.
    TagInvalidated,
    /// The namespace was cleared.
    Cleared,
    /// Of another codec, schema or encoding than this cache's.
    Foreign,
    /// It is to be removed from the tier as soon as the tier answers.
    RemovalPending,
}

/// One copy of the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryReport {
    /// Whether it may be used.
    pub state: EntryState,
    /// How long ago the load that made it began.
    pub age: Duration,
    /// For how long it is still fresh.
    pub fresh_for: Duration,
    /// For how long it may still be used.
    pub usable_for: Duration,
    /// Its version; 0 is unversioned.
    pub version: u64,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// What it weighs in L1, or its encoded length in a tier; in bytes.
    pub size: u64,
    /// That it says that there is nothing.
    pub negative: bool,
}

/// What a lower tier has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TierReport {
    /// An entry.
    Entry(EntryReport),
    /// Nothing.
    Nothing,
    /// No answer, and why.
    Unavailable(aeth_core::Error),
}

/// What is known about a key: see [`Cache::explain`](crate::Cache::explain).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Explanation {
    /// The cache.
    pub namespace: Namespace,
    /// The key, printable.
    pub key: String,
    /// The decoded copy of this process.
    pub local: Option<EntryReport>,
    /// The copies of the lower tiers, each by the name of its tier, from the top.
    pub lower: Vec<(String, TierReport)>,
    /// The key's generation in this process: it moves with each change of the key (or of one that shares its
    /// stripe).
    pub generation: u32,
    /// It is being loaded in this process.
    pub loading: bool,
}

impl Space {
    pub(crate) async fn explain(&self, key: &L1Key) -> Result<Explanation> {
        self.check_open()?;
        let slot = self.shared.l1.get(&key.as_ref());
        let mut lower = Vec::new();
        let guards = self.shared.guards.iter().filter(|_| self.has_lower());
        for tier in guards {
            lower.push((tier.name().into_owned(), self.explain_tier(&**tier, key).await?));
        }
        Ok(Explanation {
            namespace: self.name.clone(),
            key: key.bytes().escape_ascii().to_string(),
            local: slot.map(|slot| self.report_slot(&slot)),
            lower,
            generation: self.shared.l1.generation(key.hash()).number(),
            loading: self.shared.flights.is_flying(key),
        })
    }

    fn report_slot(&self, slot: &Slot) -> EntryReport {
        let now = self.shared.coarse.exact_now();
        let epochs = self.epochs();
        let tags = slot.tagged.as_ref().map(|tagged| tagged.tags.to_vec()).unwrap_or_default();
        let state = if slot.epochs.clears() != epochs.clears() {
            EntryState::Cleared
        } else if !self.tags_hold(slot) {
            EntryState::TagInvalidated
        } else if now >= slot.usable_until {
            EntryState::Expired
        } else if slot.kept_stale {
            EntryState::KeptAfterFailure
        } else if now >= slot.fresh_until {
            EntryState::Stale
        } else if slot.epochs != epochs {
            EntryState::StaleByGap
        } else {
            EntryState::Fresh
        };
        EntryReport {
            state,
            age: left(slot.created, now),
            fresh_for: left(now, slot.fresh_until),
            usable_for: left(now, slot.usable_until),
            version: slot.version,
            tags,
            size: u64::from(slot.weight),
            negative: slot.value.is_none(),
        }
    }

    async fn explain_tier(&self, tier: &dyn CacheTier, key: &L1Key) -> Result<TierReport> {
        let tier_key = Self::tier_key(key.bytes())?;
        let looked = Box::pin(tier.get(&self.name, &tier_key));
        let looked = self.tier_call(self.settings.tier_timeout, looked).await;
        Ok(match looked {
            Ok(Lookup::Hit(entry)) => TierReport::Entry(self.report_entry(key, &entry)),
            Ok(Lookup::Unavailable(error)) | Err(error) => TierReport::Unavailable(error),
            Ok(_) => TierReport::Nothing,
        })
    }

    fn report_entry(&self, key: &L1Key, entry: &Entry) -> EntryReport {
        let now = self.shared.coarse.clock().unix_millis();
        let state = if self.shared.recovery.covers(&self.name, key.bytes(), &entry.tags) {
            EntryState::RemovalPending
        } else if self.of_wire(key.bytes(), entry).is_none() {
            EntryState::Foreign
        } else if !entry.is_usable(now) {
            EntryState::Expired
        } else if entry.is_fresh(now) {
            EntryState::Fresh
        } else {
            EntryState::Stale
        };
        EntryReport {
            state,
            age: left(entry.created, now),
            fresh_for: left(now, entry.fresh_until),
            usable_for: left(now, entry.usable_until),
            version: entry.version,
            tags: entry.tags.to_vec(),
            size: entry.value.len() as u64,
            negative: entry.flags.has(aeth_core::cache::EntryFlags::NEGATIVE),
        }
    }
}

fn left(from: u64, to: u64) -> Duration {
    Duration::from_millis(to.saturating_sub(from))
}

impl fmt::Display for EntryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, {:?} old, fresh for {:?}, usable for {:?}, version {}, {} bytes",
            self.state, self.age, self.fresh_for, self.usable_for, self.version, self.size
        )?;
        if self.negative {
            f.write_str(", says that there is nothing")?;
        }
        for tag in &self.tags {
            write!(f, ", tag {tag}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    /// A few lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} (generation {}", self.namespace, self.key, self.generation)?;
        f.write_str(if self.loading { ", loading)\n" } else { ")\n" })?;
        match &self.local {
            Some(report) => writeln!(f, "  here: {report}")?,
            None => writeln!(f, "  here: nothing")?,
        }
        self.lower.iter().try_for_each(|(name, report)| match report {
            TierReport::Entry(report) => writeln!(f, "  {name}: {report}"),
            TierReport::Nothing => writeln!(f, "  {name}: nothing"),
            TierReport::Unavailable(error) => writeln!(f, "  {name}: unavailable: {error}"),
        })
    }
}
