//! Look-ups, with and without lease, in as few round trips as there can be: one, and a second one only when
//! tags or a clear of others came between, for a lease on a value that is there but may not be read, and for a
//! lease where most look-ups had hit and this one did not.

use super::answer::{Part, Raw};
use super::error;
use super::frame::{self, Stamp};
use super::link::{Link, Request, check, number};
use super::names::Names;
use super::script::{LEASE, RESTAMP, Run, TAKE};
use super::state::{self, Sight, States};
use super::stats::Stats;
use aeth_core::cache::{Entry, LeaseToken};
use aeth_core::{ClockExt, Error, Key, Namespace, Result};
use bytes::Bytes;
use redis::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

/// How often a look-up starts again because the value changed under it.
const ATTEMPTS: usize = 3;

/// From how many hits more than misses on look-ups with lease are tried without.
const LEAN: i32 = 64;

/// Room for the name of a key in a command; a longer one costs an allocation more.
const TYPICAL: usize = 48;

/// A key to look up; with a time, a lease of that long is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) key: &'a Key,
    pub(super) lease: Option<Duration>,
}

/// How the keys of a batch are put into commands. Either way they go out in one write and are answered in one round
/// trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Many keys in a command.
    Together,
    /// Each key in a command of its own.
    Apart,
}

#[derive(Clone)]
pub(super) enum Found {
    Hit(Entry),
    Stale(Entry, LeaseToken),
    Miss,
    Granted(LeaseToken),
    Held,
    Unavailable(Error),
}

/// What look-ups need.
pub(super) struct Lookups {
    pub(super) link: Arc<Link>,
    pub(super) names: Names,
    pub(super) states: Arc<States>,
    pub(super) stats: Arc<Stats>,
    /// Whether look-ups with lease tend to hit.
    pub(super) leaning: AtomicI32,
}

/// Something that takes another round trip.
enum More {
    Take { at: usize, value: Bytes, held: Vec<u8>, token: u128 },
    Restamp { at: usize, old: u128, new: u128, entry: Option<Entry> },
}

impl Lookups {
    /// One answer for each, in order; counted.
    pub(super) async fn find(&self, wanted: &[Wanted<'_>], form: Form) -> Vec<Found> {
        let found = match self.straight(wanted, form).await {
            Some(Ok(found)) => found,
            Some(Err(error)) => vec![Found::Unavailable(error); wanted.len()],
            // In a box: as a part of it, the future of a straight look-up would be moved with it.
            None => Box::pin(self.through(wanted, form)).await,
        };
        self.stats.looked_up(&found);
        self.lean(wanted, &found);
        found
    }

    /// One answer for each, in order, whatever they want.
    async fn through(&self, wanted: &[Wanted<'_>], form: Form) -> Vec<Found> {
        let mut found = if self.leaning.load(Relaxed) >= LEAN && wanted.iter().any(|w| w.lease.is_some()) {
            self.fresh(wanted, form).await
        } else {
            let first = self.attempt(wanted, form).await;
            first.unwrap_or_else(|error| vec![Some(Found::Unavailable(error)); wanted.len()])
        };
        for _ in 1..ATTEMPTS {
            let again: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
            if again.is_empty() {
                break;
            }
            let part: Vec<Wanted<'_>>;
            let subset = if again.len() == wanted.len() {
                wanted
            } else {
                part = again.iter().map(|at| wanted[*at]).collect();
                &part
            };
            match self.attempt(subset, form).await {
                Ok(answers) => again.into_iter().zip(answers).for_each(|(at, answer)| found[at] = answer),
                Err(error) => {
                    again.into_iter().for_each(|at| found[at] = Some(Found::Unavailable(error.clone())));
                }
            }
        }
        // A value that changes all the time is somebody's work.
        found.into_iter().map(|found| found.unwrap_or(Found::Held)).collect()
    }

    /// What is there and fresh needs no lease: where most look-ups hit, a plain one comes first, because a script
    /// costs the server several times as much. Where most miss, it would be a round trip for nothing.
    async fn fresh(&self, wanted: &[Wanted<'_>], form: Form) -> Vec<Option<Found>> {
        let plain: Vec<Wanted<'_>> = wanted.iter().map(|wanted| Wanted { lease: None, ..*wanted }).collect();
        let now = self.link.clock.unix_millis();
        let found = match self.straight(&plain, form).await {
            Some(found) => found.map(|found| found.into_iter().map(Some).collect()),
            None => self.attempt(&plain, form).await,
        };
        match found {
            Ok(found) => (found.into_iter().zip(wanted))
                .map(|(found, wanted)| match found {
                    Some(Found::Hit(entry)) if entry.is_fresh(now) => Some(Found::Hit(entry)),
                    found if wanted.lease.is_none() => found,
                    _ => None,
                })
                .collect(),
            Err(error) => vec![Some(Found::Unavailable(error)); wanted.len()],
        }
    }

    fn lean(&self, wanted: &[Wanted<'_>], found: &[Found]) {
        let leased = wanted.iter().zip(found).filter(|(wanted, _)| wanted.lease.is_some());
        let sum: i32 = leased.map(|(_, found)| if matches!(found, Found::Hit(_)) { 1 } else { -1 }).sum();
        if sum != 0 {
            // Between threads an update may be lost: it is a tendency.
            let leaning = self.leaning.load(Relaxed).saturating_add(sum).clamp(-LEAN, 2 * LEAN);
            self.leaning.store(leaning, Relaxed);
        }
    }

    /// One round trip, and those that it makes necessary; `None` where the value changed in between.
    async fn attempt(&self, wanted: &[Wanted<'_>], form: Form) -> Result<Vec<Option<Found>>> {
        self.states.over(self.link.ready().await?);
        // Before anything is sent: what the server tells from here on may concern what it answers.
        let (heard, tracks) = (&self.link.heard, self.link.heard.tracks());
        let now = (heard.count(), self.link.clock.monotonic());
        let (quiet, asked): (Vec<&Namespace>, Vec<&Namespace>) =
            spaces(wanted).into_iter().partition(|space| self.states.is_quiet(space, now));
        // A lease needs a stamp from before its load: that of the mirror, which later answers correct.
        let unknown: Vec<&Namespace> = (wanted.iter())
            .filter(|wanted| wanted.lease.is_some())
            .map(|wanted| wanted.namespace)
            .filter(|space| self.states.known(space).is_none())
            .collect();
        if !unknown.is_empty() {
            Box::pin(self.states.sync(&self.link, &self.names, &distinct(unknown))).await?;
        }
        let tokens: Vec<u128> = (wanted.iter())
            .map(|wanted| match wanted.lease {
                Some(_) => frame::token(self.states.known(wanted.namespace).unwrap_or_default()),
                None => 0,
            })
            .collect();
        let (mut requests, plan) = self.requests(wanted, &tokens, form);
        // Behind the values: what was stored after a clear must not look like what was stored before it.
        requests.extend(asked.iter().flat_map(|space| state::follow(&self.names, space, tracks)));
        let mut answers = self.link.send(requests).await?.into_iter();
        let mut raws: Vec<Raw> = wanted.iter().map(|_| Raw::Nothing).collect();
        for part in plan {
            let answer = answers.next().ok_or_else(|| error::unexpected("look up"))?;
            part.take(check(answer), &mut raws).ok_or_else(|| error::unexpected("look up"))?;
        }
        let mut behind = Vec::new();
        for space in asked {
            let followed = tracks && matches!(answers.next(), Some(Value::Okay));
            let told = state::told(answers.next().ok_or_else(|| error::unexpected("look up"))?)?;
            if !self.states.observe(space, told, followed.then_some(now)) {
                behind.push(space);
            }
        }
        // Where nothing was told up to the answers, nothing had changed when the values were read.
        let now = (heard.count(), now.1);
        behind.extend(quiet.into_iter().filter(|space| !self.states.is_quiet(space, now)));
        if !behind.is_empty() {
            Box::pin(self.states.sync(&self.link, &self.names, &behind)).await?;
        }
        self.judge(wanted, raws, &tokens).await
    }

    fn requests(&self, wanted: &[Wanted<'_>], tokens: &[u128], form: Form) -> (Vec<Request>, Vec<Part>) {
        let (mut requests, mut plan) = (Vec::new(), Vec::new());
        // A cluster refuses keys of several slots in one command. The client would divide it, but forgets to wake
        // itself for the parts where other answers come in at that moment (redis 1.8.1): they then wait for the next
        // command of anybody, and the look-up for its time limit.
        let apart = form == Form::Apart || self.link.dialer.is_cluster();
        let limit = if apart { 1 } else { self.link.options.batch };
        let plain: Vec<usize> = (0..wanted.len()).filter(|at| wanted[*at].lease.is_none()).collect();
        for part in plain.chunks(limit) {
            requests.push(self.values(part.iter().map(|at| &wanted[*at])).into());
            plan.push(Part { of: part.to_vec(), leases: false });
        }
        let leased: Vec<usize> = (0..wanted.len()).filter(|at| wanted[*at].lease.is_some()).collect();
        // In a cluster the keys of one script share a slot.
        let now = self.link.clock.unix_millis();
        for part in leased.chunks(limit) {
            let mut run = Run::new(&LEASE).number(now >> 32).number(now & 0xffff_ffff);
            for at in part {
                let Wanted { namespace, key, lease } = wanted[*at];
                run = run
                    .key(self.names.value(namespace, key))
                    .key(self.names.lease(namespace, key))
                    .bytes(tokens[*at].to_be_bytes().to_vec())
                    .number(millis(lease.unwrap_or_default()));
            }
            requests.push(run.into());
            plan.push(Part { of: part.to_vec(), leases: true });
        }
        (requests, plan)
    }

    /// Asks for values: GET for one, MGET for several.
    pub(super) fn values<'a>(&self, wanted: impl ExactSizeIterator<Item = &'a Wanted<'a>>) -> redis::Cmd {
        let count = wanted.len();
        let mut command = redis::Cmd::with_capacity(count + 1, (count + 1) * TYPICAL);
        command.arg(if count == 1 { "GET" } else { "MGET" });
        let mut name = Vec::with_capacity(TYPICAL);
        for Wanted { namespace, key, .. } in wanted {
            name.clear();
            self.names.write_value(&mut name, namespace, key);
            command.arg(name.as_slice());
        }
        command
    }

    async fn judge(
        &self,
        wanted: &[Wanted<'_>],
        raws: Vec<Raw>,
        tokens: &[u128],
    ) -> Result<Vec<Option<Found>>> {
        let (mut found, more) = self.sort(wanted, raws, tokens);
        if !more.is_empty() {
            Box::pin(self.second(wanted, more, &mut found)).await?;
        }
        Ok(found)
    }

    /// What the answers mean, and what takes another round trip.
    fn sort(
        &self,
        wanted: &[Wanted<'_>],
        raws: Vec<Raw>,
        tokens: &[u128],
    ) -> (Vec<Option<Found>>, Vec<More>) {
        let mut found: Vec<Option<Found>> = vec![None; wanted.len()];
        let mut more = Vec::new();
        let (view, unix) = (self.states.view(), self.link.clock.unix_millis());
        // Batches are mostly of one namespace.
        let mut last: Option<(&Namespace, Sight<'_>)> = None;
        for (at, raw) in raws.into_iter().enumerate() {
            let (wanted, token) = (&wanted[at], tokens[at]);
            let sight = match last {
                Some((namespace, sight)) if namespace == wanted.namespace => sight,
                _ => view.of(wanted.namespace),
            };
            last = Some((wanted.namespace, sight));
            let now = sight.now();
            let leased = |entry: Option<Entry>| match entry {
                Some(entry) => Found::Stale(entry, LeaseToken::new(token)),
                None => Found::Granted(LeaseToken::new(token)),
            };
            match raw {
                Raw::Nothing => found[at] = Some(Found::Miss),
                Raw::Refused(error) => found[at] = Some(Found::Unavailable(error)),
                Raw::Value(value) if wanted.lease.is_none() => {
                    found[at] = Some(self.readable(sight, unix, value).map_or(Found::Miss, Found::Hit));
                }
                Raw::Value(value) => match self.readable(sight, unix, value.clone()) {
                    Some(entry) => found[at] = Some(Found::Hit(entry)),
                    None => {
                        let token = frame::restamp(token, now);
                        more.push(More::Take { at, value, held: Vec::new(), token });
                    }
                },
                Raw::ValueAndLease(value) => {
                    let entry = self.readable(sight, unix, value);
                    match frame::stamp_of(token) == now {
                        true => found[at] = Some(leased(entry)),
                        false => more.push(restamp(at, token, now, entry)),
                    }
                }
                Raw::Lease if frame::stamp_of(token) == now => found[at] = Some(leased(None)),
                Raw::Lease => more.push(restamp(at, token, now, None)),
                Raw::Held(holder) => match <[u8; 16]>::try_from(holder.as_slice()) {
                    Ok(bytes) if frame::stamp_of(u128::from_be_bytes(bytes)).life == now.life => {
                        found[at] = Some(Found::Held);
                    }
                    _ => {
                        let token = frame::restamp(token, now);
                        more.push(More::Take { at, value: Bytes::new(), held: holder, token });
                    }
                },
            }
        }
        (found, more)
    }

    async fn second(
        &self,
        wanted: &[Wanted<'_>],
        more: Vec<More>,
        found: &mut [Option<Found>],
    ) -> Result<()> {
        let requests: Vec<Request> = (more.iter())
            .map(|more| match more {
                More::Take { at, value, held, token } => {
                    let Wanted { namespace, key, lease } = wanted[*at];
                    Run::new(&TAKE)
                        .key(self.names.value(namespace, key))
                        .key(self.names.lease(namespace, key))
                        .bytes(value.to_vec())
                        .bytes(held.clone())
                        .bytes(token.to_be_bytes().to_vec())
                        .number(millis(lease.unwrap_or_default()))
                        .into()
                }
                More::Restamp { at, old, new, .. } => {
                    let Wanted { namespace, key, .. } = wanted[*at];
                    Run::new(&RESTAMP)
                        .key(self.names.lease(namespace, key))
                        .bytes(old.to_be_bytes().to_vec())
                        .bytes(new.to_be_bytes().to_vec())
                        .into()
                }
            })
            .collect();
        let answers = self.link.send(requests).await?;
        for (more, answer) in more.into_iter().zip(answers) {
            let answer = number(&check(answer)?).ok_or_else(|| error::unexpected("lease"))?;
            match more {
                More::Take { at, token, .. } => {
                    found[at] = match answer {
                        3 => Some(Found::Granted(LeaseToken::new(token))),
                        4 => Some(Found::Held),
                        _ => None,
                    };
                }
                // A lease that was voided in between is void all the same.
                More::Restamp { at, new, entry, .. } => {
                    found[at] = Some(match entry {
                        Some(entry) => Found::Stale(entry, LeaseToken::new(new)),
                        None => Found::Granted(LeaseToken::new(new)),
                    });
                }
            }
        }
        Ok(())
    }

    /// The entry in these bytes, if it may be read.
    pub(super) fn readable(&self, sight: Sight<'_>, unix: u64, value: Bytes) -> Option<Entry> {
        let Some((stamp, entry)) = frame::decode(value) else {
            self.stats.damaged.increment();
            return None;
        };
        if !entry.is_usable(unix) {
            self.stats.expirations.increment();
            return None;
        }
        sight.readable(stamp, &entry.tags).then_some(entry)
    }
}

fn restamp(at: usize, token: u128, now: Stamp, entry: Option<Entry>) -> More {
    More::Restamp { at, old: token, new: frame::restamp(token, now), entry }
}

/// A time for PX, which is at least 1.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, 10 * 366 * 86_400_000)
}

fn spaces<'a>(wanted: &[Wanted<'a>]) -> Vec<&'a Namespace> {
    distinct(wanted.iter().map(|wanted| wanted.namespace))
}

/// Batches have few namespaces.
fn distinct<'a>(namespaces: impl IntoIterator<Item = &'a Namespace>) -> Vec<&'a Namespace> {
    let mut out: Vec<&Namespace> = Vec::new();
    for namespace in namespaces {
        if !out.contains(&namespace) {
            out.push(namespace);
        }
    }
    out
}
