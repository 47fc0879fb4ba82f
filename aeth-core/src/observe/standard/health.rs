//! Health as metrics. All carry [`labels::COMPONENT`].
//!
//! [`labels::COMPONENT`]: super::labels::COMPONENT

use crate::observe::{Descriptor, Unit};

/// The verdict: 0 up, 1 degraded, 2 down.
pub const STATUS: Descriptor =
    Descriptor::gauge("aeth_health_status", "Health of the component: 0 up, 1 degraded, 2 down.");
/// How long the last check took.
pub const LATENCY: Descriptor =
    Descriptor::gauge("aeth_health_check_duration_seconds", "How long the last check took.")
        .with_unit(Unit::Seconds);

/// The section.
pub const ALL: &[Descriptor] = &[STATUS, LATENCY];
