//! The laws of [`CacheTier`].
//!
//! The contract lets a tier drop any entry at any time; the laws expect that it does not drop the few small
//! entries that they have just put.

mod batch;
mod concurrent;
mod entry;
mod expiry;
mod fence;
mod honesty;
mod lease;
mod namespace;
mod subject;
mod tag;
mod version;

use super::{Report, law};
use crate::Clock;
use crate::cache::CacheTier;
use std::sync::Arc;
use std::time::Duration;
pub use subject::TierSubject;

super::law::laws! { TierSubject;
    "an-entry-comes-back-as-it-was" => entry::an_entry_comes_back_as_it_was,
    "values-of-any-size" => entry::values_of_any_size,
    "keys-are-any-bytes" => entry::keys_are_any_bytes,
    "a-missing-key-is-a-miss" => entry::a_missing_key_is_a_miss,
    "a-put-replaces" => entry::a_put_replaces,
    "a-rejected-put-leaves-nothing" => entry::a_rejected_put_leaves_nothing,
    "answers-are-in-order" => batch::answers_are_in_order,
    "the-later-of-two-puts-wins" => batch::the_later_of_two_puts_wins,
    "remove-takes-exactly-its-keys" => batch::remove_takes_exactly_its_keys,
    "namespaces-are-apart" => namespace::namespaces_are_apart,
    "clear-empties-one-namespace" => namespace::clear_empties_one_namespace,
    "a-smaller-version-never-replaces" => version::a_smaller_version_never_replaces,
    "the-unversioned-always-replaces" => version::the_unversioned_always_replaces,
    "concurrent-versions-end-with-the-greatest" => version::concurrent_versions_end_with_the_greatest,
    "an-entry-ends-at-its-time" => expiry::an_entry_ends_at_its_time,
    "a-stale-entry-is-still-a-hit" => expiry::a_stale_entry_is_still_a_hit,
    "a-stale-entry-comes-with-the-lease" => expiry::a_stale_entry_comes_with_the_lease,
    "an-entry-of-the-past-is-a-miss" => expiry::an_entry_of_the_past_is_a_miss,
    "far-times-are-kept" => expiry::far_times_are_kept,
    "one-lease-is-granted" => lease::one_lease_is_granted,
    "a-fill-stores-once" => lease::a_fill_stores_once,
    "an-invented-lease-is-void" => lease::an_invented_lease_is_void,
    "a-lease-runs-out" => lease::a_lease_runs_out,
    "a-release-frees-the-lease" => lease::a_release_frees_the_lease,
    "leases-come-in-order" => lease::leases_come_in_order,
    "a-lease-has-one-winner" => lease::a_lease_has_one_winner,
    "a-put-voids-the-lease" => fence::a_put_voids_the_lease,
    "a-remove-voids-the-lease" => fence::a_remove_voids_the_lease,
    "a-clear-voids-the-leases" => fence::a_clear_voids_the_leases,
    "a-tag-voids-the-leases" => fence::a_tag_voids_the_leases,
    "other-keys-keep-their-leases" => fence::other_keys_keep_their_leases,
    "a-slow-loader-never-brings-back-the-old" => fence::a_slow_loader_never_brings_back_the_old,
    "a-tag-takes-its-entries" => tag::a_tag_takes_its_entries,
    "a-tag-is-the-whole-text" => tag::a_tag_is_the_whole_text,
    "a-tag-lets-later-entries-live" => tag::a_tag_lets_later_entries_live,
    "a-removed-entry-stays-away" => concurrent::a_removed_entry_stays_away,
    "concurrent-batches-do-not-mix" => concurrent::concurrent_batches_do_not_mix,
    "what-is-not-claimed-is-refused" => honesty::what_is_not_claimed_is_refused,
    "an-immediate-answer-agrees" => honesty::an_immediate_answer_agrees,
    "statistics-only-grow" => honesty::statistics_only_grow,
    "a-shared-tier-is-one" => honesty::a_shared_tier_is_one,
    "changes-by-others-are-told" => honesty::changes_by_others_are_told,
    "the-end-of-a-held-lease-is-told" => honesty::the_end_of_a_held_lease_is_told,
}

/// How long one law may take before it counts as hung.
const LIMIT: Duration = Duration::from_secs(60);

/// Checks every law on a tier which reads the time from `clock`, in random namespaces. Laws about time wait by
/// [`Clock::sleep`]; with a clock that a test owns, or with a second handle, take a [`TierSubject`] and its
/// [`run`](TierSubject::run).
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
///
/// # Cancel safety
/// Cancel-safe; what the law at hand had written stays.
pub async fn run_all(tier: impl CacheTier, clock: Arc<dyn Clock>) -> Report {
    TierSubject::new(tier, clock).run().await
}

impl TierSubject {
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
