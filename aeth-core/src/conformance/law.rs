//! Laws and how they are run.

use super::{Report, Verdict};
use crate::{ClockExt, Error, SystemClock};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// What one law found.
pub type Check = Result<(), Breach>;

/// Why a law did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// The law does not hold.
    Failed(String),
    /// The law does not apply.
    Skipped(String),
}

impl From<Error> for Breach {
    fn from(error: Error) -> Self {
        Self::Failed(format!("an operation that must succeed failed ({:?}): {error}", error.kind()))
    }
}

impl From<crate::InvalidName> for Breach {
    fn from(error: crate::InvalidName) -> Self {
        Self::Failed(format!("the suite made a bad name: {error}"))
    }
}

/// Something that a suite can be run on.
pub(super) trait Subject: Send + Sync + Sized + 'static {
    /// The implementation's name, for the report.
    fn label(&self) -> String;

    /// The same, confined to a place of its own, so that laws do not see what other laws leave.
    fn scoped(&self, law: &'static str) -> Self;

    /// Removes what a law left behind.
    fn clean_up(&self) -> BoxFuture<'_, ()>;
}

/// One law of a contract.
///
/// Its statement is the documentation of the function that checks it, which carries the law's name.
pub struct Law<S> {
    name: &'static str,
    run: for<'a> fn(&'a S) -> BoxFuture<'a, Check>,
}

impl<S: Sync> Law<S> {
    pub(super) const fn new(name: &'static str, run: for<'a> fn(&'a S) -> BoxFuture<'a, Check>) -> Self {
        Self { name, run }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Checks it. A law that was written for a fresh place expects one; the suites see to it.
    ///
    /// # Errors
    /// [`Breach`] when it does not hold or does not apply.
    ///
    /// # Cancel safety
    /// Cancel-safe; what it had written stays.
    pub async fn check(&self, subject: &S) -> Check {
        (self.run)(subject).await
    }
}

impl<S> fmt::Debug for Law<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Law").field(&self.name).finish()
    }
}

/// Runs laws one after the other, each in a place of its own and within `limit`. A panic or a hang in the
/// implementation fails the law and not the run.
pub(super) async fn run<S: Subject>(
    subject: &S,
    laws: impl IntoIterator<Item = &Law<S>>,
    limit: Duration,
) -> Report {
    let clock = SystemClock::new();
    let mut report = Report::new(subject.label());
    for law in laws {
        let scoped = subject.scoped(law.name);
        let checked = AssertUnwindSafe(clock.timeout(limit, law.check(&scoped))).catch_unwind().await;
        let verdict = match checked {
            Ok(Ok(Ok(()))) => Verdict::Passed,
            Ok(Ok(Err(Breach::Skipped(reason)))) => Verdict::Skipped(reason),
            Ok(Ok(Err(Breach::Failed(message)))) => Verdict::Failed(message),
            Ok(Err(_)) => Verdict::Failed(format!("it hung: no end within {limit:?}")),
            Err(panic) => Verdict::Failed(format!("it panicked: {}", words(&*panic))),
        };
        report.add(law.name, verdict);
        // What is left behind after a failed clean-up lies under the law's own prefix and harms no other law.
        drop(AssertUnwindSafe(clock.timeout(limit, scoped.clean_up())).catch_unwind().await);
    }
    report
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// The table of a suite's laws.
macro_rules! laws {
    ($subject:ty; $($name:literal => $check:path),+ $(,)?) => {
        /// The laws of this contract, in the order in which they are run.
        pub const LAWS: &[$crate::conformance::Law<$subject>] = &[
            $($crate::conformance::Law::new($name, |subject| Box::pin($check(subject)))),+
        ];
    };
}

/// Fails the law with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Breach::Failed(format!($($message)+)));
        }
    };
}

/// Skips the law with a reason unless the condition holds.
macro_rules! applies {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Breach::Skipped(format!($($message)+)));
        }
    };
}

pub(super) use {applies, ensure, laws};
