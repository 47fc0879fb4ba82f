//! The laws of [`BlobStore`].
//!
//! They hold for every store and every layer. A law about a [`Capability`](crate::blob::Capability) is skipped
//! where it is not claimed, except that the suite then checks that calls which need it are refused with
//! `Unsupported`.

mod attributes;
mod cancel;
mod concurrent;
mod conditional;
mod copy;
mod delete;
mod honesty;
mod list;
mod names;
mod pages;
mod range;
mod read;
mod rename;
mod subject;
mod upload;
mod upload_faults;
mod upload_plain;
mod write;

use super::{Report, law};
use crate::blob::BlobStore;
use std::time::Duration;
pub use subject::BlobSubject;

super::law::laws! { BlobSubject;
    "put-then-get-gives-the-bytes" => write::put_then_get_gives_the_bytes,
    "large-streams-come-back-whole" => write::large_streams_come_back_whole,
    "a-stated-length-must-hold" => write::a_stated_length_must_hold,
    "put-is-all-or-nothing" => write::put_is_all_or_nothing,
    "a-put-is-invisible-until-it-returns" => write::a_put_is_invisible_until_it_returns,
    "overwrite-replaces-everything" => write::overwrite_replaces_everything,
    "a-checksum-is-verified" => write::a_checksum_is_verified,
    "create-keeps-what-is-there" => conditional::create_keeps_what_is_there,
    "create-has-one-winner" => conditional::create_has_one_winner,
    "match-demands-the-present-mark" => conditional::match_demands_the_present_mark,
    "compare-and-swap-loses-no-update" => conditional::compare_and_swap_loses_no_update,
    "a-condition-is-decided-at-completion" => conditional::a_condition_is_decided_at_completion,
    "a-missing-blob-is-not-found" => read::a_missing_blob_is_not_found,
    "a-head-has-no-body" => read::a_head_has_no_body,
    "a-mark-changes-with-the-bytes" => read::a_mark_changes_with_the_bytes,
    "conditional-get-follows-the-mark" => read::conditional_get_follows_the_mark,
    "conditional-get-follows-the-time" => read::conditional_get_follows_the_time,
    "an-open-read-never-mixes" => read::an_open_read_never_mixes,
    "a-range-gives-exactly-its-bytes" => range::a_range_gives_exactly_its_bytes,
    "a-range-outside-is-invalid" => range::a_range_outside_is_invalid,
    "a-suffix-counts-from-the-end" => range::a_suffix_counts_from_the_end,
    "ranges-cut-large-blobs-anywhere" => range::ranges_cut_large_blobs_anywhere,
    "attributes-come-back" => attributes::attributes_come_back,
    "tags-come-back" => attributes::tags_come_back,
    "delete-removes-exactly-its-paths" => delete::delete_removes_exactly_its_paths,
    "deleting-nothing-is-success" => delete::deleting_nothing_is_success,
    "a-deleted-path-is-free-again" => delete::a_deleted_path_is_free_again,
    "delete-takes-many-paths" => delete::delete_takes_many_paths,
    "a-copy-is-the-same-and-its-own" => copy::a_copy_is_the_same_and_its_own,
    "a-copy-of-nothing-is-not-found" => copy::a_copy_of_nothing_is_not_found,
    "a-copy-onto-itself-keeps-the-bytes" => copy::a_copy_onto_itself_keeps_the_bytes,
    "copy-create-keeps-the-target" => copy::copy_create_keeps_the_target,
    "copy-create-has-one-winner" => copy::copy_create_has_one_winner,
    "a-copy-can-replace-attributes" => copy::a_copy_can_replace_attributes,
    "a-copy-can-demand-a-mark" => copy::a_copy_can_demand_a_mark,
    "a-rename-moves" => rename::a_rename_moves,
    "a-rename-onto-itself-changes-nothing" => rename::a_rename_onto_itself_changes_nothing,
    "rename-create-keeps-both" => rename::rename_create_keeps_both,
    "an-atomic-rename-shows-one-path" => rename::an_atomic_rename_shows_one_path,
    "a-listing-is-in-byte-order" => list::a_listing_is_in_byte_order,
    "a-prefix-is-bytes" => list::a_prefix_is_bytes,
    "a-delimiter-groups" => list::a_delimiter_groups,
    "start-after-leaves-out-what-is-before" => list::start_after_leaves_out_what_is_before,
    "a-listing-agrees-with-heads" => list::a_listing_agrees_with_heads,
    "a-listing-of-nothing-is-empty" => list::a_listing_of_nothing_is_empty,
    "a-listing-follows-writes" => list::a_listing_follows_writes,
    "pages-add-up-to-the-listing" => pages::pages_add_up_to_the_listing,
    "a-foreign-token-is-invalid" => pages::a_foreign_token_is_invalid,
    "pages-skip-and-repeat-nothing-under-change" => pages::pages_skip_and_repeat_nothing_under_change,
    "odd-names-are-kept-as-they-are" => names::odd_names_are_kept_as_they_are,
    "hard-names-are-kept-or-refused" => names::hard_names_are_kept_or_refused,
    "a-path-may-extend-another-or-is-refused" => names::a_path_may_extend_another_or_is_refused,
    "an-upload-joins-its-parts" => upload::an_upload_joins_its_parts,
    "an-upload-is-invisible-until-complete" => upload::an_upload_is_invisible_until_complete,
    "an-upload-keeps-its-options" => upload::an_upload_keeps_its_options,
    "an-upload-can-be-resumed" => upload::an_upload_can_be_resumed,
    "an-upload-can-be-aborted" => upload::an_upload_can_be_aborted,
    "an-upload-decides-its-condition-at-completion" =>
        upload_faults::an_upload_decides_its_condition_at_completion,
    "an-upload-refuses-bad-parts" => upload_faults::an_upload_refuses_bad_parts,
    "a-failed-part-leaves-nothing" => upload_faults::a_failed_part_leaves_nothing,
    "a-plain-upload-joins-its-parts" => upload_plain::a_plain_upload_joins_its_parts,
    "a-plain-upload-refuses-what-it-cannot" => upload_plain::a_plain_upload_refuses_what_it_cannot,
    "the-report-is-constant" => honesty::the_report_is_constant,
    "what-is-not-claimed-is-refused" => honesty::what_is_not_claimed_is_refused,
    "large-conditions-are-honoured-or-refused" => honesty::large_conditions_are_honoured_or_refused,
    "presign-gives-a-secret-url" => honesty::presign_gives_a_secret_url,
    "two-handles-see-one-store" => honesty::two_handles_see_one_store,
    "readers-never-see-a-mixture" => concurrent::readers_never_see_a_mixture,
    "concurrent-calls-do-not-disturb-each-other" => concurrent::concurrent_calls_do_not_disturb_each_other,
    "a-dropped-put-leaves-the-old" => cancel::a_dropped_put_leaves_the_old,
    "dropped-calls-leave-old-or-new" => cancel::dropped_calls_leave_old_or_new,
}

/// How long one law may take before it counts as hung.
const LIMIT: Duration = Duration::from_secs(120);

/// Checks every law on a store, under a random prefix which it empties again. For more (a second handle, another
/// prefix, fewer rounds) take a [`BlobSubject`] and its [`run`](BlobSubject::run).
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
///
/// # Cancel safety
/// Cancel-safe; what the law at hand had written stays under the prefix.
pub async fn run_all(store: impl BlobStore) -> Report {
    BlobSubject::new(store).run().await
}

impl BlobSubject {
    /// Checks every law.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel-safe; what the law at hand had written stays under the prefix.
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
