//! Which packs a sampled check reads: a share each time, so that all of them are read within a number of days.
//!
//! Packs fall into as many shares as there are days, by their names. A sidecar remembers when each was read. A check
//! reads the shares that were not read for the longest time: one for each day since the last check, and those that
//! are overdue.

use super::run::Packs;
use crate::Id;
use crate::format::{NodeTime, open_unpacked, seal_unpacked};
use crate::repo::{Repository, Shared};
use aeth_core::Result;
use aeth_core::backup::{ObjectId, ObjectKind};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

const PREFIX: &str = "verified-";
const DAY: i64 = 86_400;

/// How much of the packs is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sample {
    #[default]
    None,
    All,
    /// The share of this number, counted from 0, of so many.
    Part(u32, u32),
    /// So much that all is read in so many days.
    Rotate(u32),
}

/// When each share was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rotation {
    times: Vec<Option<NodeTime>>,
}

impl Rotation {
    /// The same knowledge for another number of shares: of each, what is known of the whole.
    fn resized(self, shares: u32) -> Self {
        if u32::try_from(self.times.len()) == Ok(shares) {
            return self;
        }
        let whole = self.oldest();
        Self { times: (0..shares).map(|_| whole).collect() }
    }

    /// Since when everything has been read; `None` when something never was.
    fn oldest(&self) -> Option<NodeTime> {
        self.times.iter().copied().min().flatten()
    }

    /// The shares whose turn it is.
    fn due(&self, now: NodeTime) -> Vec<usize> {
        let days = i64::try_from(self.times.len()).unwrap_or(i64::MAX);
        let newest = self.times.iter().copied().max().flatten();
        let since = |time: NodeTime| now.seconds().saturating_sub(time.seconds());
        // To the nearest day: a daily check that runs a little late has not missed one.
        let elapsed = newest.map_or(1, |time| (since(time) + DAY / 2) / DAY).clamp(1, days.max(1));
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|share| (self.times.get(*share).copied().flatten(), *share));
        let overdue = |share: &usize| {
            let time = self.times.get(*share).copied().flatten();
            time.is_some_and(|time| since(time) > days.saturating_mul(DAY) + DAY / 2)
        };
        let turn = usize::try_from(elapsed).unwrap_or(usize::MAX);
        order
            .iter()
            .enumerate()
            .filter(|(i, share)| *i < turn || overdue(share))
            .map(|(_, share)| *share)
            .collect()
    }
}

fn share_of(id: &Id, shares: u32) -> u32 {
    let first = id.as_bytes().first_chunk::<4>().copied().unwrap_or_default();
    u32::from_be_bytes(first).checked_rem(shares).unwrap_or(0)
}

/// What a check reads, and what it may say afterwards.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) packs: Option<Packs>,
    shares: Vec<usize>,
    rotation: Rotation,
}

impl Shared {
    /// Chooses the packs; `None` in the result stands for all of them.
    pub(super) async fn turn(&self, sample: Sample, packs: &Packs) -> Turn {
        let some = |chosen: &dyn Fn(u32) -> bool, shares: u32| -> Packs {
            let chosen = packs.iter().filter(|(id, _)| chosen(share_of(id, shares)));
            chosen.map(|(id, pack)| (*id, pack.clone())).collect()
        };
        match sample {
            Sample::None => Turn { packs: Some(Packs::default()), ..Turn::default() },
            Sample::All => {
                let rotation = self.rotation().await.unwrap_or_default();
                let rotation = if rotation.times.is_empty() { rotation.resized(1) } else { rotation };
                Turn { packs: None, shares: (0..rotation.times.len()).collect(), rotation }
            }
            Sample::Part(part, of) => {
                Turn { packs: Some(some(&|share| share == part, of)), ..Turn::default() }
            }
            Sample::Rotate(days) => {
                let rotation = self.rotation().await.unwrap_or_default().resized(days.max(1));
                let shares = rotation.due(NodeTime::from(self.clock.now()));
                let chosen = |share: u32| shares.iter().any(|due| u32::try_from(*due) == Ok(share));
                Turn { packs: Some(some(&chosen, days.max(1))), shares, rotation }
            }
        }
    }

    /// What is remembered; of several sinks' memories the one that claims least counts, share by share.
    async fn rotation(&self) -> Result<Rotation> {
        let mut joined: Option<Rotation> = None;
        for sink in self.sinks.live() {
            let mut own = Rotation::default();
            for name in sink.sidecars().await? {
                let Some(id) = name.name().strip_prefix(PREFIX).and_then(|id| id.parse::<Id>().ok()) else {
                    continue;
                };
                let Ok(sealed) = sink.read(&name, None).await else { continue };
                if Id::of(&sealed) == id
                    && let Ok(json) = open_unpacked(&self.key, &sealed)
                    && let Ok(found) = serde_json::from_slice::<Rotation>(&json)
                    && found.oldest() >= own.oldest()
                {
                    own = found;
                }
            }
            joined = Some(match joined {
                None => own,
                Some(other) if other.times.len() == own.times.len() => Rotation {
                    times: other.times.into_iter().zip(own.times).map(|(a, b)| a.min(b)).collect(),
                },
                // One of them knows nothing, or counts otherwise.
                Some(_) => Rotation::default(),
            });
        }
        Ok(joined.unwrap_or_default())
    }

    /// Remembers that the shares of this turn were read and found good.
    pub(super) async fn remember(&self, mut turn: Turn) -> Result<()> {
        if turn.shares.is_empty() {
            return Ok(());
        }
        let now = NodeTime::from(self.clock.now());
        for share in turn.shares {
            if let Some(time) = turn.rotation.times.get_mut(share) {
                *time = Some(now);
            }
        }
        let json = serde_json::to_vec(&turn.rotation).map_err(crate::error::json("check's memory"))?;
        let sealed = seal_unpacked(&self.key, &json, self.config.compresses())?;
        let name = ObjectId::parse(ObjectKind::Sidecar, &format!("{PREFIX}{}", Id::of(&sealed)))?;
        for sink in self.sinks.live() {
            // A sink that cannot be written is checked again, and no worse for it.
            let mut old = sink.sidecars().await?;
            old.retain(|old| old.name().starts_with(PREFIX) && *old != name);
            let written = match sink.write(&name, &sealed).await {
                Ok(()) => sink.remove(&old).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                tracing::debug!(sink = %sink.inner.name(), %error, "a check cannot note what it has read");
            }
        }
        Ok(())
    }
}

impl Repository {
    /// Since when every byte of every pack has been read and found good by checks: the time of the oldest of the last
    /// readings. `None` when something was never read. Packs that were stored since count with their share.
    ///
    /// # Errors
    /// The sinks' own errors.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn verified(&self) -> Result<Option<SystemTime>> {
        Ok(self.shared.rotation().await?.oldest().map(|time| time.system()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_within_the_days() {
        let (days, mut now) = (7, NodeTime::new(1_000_000, 0));
        let mut rotation = Rotation::default().resized(days);
        let mut random = fastrand::Rng::with_seed(3);
        let read = |rotation: &mut Rotation, now: NodeTime| {
            let due = rotation.due(now);
            due.iter().for_each(|share| rotation.times[*share] = Some(now));
            due.len()
        };
        for _ in 0..days {
            assert_eq!(read(&mut rotation, now), 1);
            now = NodeTime::new(now.seconds() + DAY, 0);
        }
        assert!(rotation.oldest().is_some());
        // At about the same hour each day, with days left out.
        for _ in 0..500 {
            let gap = if random.u8(..5) == 0 { random.i64(1..10) } else { 1 };
            now = NodeTime::new(now.seconds() + gap * DAY + random.i64(-3600..3600), 0);
            let oldest = now.seconds() - rotation.oldest().unwrap().seconds();
            let count = read(&mut rotation, now);
            assert!(count <= 7 && (gap > 1 || oldest <= 9 * DAY), "{oldest} {count}");
            let oldest = now.seconds() - rotation.oldest().unwrap().seconds();
            assert!(oldest <= 7 * DAY + DAY / 2, "{oldest}");
        }
        assert_eq!(Rotation { times: vec![Some(now), None] }.oldest(), None);
        assert_eq!(rotation.clone().resized(3).oldest(), rotation.oldest());
    }
}
