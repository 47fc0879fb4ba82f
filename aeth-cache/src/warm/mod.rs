//! Starting warm: what was hot is remembered across a restart, and nothing that was over comes back with it.

mod file;
mod heat;
mod options;
mod place;
mod restore;
mod save;
mod up;

pub(crate) use heat::Heat;
pub use options::Warming;
pub use restore::RestoreReport;
pub use up::{WarmProgress, WarmReport, Warmup};

use place::Place;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const KEYS: &str = "keys.aetw";
const VALUES: &str = "values.aetw";
/// How long one visit to the place may take.
const VISIT: Duration = Duration::from_secs(30);

/// The warming of one process.
#[derive(Debug)]
pub(crate) struct Warmth {
    options: Warming,
    saving: AtomicBool,
}

impl Warmth {
    pub(crate) fn new(options: Warming) -> Self {
        Self { options, saving: AtomicBool::new(false) }
    }
}
