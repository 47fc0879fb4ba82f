//! Forgetting snapshots: which ones a policy keeps, and why.
//!
//! The rules are restic's (its `internal/data/snapshot_policy.go`), to the last time zone.

#[cfg(all(test, feature = "integration"))]
mod against_restic;
mod apply;
mod calendar;
mod group;
mod policy;
mod reason;
mod run;
mod span;

pub use apply::{Kept, Retention};
pub use group::{GroupBy, GroupKey};
pub use policy::{Keep, RetentionPolicy};
pub use reason::{KeepReason, Period};
pub use run::{ForgetGroup, ForgetOptions, ForgetReport};
pub use span::Span;
