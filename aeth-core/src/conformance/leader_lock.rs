//! The laws of [`LeaderLock`].

use super::law::{Subject, ensure};
use super::tools::{fails, join};
use super::{Breach, Check, Report, law};
use crate::coord::{LeaderLock, Leadership};
use crate::{Clock, ErrorKind};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

super::law::laws! { LeaderSubject;
    "there-is-one-leader" => there_is_one_leader,
    "one-of-many-wins" => one_of_many_wins,
    "names-are-apart" => names_are_apart,
    "a-release-frees-the-name" => a_release_frees_the_name,
    "a-drop-frees-the-name" => a_drop_frees_the_name,
    "fencing-numbers-grow" => fencing_numbers_grow,
    "a-renewal-keeps-the-name" => a_renewal_keeps_the_name,
    "a-lost-leadership-is-told" => a_lost_leadership_is_told,
    "an-empty-name-is-invalid" => an_empty_name_is_invalid,
}

/// Longer than any law.
const LONG: Duration = Duration::from_secs(60);

/// So short that laws wait for its end.
const SHORT: Duration = Duration::from_secs(1);

/// A leader lock, and how it is tested.
#[derive(Clone)]
pub struct LeaderSubject {
    lock: Arc<dyn LeaderLock>,
    other: Option<Arc<dyn LeaderLock>>,
    clock: Arc<dyn Clock>,
    advance: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
    run: u32,
    law: &'static str,
}

/// Checks every law on a lock whose times are those of `clock`, under names of its own. Laws about time wait by
/// [`Clock::sleep`].
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
///
/// # Cancel safety
/// Cancel-safe.
pub async fn run_all(lock: impl LeaderLock, clock: Arc<dyn Clock>) -> Report {
    LeaderSubject::new(lock, clock).run().await
}

impl LeaderSubject {
    /// Tests `lock`, whose times are those of `clock`.
    #[must_use]
    pub fn new(lock: impl LeaderLock, clock: Arc<dyn Clock>) -> Self {
        Self { lock: Arc::new(lock), other: None, clock, advance: None, run: fastrand::u32(..), law: "" }
    }

    /// Another handle, as another node or process would have.
    #[must_use]
    pub fn with_other(mut self, other: impl LeaderLock) -> Self {
        self.other = Some(Arc::new(other));
        self
    }

    /// Lets time pass by calling `advance` instead of by waiting: for a clock that the test owns.
    #[must_use]
    pub fn with_advance(mut self, advance: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.advance = Some(Arc::new(advance));
        self
    }

    /// Checks every law.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn run(&self) -> Report {
        law::run(self, LAWS, LONG).await
    }

    /// Checks the laws with these names; names that no law has are left out.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn run_some(&self, names: &[&str]) -> Report {
        law::run(self, LAWS.iter().filter(|law| names.contains(&law.name())), LONG).await
    }

    fn name(&self, rest: &str) -> String {
        format!("aeth-conformance-{:08x}-{}-{rest}", self.run, self.law)
    }

    fn other(&self) -> &Arc<dyn LeaderLock> {
        self.other.as_ref().unwrap_or(&self.lock)
    }

    async fn pass(&self, time: Duration) {
        match &self.advance {
            Some(advance) => advance(time),
            None => self.clock.sleep(time).await,
        }
    }

    async fn lead(&self, what: &str, name: &str, ttl: Duration) -> Result<Box<dyn Leadership>, Breach> {
        let led = self.lock.try_acquire(name, ttl).await?;
        led.ok_or_else(|| Breach::Failed(format!("{what}: nobody leads, but the leadership is refused")))
    }

    /// Waits until the other handle becomes the leader, for at most a second more than `ttl`.
    async fn free(&self, what: &str, name: &str, ttl: Duration) -> Result<Box<dyn Leadership>, Breach> {
        let step = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(led) = self.other().try_acquire(name, LONG).await? {
                return Ok(led);
            }
            if waited > ttl + Duration::from_secs(1) {
                return Err(Breach::Failed(format!("{what}: the name is not free after {waited:?}")));
            }
            self.pass(step).await;
            waited += step;
        }
    }
}

impl fmt::Debug for LeaderSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderSubject").field("lock", &self.lock).finish_non_exhaustive()
    }
}

impl Subject for LeaderSubject {
    fn label(&self) -> String {
        self.lock.name().into_owned()
    }

    fn scoped(&self, law: &'static str) -> Self {
        Self { law, ..self.clone() }
    }

    fn clean_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// law: there-is-one-leader. While somebody leads nobody else does, through the same handle or another one.
async fn there_is_one_leader(subject: &LeaderSubject) -> Check {
    let name = subject.name("a");
    let led = subject.lead("a free name", &name, LONG).await?;
    for lock in [&subject.lock, subject.other()] {
        ensure!(lock.try_acquire(&name, LONG).await?.is_none(), "a second leader was made");
    }
    led.renew().await?;
    led.release().await?;
    Ok(())
}

/// law: one-of-many-wins. Of concurrent attempts exactly one becomes the leader.
async fn one_of_many_wins(subject: &LeaderSubject) -> Check {
    for round in 0..8 {
        let name = subject.name(&round.to_string());
        let start = Arc::new(Barrier::new(6));
        let mut tasks = JoinSet::new();
        for i in 0..6 {
            let lock = Arc::clone(if i % 2 == 0 { &subject.lock } else { subject.other() });
            let (name, start) = (name.clone(), Arc::clone(&start));
            tasks.spawn(async move {
                start.wait().await;
                lock.try_acquire(&name, LONG).await.map_err(Breach::from)
            });
        }
        let leaders: Vec<Box<dyn Leadership>> = join(tasks).await?.into_iter().flatten().collect();
        ensure!(leaders.len() == 1, "{} of 6 concurrent attempts lead", leaders.len());
        for led in leaders {
            led.release().await?;
        }
    }
    Ok(())
}

/// law: names-are-apart. Leading one name does not lead another.
async fn names_are_apart(subject: &LeaderSubject) -> Check {
    let mut all = Vec::new();
    for rest in ["a", "aa", "A", "a/b", "../a", "a b", "ä", "*"] {
        all.push(subject.lead(rest, &subject.name(rest), LONG).await?);
    }
    for led in all {
        led.release().await?;
    }
    Ok(())
}

/// law: a-release-frees-the-name. At once.
async fn a_release_frees_the_name(subject: &LeaderSubject) -> Check {
    let name = subject.name("a");
    for _ in 0..5 {
        subject.lead("a free name", &name, LONG).await?.release().await?;
        let next = subject.other().try_acquire(&name, LONG).await?;
        let Some(next) = next else {
            return Err(Breach::Failed("a released name is not free".into()));
        };
        next.release().await?;
    }
    Ok(())
}

/// law: a-drop-frees-the-name. A leadership that is dropped ends after its ttl at the latest.
async fn a_drop_frees_the_name(subject: &LeaderSubject) -> Check {
    let name = subject.name("a");
    drop(subject.lead("a free name", &name, SHORT).await?);
    subject.free("a dropped leadership", &name, SHORT).await?.release().await?;
    Ok(())
}

/// law: fencing-numbers-grow. Each leader of a name has a greater number than every earlier one.
async fn fencing_numbers_grow(subject: &LeaderSubject) -> Check {
    let name = subject.name("a");
    let mut last = None;
    for round in 0..10 {
        let lock = if round % 2 == 0 { &subject.lock } else { subject.other() };
        let Some(led) = lock.try_acquire(&name, LONG).await? else {
            return Err(Breach::Failed("a released name is not free".into()));
        };
        let number = led.fencing();
        ensure!(last.is_none_or(|last| number > last), "the number {number} follows {last:?}");
        led.renew().await?;
        ensure!(led.fencing() == number, "a renewal changed the number to {}", led.fencing());
        last = Some(number);
        led.release().await?;
    }
    Ok(())
}

/// law: a-renewal-keeps-the-name. As long as it is renewed in time, a leadership lasts beyond its ttl.
async fn a_renewal_keeps_the_name(subject: &LeaderSubject) -> Check {
    let name = subject.name("a");
    let led = subject.lead("a free name", &name, SHORT).await?;
    for _ in 0..6 {
        // Far below the ttl: a busy machine is late by hundreds of milliseconds.
        subject.pass(SHORT / 4).await;
        led.renew().await?;
        let second = subject.other().try_acquire(&name, SHORT).await?;
        ensure!(second.is_none(), "a leadership that is renewed in time was given to another");
    }
    led.release().await?;
    Ok(())
}

/// law: a-lost-leadership-is-told. After its ttl a leadership still stands (engines that notice a death), or it is
/// somebody else's: then a renewal fails with `Precondition`, and a release does not take it from the new leader.
async fn a_lost_leadership_is_told(subject: &LeaderSubject) -> Check {
    let name = subject.name("a");
    let old = subject.lead("a free name", &name, SHORT).await?;
    subject.pass(SHORT * 2).await;
    let Some(new) = subject.other().try_acquire(&name, LONG).await? else {
        old.renew().await?;
        old.release().await?;
        return Ok(());
    };
    ensure!(new.fencing() > old.fencing(), "the new leader's number is {}, not greater", new.fencing());
    fails("the renewal of a lost leadership", old.renew().await, &[ErrorKind::Precondition])?;
    // Giving up what is lost may be success or not; it must do no harm.
    drop(old.release().await);
    new.renew().await?;
    let third = subject.lock.try_acquire(&name, LONG).await?;
    ensure!(third.is_none(), "the release of a lost leadership freed the name of the new leader");
    new.release().await?;
    Ok(())
}

/// law: an-empty-name-is-invalid. So it is.
async fn an_empty_name_is_invalid(subject: &LeaderSubject) -> Check {
    fails("an empty name", subject.lock.try_acquire("", LONG).await, &[ErrorKind::Invalid]).map(drop)
}
