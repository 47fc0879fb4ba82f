//! What was measured, by contestant and operation: of several rounds the best of each figure.

use std::collections::BTreeMap;

use super::data::{Amount, Set};
use super::spend::Spend;
use super::tools::Tool;

/// What a contestant was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    First,
    Fast,
    TwoSinks,
    ThreeSinks,
    IntoRestics,
    Unchanged,
    Restore,
    Check,
    Changed,
}

/// One figure of each kind.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) tool: String,
    pub(crate) cpu: f64,
    pub(crate) user: f64,
    pub(crate) wall: f64,
    /// Bytes of memory.
    pub(crate) peak: f64,
    /// Bytes that the repository has (first runs) or gained (later ones).
    pub(crate) stored: f64,
    /// Blobs that a run of ours made.
    pub(crate) data_blobs: f64,
    pub(crate) blobs: f64,
}

/// All figures of one data set.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) set: Set,
    pub(crate) input: Amount,
    all: BTreeMap<(Operation, &'static str), Figure>,
}

impl Figures {
    pub(crate) fn new(set: Set, input: Amount) -> Self {
        Self { set, input, all: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, tool: &Tool, operation: Operation, spent: &Spend, stored: u64) {
        let printed: serde_json::Value = serde_json::from_str(&spent.output).unwrap_or_default();
        let count = |name: &str| printed[name].as_f64().unwrap_or(0.0);
        let new = Figure {
            tool: tool.name().to_owned(),
            cpu: spent.cpu(),
            user: spent.user,
            wall: spent.wall,
            peak: spent.peak as f64,
            stored: stored as f64,
            data_blobs: count("data"),
            blobs: count("data") + count("trees"),
        };
        eprintln!(
            "{:<7}{:<12}{:<18}{:>7.2} CPU s ({:.2} user){:>7.2} s{:>6} MiB peak{:>11} KiB stored",
            self.set.name(),
            format!("{operation:?}"),
            new.tool,
            new.cpu,
            new.user,
            new.wall,
            spent.peak >> 20,
            stored >> 10,
        );
        self.all
            .entry((operation, tool.key()))
            .and_modify(|best| {
                best.cpu = best.cpu.min(new.cpu);
                best.user = best.user.min(new.user);
                best.wall = best.wall.min(new.wall);
                // Memory is a bound, so the worst counts.
                best.peak = best.peak.max(new.peak);
                best.stored = best.stored.min(new.stored);
                best.data_blobs = best.data_blobs.max(new.data_blobs);
                best.blobs = best.blobs.min(new.blobs);
            })
            .or_insert(new);
    }

    pub(crate) fn ours(&self, operation: Operation) -> Option<&Figure> {
        self.of(operation, "ours")
    }

    pub(crate) fn of(&self, operation: Operation, tool: &'static str) -> Option<&Figure> {
        self.all.get(&(operation, tool))
    }

    /// The peer with the smallest `figure`.
    pub(crate) fn best(&self, operation: Operation, figure: fn(&Figure) -> f64) -> Option<&Figure> {
        let peers = ["restic", "borg", "rustic"].iter().filter_map(|peer| self.of(operation, peer));
        peers.min_by(|a, b| figure(a).total_cmp(&figure(b)))
    }
}
