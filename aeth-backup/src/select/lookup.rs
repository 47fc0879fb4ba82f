//! The snapshot that a name means.

use super::SnapshotFilter;
use crate::Id;
use crate::repo::{Repository, SnapshotEntry};
use aeth_core::{Error, Result};
use std::fmt;

/// The beginning of an id fits several. It is the [`source`](std::error::Error::source) of the error of kind
/// `Invalid` that a look-up ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AmbiguousId {
    /// What was given.
    pub beginning: String,
    /// What it fits, in order.
    pub candidates: Vec<Id>,
}

impl fmt::Display for AmbiguousId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` may be ", self.beginning)?;
        // As many digits as tell the candidates apart, and no fewer than people are used to.
        let texts: Vec<String> = self.candidates.iter().map(Id::to_string).collect();
        let unique = |length: usize| {
            let mut cut: Vec<_> = texts.iter().filter_map(|text| text.get(..length)).collect();
            cut.sort_unstable();
            cut.windows(2).all(|pair| pair.first() != pair.get(1))
        };
        let length = (8..64).find(|length| unique(*length)).unwrap_or(64);
        for (i, text) in texts.iter().take(5).enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{}", text.get(..length).unwrap_or(text))?;
        }
        match texts.len().checked_sub(5) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " or {more} more"),
        }
    }
}

impl std::error::Error for AmbiguousId {}

impl Repository {
    /// The snapshot that `name` means: a whole id, the beginning of one, or `latest`.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when the beginning fits several, with [`AmbiguousId`] as its source; `Corrupt` when
    /// the snapshot cannot be read.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn snapshot(&self, name: &str) -> Result<SnapshotEntry> {
        self.snapshot_matching(name, &SnapshotFilter::default()).await
    }

    /// [`Repository::snapshot`] where `latest` is the latest that passes `filter`. A snapshot that is named by its
    /// id is found whatever the filter says, as with restic.
    ///
    /// # Errors
    /// As [`Repository::snapshot`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn snapshot_matching(&self, name: &str, filter: &SnapshotFilter) -> Result<SnapshotEntry> {
        if name == "latest" {
            return self.snapshots_matching(filter).await?.pop().ok_or_else(|| {
                let error = Error::not_found("no snapshot is there that fits");
                if filter.is_empty() {
                    error.with_remedy("make one by a backup run")
                } else {
                    error.with_remedy("list the snapshots to see their hosts, tags and paths")
                }
            });
        }
        let id = match name.parse::<Id>() {
            Ok(id) => id,
            Err(_) => self.by_beginning(name).await?,
        };
        self.shared.snapshot(id).await.map_err(|error| match error.is_not_found() {
            true => no_such(name),
            false => error,
        })
    }

    async fn by_beginning(&self, name: &str) -> Result<Id> {
        let lower = name.to_ascii_lowercase();
        let mut fits = self.shared.snapshot_ids().await?;
        fits.retain(|id| !name.is_empty() && id.to_string().starts_with(&lower));
        match fits.as_slice() {
            [] => Err(no_such(name)),
            [id] => Ok(*id),
            several => Err(Error::invalid(format!("the id is the beginning of {} snapshots", several.len()))
                .with_key(name)
                .with_remedy("give more of its digits")
                .with_source(AmbiguousId { beginning: name.to_owned(), candidates: fits })),
        }
    }

    /// The snapshots that pass `filter`, the oldest first.
    ///
    /// # Errors
    /// `Corrupt` when a snapshot cannot be read, naming it; the sinks' own errors.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn snapshots_matching(&self, filter: &SnapshotFilter) -> Result<Vec<SnapshotEntry>> {
        let mut all = self.shared.snapshots().await?;
        all.retain(|entry| filter.matches(&entry.snapshot));
        Ok(all)
    }
}

fn no_such(name: &str) -> Error {
    Error::not_found("there is no such snapshot")
        .with_key(name)
        .with_remedy("list the snapshots; an id, its beginning or `latest` will do")
}
