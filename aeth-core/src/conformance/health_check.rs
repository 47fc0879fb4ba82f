//! The laws of [`HealthCheck`].

use super::law::{Subject, ensure};
use super::tools::polls;
use super::{Check, Report, law};
use crate::observe::{HealthCheck, Status};
use crate::{Clock, ClockExt, SystemClock};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

super::law::laws! { HealthSubject;
    "a-check-ends-in-time" => a_check_ends_in_time,
    "the-component-is-named" => the_component_is_named,
    "a-bad-verdict-has-a-reason" => a_bad_verdict_has_a_reason,
    "figures-are-possible" => figures_are_possible,
    "checks-do-not-disturb-each-other" => checks_do_not_disturb_each_other,
    "a-dropped-check-does-no-harm" => a_dropped_check_does_no_harm,
}

/// A health check, and how it is tested.
#[derive(Debug, Clone)]
pub struct HealthSubject {
    check: Arc<dyn HealthCheck>,
    within: Duration,
}

/// Checks every law on a health check that must answer within 10 seconds, whatever the state of its component.
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
///
/// # Cancel safety
/// Cancel-safe.
pub async fn run_all(check: Arc<dyn HealthCheck>) -> Report {
    HealthSubject::new(check).run().await
}

impl HealthSubject {
    /// Tests `check`, which must answer within 10 seconds.
    #[must_use]
    pub fn new(check: Arc<dyn HealthCheck>) -> Self {
        Self { check, within: Duration::from_secs(10) }
    }

    /// Sets the time within which it must answer.
    #[must_use]
    pub fn with_limit(mut self, within: Duration) -> Self {
        self.within = within;
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
        law::run(self, LAWS, self.within.saturating_mul(40)).await
    }
}

impl Subject for HealthSubject {
    fn label(&self) -> String {
        self.check.component().into_owned()
    }

    fn scoped(&self, _law: &'static str) -> Self {
        self.clone()
    }

    fn clean_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// law: a-check-ends-in-time. A check gives a verdict within the limit, and states no latency that is longer than
/// it took.
async fn a_check_ends_in_time(subject: &HealthSubject) -> Check {
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let health = clock.timeout(subject.within, subject.check.check()).await;
    ensure!(health.is_ok(), "no verdict within {:?}", subject.within);
    let took = clock.monotonic().saturating_sub(start);
    if let Ok(health) = health {
        ensure!(
            health.latency <= took,
            "the verdict says that it took {:?}, it took {took:?}",
            health.latency
        );
    }
    Ok(())
}

/// law: the-component-is-named. By a lower-case word that does not change.
async fn the_component_is_named(subject: &HealthSubject) -> Check {
    let name = subject.check.component().into_owned();
    let word =
        name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' | b'/'));
    ensure!(!name.is_empty() && word, "the component is named {name:?}");
    subject.check.check().await;
    ensure!(subject.check.component() == name, "the name changed to {:?}", subject.check.component());
    Ok(())
}

/// law: a-bad-verdict-has-a-reason. A verdict other than up says why.
async fn a_bad_verdict_has_a_reason(subject: &HealthSubject) -> Check {
    let health = subject.check.check().await;
    let reason = health.reason.as_deref().unwrap_or_default();
    ensure!(health.status == Status::Up || !reason.trim().is_empty(), "{:?} without a reason", health.status);
    Ok(())
}

/// law: figures-are-possible. Every figure observed has a name and is a number.
async fn figures_are_possible(subject: &HealthSubject) -> Check {
    for (name, value, _) in subject.check.check().await.observed {
        ensure!(!name.is_empty() && value.is_finite(), "the figure {name:?} is {value}");
    }
    Ok(())
}

/// law: checks-do-not-disturb-each-other. Several checks at the same time all end.
async fn checks_do_not_disturb_each_other(subject: &HealthSubject) -> Check {
    let clock = SystemClock::new();
    let checks = futures_util::future::join_all((0..8).map(|_| subject.check.check()));
    let verdicts = clock.timeout(subject.within.saturating_mul(2), checks).await;
    ensure!(verdicts.is_ok_and(|verdicts| verdicts.len() == 8), "eight checks at once do not end");
    Ok(())
}

/// law: a-dropped-check-does-no-harm. After a check is dropped at any point, the next one gives a verdict.
async fn a_dropped_check_does_no_harm(subject: &HealthSubject) -> Check {
    let clock = SystemClock::new();
    for n in 1..=10 {
        polls(subject.check.check(), n).await;
        let health = clock.timeout(subject.within, subject.check.check()).await;
        ensure!(health.is_ok(), "a check after one that was dropped at its poll {n} gives no verdict");
    }
    Ok(())
}
