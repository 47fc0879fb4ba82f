//! The laws of [`BackupSink`].
//!
//! They need a sink without a configuration, of their own: objects have no prefix to hide under. What can be
//! removed is removed again.

mod list;
mod read;
mod remove;
mod subject;
mod write;

use super::{Report, law};
use crate::backup::BackupSink;
use std::time::Duration;
pub use subject::SinkSubject;

super::law::laws! { SinkSubject;
    "what-is-written-comes-back" => write::what_is_written_comes_back,
    "writing-again-is-success" => write::writing_again_is_success,
    "a-torn-object-is-repaired" => write::a_torn_object_is_repaired,
    "the-config-is-created-once" => write::the_config_is_created_once,
    "the-config-has-one-winner" => write::the_config_has_one_winner,
    "a-sidecar-is-replaced" => write::a_sidecar_is_replaced,
    "concurrent-writes-are-all-there" => write::concurrent_writes_are_all_there,
    "a-dropped-write-is-whole-or-nothing" => write::a_dropped_write_is_whole_or_nothing,
    "a-range-gives-exactly-its-bytes" => read::a_range_gives_exactly_its_bytes,
    "a-missing-object-is-not-found" => read::a_missing_object_is_not_found,
    "kinds-are-apart" => list::kinds_are_apart,
    "a-listing-has-every-object" => list::a_listing_has_every_object,
    "remove-takes-exactly-its-objects" => remove::remove_takes_exactly_its_objects,
    "append-only-keeps-what-lasts" => remove::append_only_keeps_what_lasts,
    "keeping-is-not-pretended" => remove::keeping_is_not_pretended,
}

/// How long one law may take before it counts as hung.
const LIMIT: Duration = Duration::from_secs(120);

/// Checks every law on a sink that has no configuration yet.
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
///
/// # Cancel safety
/// Cancel-safe; what the law at hand had written stays.
pub async fn run_all(sink: impl BackupSink) -> Report {
    SinkSubject::new(sink).run().await
}

impl SinkSubject {
    /// Checks every law.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel-safe; what the law at hand had written stays.
    pub async fn run(&self) -> Report {
        law::run(self, LAWS, LIMIT).await
    }

    /// Checks the laws with these names; names that no law has are left out.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_some(&self, names: &[&str]) -> Report {
        law::run(self, LAWS.iter().filter(|law| names.contains(&law.name())), LIMIT).await
    }
}
