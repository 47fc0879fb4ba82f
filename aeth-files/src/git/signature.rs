//! Who commits.

use super::options::{GitArchiveOptions, seconds};
use gix::actor::Signature;
use gix::date::Time;
use std::time::SystemTime;

/// The archive's author at a time, in UTC.
pub(super) fn of(options: &GitArchiveOptions, at: SystemTime) -> Signature {
    Signature {
        name: options.author.trim().into(),
        email: options.email.trim().into(),
        time: Time::new(seconds(at), 0),
    }
}
