//! What a run of a suite found.

use crate::{Error, Result};
use std::fmt;

/// What became of one law.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It was not tried, and why: the implementation does not claim what the law is about.
    Skipped(String),
    /// It does not hold, and how that showed.
    Failed(String),
}

/// The verdict on one law.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The law's name, as the suite's documentation gives it.
    pub law: &'static str,
    /// What became of it.
    pub verdict: Verdict,
}

/// The findings of one run of a suite on one implementation.
///
/// [`Display`](fmt::Display) gives one line for each law.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The implementation's own name.
    pub subject: String,
    /// One for each law, in the suite's order.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(subject: String) -> Self {
        Self { subject, findings: Vec::new() }
    }

    pub(super) fn add(&mut self, law: &'static str, verdict: Verdict) {
        self.findings.push(Finding { law, verdict });
    }

    /// True when no law failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The laws that hold.
    pub fn passed(&self) -> impl Iterator<Item = &'static str> {
        self.findings.iter().filter(|finding| finding.verdict == Verdict::Passed).map(|finding| finding.law)
    }

    /// The laws that do not hold, each with how that showed.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.findings.iter().filter_map(|finding| match &finding.verdict {
            Verdict::Failed(message) => Some((finding.law, message.as_str())),
            _ => None,
        })
    }

    /// The laws that were not tried, each with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.findings.iter().filter_map(|finding| match &finding.verdict {
            Verdict::Skipped(reason) => Some((finding.law, reason.as_str())),
            _ => None,
        })
    }

    /// The report itself when every law holds or was skipped; otherwise an error that lists the broken ones.
    ///
    /// # Errors
    /// [`ErrorKind::Other`](crate::ErrorKind::Other) with one line for each broken law.
    pub fn into_result(self) -> Result<Self> {
        if self.is_ok() {
            return Ok(self);
        }
        let broken: Vec<String> =
            self.failures().map(|(law, message)| format!("\n  {law}: {message}")).collect();
        Err(Error::other(format!("{} laws of the contract do not hold:{}", broken.len(), broken.concat()))
            .with_component(self.subject))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} passed, {} failed, {} skipped",
            self.subject,
            self.passed().count(),
            self.failures().count(),
            self.skipped().count()
        )?;
        for finding in &self.findings {
            match &finding.verdict {
                Verdict::Passed => writeln!(f, "  pass  {}", finding.law)?,
                Verdict::Skipped(reason) => writeln!(f, "  skip  {} ({reason})", finding.law)?,
                Verdict::Failed(message) => writeln!(f, "  FAIL  {}: {message}", finding.law)?,
            }
        }
        Ok(())
    }
}
