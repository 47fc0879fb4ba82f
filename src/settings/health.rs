//! Thresholds of health.

use super::Span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Thresholds of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HealthSettings {
    /// From how many per cent of a full disk on it is degraded. Default: 85; 1 to 100.
    pub disk_degraded_percent: u8,
    /// From how many per cent of a full disk on it is down. Default: 95; at least the one above.
    pub disk_down_percent: u8,
    /// How old the last successful backup may be before health is degraded. Default: 26 h.
    pub backup_max_age: Span,
    /// How old the last proof by a restore, a drill or a full check may be before health is degraded. Default:
    /// nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_max_unverified: Option<Span>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            disk_degraded_percent: 85,
            disk_down_percent: 95,
            backup_max_age: Span::new(Duration::from_secs(26 * 3_600)),
            backup_max_unverified: None,
        }
    }
}
