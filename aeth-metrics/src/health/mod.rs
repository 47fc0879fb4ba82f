//! Health of the components and of the whole.

mod component;
mod document;
mod registry;
mod report;

pub use component::{CheckOptions, ComponentHealth, Probe};
pub use document::HealthDocument;
pub use registry::{HealthOptions, HealthRegistry};
pub use report::HealthReport;
