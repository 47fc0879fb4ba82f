//! The health of the whole.

use super::{ComponentHealth, HealthDocument, Probe};
use aeth_core::observe::Status;

/// The answers of all checks that a probe asks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HealthReport {
    /// The probe that was answered.
    pub probe: Probe,
    /// The verdict: down when a critical component is down; degraded when anything is not up; else up.
    pub status: Status,
    /// The components, in the order of registration.
    pub components: Vec<ComponentHealth>,
}

impl HealthReport {
    pub(super) fn new(probe: Probe, components: Vec<ComponentHealth>) -> Self {
        let weigh = |component: &ComponentHealth| match component.health.status {
            Status::Up => Status::Up,
            Status::Down if component.critical => Status::Down,
            _ => Status::Degraded,
        };
        let status = components.iter().map(weigh).max().unwrap_or(Status::Up);
        Self { probe, status, components }
    }

    /// The HTTP status: 200 for up and degraded, 503 for down.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        if self.status == Status::Down { 503 } else { 200 }
    }

    /// The component's answer.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&ComponentHealth> {
        self.components.iter().find(|component| component.component == name)
    }

    /// As `application/health+json`.
    #[must_use]
    pub fn document(&self) -> HealthDocument {
        HealthDocument::new(self.status, &self.components)
    }
}

impl ComponentHealth {
    /// The HTTP status: 200 for up and degraded, 503 for down.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        if self.health.status == Status::Down { 503 } else { 200 }
    }

    /// As `application/health+json`.
    #[must_use]
    pub fn document(&self) -> HealthDocument {
        HealthDocument::new(self.health.status, std::slice::from_ref(self))
    }
}
