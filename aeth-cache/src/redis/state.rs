//! What is known of namespaces: which entries their tags and clears have made unreadable.
//!
//! # How it works
//! The state of a namespace is one sorted set. Its members are the tags that were invalidated, each scored by
//! the number of the invalidation (`seq`), and three of its own: the *life*, a random number that is there as
//! long as the set is; the last `seq`; and the *floor*, below which tags were forgotten. An entry stores the
//! life and seq of when its put or its load *began*. It is readable while the life is the same, no tag of its has
//! a greater number, and (with tags) its seq is not below the floor.
//!
//! - `invalidate_tags` scores the tags with the next number: O(log n), whatever the number of entries.
//! - `clear` removes the set: the next one to come begins a new life. So does losing the set (eviction, a
//!   flush): then everything of the namespace is unreadable, never the other way round.
//!
//! # What it costs
//! The set lives in one slot, its entries in all of them, so no script can look at both. Instead each look-up
//! asks for life, floor and seq along with the values (one command for each namespace in the batch, in the same
//! round trip, *after* the values), and this process mirrors the scores. While seq is what the mirror knows, it
//! is exact and decides alone. When others have invalidated tags meanwhile, one more round trip brings what
//! came after the mirror's seq: once for each process and change, not for each look-up. Where the server tells of
//! changes itself, and does so in time, look-ups do not even ask (see [`heard`](super::heard)). Nothing is ever decided
//! by a clock, or by a mirror of which the server has not said that it is exact.

use super::frame::Stamp;
use super::heard::{Count, TRUST, announce};
use super::link::{Link, Request, check, number};
use super::names::Names;
use super::script::{Run, SYNC};
use super::{error, script};
use aeth_core::{Namespace, Result, Tag};
use parking_lot::{Mutex, MutexGuard};
use redis::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Marks the members of ours: tags hold no control characters.
const LIFE: &[u8] = b"\x01l";
const FLOOR: &[u8] = b"\x01f";
const SEQ: &[u8] = b"\x01s";
/// What is added to their scores, so that they rank behind every tag: 2⁵².
const BASE: f64 = 4_503_599_627_370_496.0;

/// Life, floor and seq as the server told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) stamp: Stamp,
    floor: u64,
}

#[derive(Debug)]
pub(super) struct Mirror {
    told: Told,
    tags: HashMap<Tag, u64>,
    /// While the server has told no more than this, the mirror is exact; and when that was asked for.
    quiet: Option<(Count, Duration)>,
}

/// The mirrors of all namespaces that were asked for over the present connection.
#[derive(Debug, Default)]
pub(super) struct States {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    generation: u64,
    mirrors: HashMap<Namespace, Mirror>,
}

impl States {
    /// Forgets what was learnt over another connection: a failover may have taken numbers back.
    pub(super) fn over(&self, generation: u64) {
        self.inner.lock().over(generation);
    }

    /// [`over`](Self::over) and [`is_quiet`](Self::is_quiet), in one.
    pub(super) fn is_quiet_over(
        &self,
        generation: u64,
        namespace: &Namespace,
        now: (Count, Duration),
    ) -> bool {
        let mut inner = self.inner.lock();
        inner.over(generation);
        Sight(inner.mirrors.get(namespace)).is_quiet(now)
    }

    /// The last known moment, if there is one.
    pub(super) fn known(&self, namespace: &Namespace) -> Option<Stamp> {
        self.inner.lock().mirrors.get(namespace).map(|mirror| mirror.told.stamp)
    }

    /// True while the mirror is known to be exact without asking: nothing was told since it was asked for.
    pub(super) fn is_quiet(&self, namespace: &Namespace, now: (Count, Duration)) -> bool {
        self.view().of(namespace).is_quiet(now)
    }

    /// Takes note of what came with an answer. True when the mirror is exact, false when it must be brought up
    /// to date before it decides. With what the server had told before it was asked, where it follows the namespace
    /// from then on.
    pub(super) fn observe(
        &self,
        namespace: &Namespace,
        told: Option<Told>,
        followed: Option<(Count, Duration)>,
    ) -> bool {
        let mut inner = self.inner.lock();
        match (inner.mirrors.get_mut(namespace), told) {
            (Some(mirror), Some(told)) => {
                let known = mirror.told.stamp;
                // A mirror that is further on has seen a later answer.
                let exact = known.life == told.stamp.life && known.seq >= told.stamp.seq;
                if exact && followed.is_some() {
                    mirror.quiet = followed;
                }
                exact
            }
            _ => false,
        }
    }

    /// Takes note of an invalidation of one's own, where nothing was missed before it.
    pub(super) fn invalidated(&self, namespace: &Namespace, told: Told, tags: &[Tag]) {
        let mut inner = self.inner.lock();
        let Some(mirror) = inner.mirrors.get_mut(namespace) else { return };
        let known = mirror.told.stamp;
        if known.life == told.stamp.life && known.seq + 1 == told.stamp.seq {
            mirror.told = told;
            mirror.tags.retain(|_, number| *number > told.floor);
            mirror.tags.extend(tags.iter().map(|tag| (tag.clone(), told.stamp.seq)));
        }
    }

    pub(super) fn forget(&self, namespace: &Namespace) {
        self.inner.lock().mirrors.remove(namespace);
    }

    /// Whether an entry that was stored under `stamp` may be read.
    pub(super) fn readable(&self, namespace: &Namespace, stamp: Stamp, tags: &[Tag]) -> bool {
        self.view().of(namespace).readable(stamp, tags)
    }

    /// Looks at the mirrors for a whole batch; nothing is learnt meanwhile.
    pub(super) fn view(&self) -> View<'_> {
        View(self.inner.lock())
    }

    /// Brings the mirrors of these namespaces up to date, beginning lives where there are none.
    pub(super) async fn sync(
        &self,
        link: &Arc<Link>,
        names: &Names,
        namespaces: &[&Namespace],
    ) -> Result<()> {
        let requests: Vec<Request> = namespaces
            .iter()
            .map(|namespace| {
                let known = self.known(namespace).unwrap_or_default();
                Run::new(&SYNC)
                    .key(names.state(namespace))
                    .number(known.life)
                    .number(known.seq)
                    .number(fastrand::u64(1..1 << 40))
                    .into()
            })
            .collect();
        let answers = link.send(requests).await?;
        for (namespace, answer) in namespaces.iter().zip(answers) {
            let (told, all, tags) = parse_sync(check(answer)?).ok_or_else(|| error::unexpected("sync"))?;
            self.apply(namespace, told, all, tags);
        }
        Ok(())
    }

    fn apply(&self, namespace: &Namespace, told: Told, all: bool, tags: Vec<(Tag, u64)>) {
        let mut inner = self.inner.lock();
        match inner.mirrors.get_mut(namespace) {
            Some(mirror) if mirror.told.stamp.life == told.stamp.life => {
                if mirror.told.stamp.seq <= told.stamp.seq {
                    mirror.told = told;
                }
                for (tag, number) in tags {
                    let known = mirror.tags.entry(tag).or_default();
                    *known = number.max(*known);
                }
                let floor = mirror.told.floor;
                mirror.tags.retain(|_, number| *number > floor);
            }
            // What came after a moment of another life is not the whole of this one.
            None | Some(_) if !all => drop(inner.mirrors.remove(namespace)),
            _ => {
                let tags = tags.into_iter().collect();
                drop(inner.mirrors.insert(namespace.clone(), Mirror { told, tags, quiet: None }));
            }
        }
    }
}

impl Inner {
    fn over(&mut self, generation: u64) {
        if self.generation != generation {
            self.mirrors.clear();
            self.generation = generation;
        }
    }
}

/// The mirrors while nobody changes them.
pub(super) struct View<'a>(MutexGuard<'a, Inner>);

impl View<'_> {
    pub(super) fn of(&self, namespace: &Namespace) -> Sight<'_> {
        Sight(self.0.mirrors.get(namespace))
    }
}

/// What is known of one namespace.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a>(Option<&'a Mirror>);

impl Sight<'_> {
    /// The last known moment; the default where there is none.
    pub(super) fn now(self) -> Stamp {
        self.0.map(|mirror| mirror.told.stamp).unwrap_or_default()
    }

    /// True while it is known to be exact without asking: nothing was told since it was asked for.
    pub(super) fn is_quiet(self, now: (Count, Duration)) -> bool {
        let quiet = self.0.and_then(|mirror| mirror.quiet);
        quiet.is_some_and(|(count, asked)| count == now.0 && now.1.saturating_sub(asked) < TRUST)
    }

    pub(super) fn readable(self, stamp: Stamp, tags: &[Tag]) -> bool {
        let Some(mirror) = self.0 else { return false };
        stamp.life == mirror.told.stamp.life
            && (tags.is_empty()
                || stamp.seq >= mirror.told.floor
                    && tags.iter().all(|tag| mirror.tags.get(tag).is_none_or(|number| *number <= stamp.seq)))
    }
}

/// Asks for life, floor and seq, and to be told when they change where the server does that.
pub(super) fn follow(names: &Names, namespace: &Namespace, tracks: bool) -> impl Iterator<Item = Request> {
    let announced = tracks.then(|| announce().into());
    announced.into_iter().chain([ask(names, namespace)])
}

/// Asks for life, floor and seq.
pub(super) fn ask(names: &Names, namespace: &Namespace) -> Request {
    let mut command = redis::cmd("ZMSCORE");
    command.arg(names.state(namespace)).arg(LIFE).arg(FLOOR).arg(SEQ);
    command.into()
}

/// The answer to [`ask`]; `None` where the namespace has no life.
pub(super) fn told(answer: Value) -> Result<Option<Told>> {
    let Value::Array(scores) = check(answer)? else { return Err(error::unexpected("state")) };
    let scores: Vec<Option<u64>> = scores.iter().map(score).collect();
    match scores.as_slice() {
        [Some(life), Some(floor), Some(seq)] => {
            Ok(Some(Told { stamp: Stamp { life: *life, seq: *seq }, floor: *floor }))
        }
        [_, _, _] => Ok(None),
        _ => Err(error::unexpected("state")),
    }
}

fn score(answer: &Value) -> Option<u64> {
    let score = match answer {
        Value::Double(score) => *score,
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        _ => return None,
    };
    let number = score - BASE;
    // Whole numbers below 2⁵² are exact.
    (0.0..BASE).contains(&number).then_some(number as u64)
}

/// The moment, whether the tags are all there are, the tags.
type Synced = (Told, bool, Vec<(Tag, u64)>);

fn parse_sync(answer: Value) -> Option<Synced> {
    let Value::Array(parts) = answer else { return None };
    let [life, floor, seq, all, tags @ ..] = parts.as_slice() else { return None };
    let stamp = Stamp { life: number(life)?, seq: number(seq)? };
    let told = Told { stamp, floor: number(floor)? };
    let tags = tags.chunks_exact(2).filter_map(|pair| match pair {
        [Value::BulkString(tag), score] => {
            Some((Tag::new(std::str::from_utf8(tag).ok()?).ok()?, number(score)?))
        }
        _ => None,
    });
    Some((told, number(all)? == 1, tags.collect()))
}

/// Invalidates tags on the server; the new moment, or `None` where nothing is readable anyhow.
pub(super) async fn invalidate(
    link: &Arc<Link>,
    names: &Names,
    namespace: &Namespace,
    tags: &[Tag],
) -> Result<Option<Told>> {
    let limit = u64::try_from(link.options.tags).unwrap_or(u64::MAX);
    let run = Run::new(&script::INVALIDATE).key(names.state(namespace)).number(limit);
    let run = tags.iter().fold(run, |run, tag| run.bytes(tag.as_str().as_bytes().to_vec()));
    match link.ask(run).await? {
        Value::Nil => Ok(None),
        Value::Array(parts) => match parts.as_slice() {
            [life, floor, seq] => (|| {
                let stamp = Stamp { life: number(life)?, seq: number(seq)? };
                Some(Some(Told { stamp, floor: number(floor)? }))
            })()
            .ok_or_else(|| error::unexpected("invalidate")),
            _ => Err(error::unexpected("invalidate")),
        },
        _ => Err(error::unexpected("invalidate")),
    }
}
