//! What the backup has done: for metrics and health, and over restarts.

use aeth_core::observe::{Collector, Counter, MetricsSource, standard};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// What is kept over restarts, beside the data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When the last successful run ended, in seconds since the Unix epoch.
    pub(crate) last_success: Option<u64>,
    /// How long it took, in seconds.
    pub(crate) duration: f64,
    /// Bytes of the sources in it.
    pub(crate) size: u64,
    /// Bytes that it added.
    pub(crate) added: u64,
    /// When a restore last proved a restore point good, in seconds since the Unix epoch.
    pub(crate) verified: Option<u64>,
    /// Why the last run failed, if it did.
    pub(crate) failure: Option<String>,
    /// The locations that the last successful run did not reach.
    pub(crate) lagging: Vec<String>,
    /// Items that the last successful run left out.
    #[serde(default)]
    pub(crate) skipped: u64,
    /// The locations that have held the repository. One of them that is empty is more likely not mounted than
    /// new.
    #[serde(default)]
    pub(crate) reached: BTreeSet<String>,
}

/// The record of a storage's backups.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    kept: parking_lot::RwLock<Kept>,
    pub(crate) runs: Counter,
    pub(crate) failures: Counter,
    pub(crate) skipped: Counter,
}

impl Record {
    /// Reads what an earlier process left; a missing or damaged file means that nothing is known, which health
    /// then says. Blocks on I/O.
    pub(crate) fn load(path: PathBuf) -> Self {
        let kept = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self {
            path,
            kept: parking_lot::RwLock::new(kept.unwrap_or_default()),
            runs: Counter::new(),
            failures: Counter::new(),
            skipped: Counter::new(),
        }
    }

    pub(crate) fn kept(&self) -> Kept {
        self.kept.read().clone()
    }

    /// Changes the record and writes it down. Blocks on I/O; a failure to write costs knowledge after a
    /// restart, not data, and is logged.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Kept)) {
        let text = {
            let mut kept = self.kept.write();
            change(&mut kept);
            serde_json::to_vec_pretty(&*kept)
        };
        let temporary = self.path.with_extension("tmp");
        let written = text
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&temporary, text))
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        if let Err(error) = written {
            tracing::warn!(%error, "the record of the backups could not be written");
        }
    }
}

impl MetricsSource for Record {
    fn component(&self) -> Cow<'_, str> {
        "backup".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "seconds and bytes are exact far beyond any real figure")]
    fn collect(&self, out: &mut dyn Collector) {
        let labels = [("plan", "storage")];
        let kept = self.kept.read();
        if let Some(at) = kept.last_success {
            out.gauge(&standard::backup::LAST_SUCCESS, &labels, at as f64);
            out.gauge(&standard::backup::DURATION, &labels, kept.duration);
            out.gauge(&standard::backup::SIZE, &labels, kept.size as f64);
            out.gauge(&standard::backup::ADDED, &labels, kept.added as f64);
        }
        if let Some(at) = kept.verified {
            out.gauge(&standard::backup::VERIFIED, &labels, at as f64);
        }
        out.counter(&standard::backup::RUNS, &labels, self.runs.get());
        out.counter(&standard::backup::FAILURES, &labels, self.failures.get());
        out.counter(&standard::backup::SKIPPED, &labels, self.skipped.get());
    }
}

/// Seconds, from a duration since the Unix epoch.
pub(crate) fn seconds(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
