//! What all handles hold together.

use super::Shared;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Ends what nobody can ask for any more, when the last handle on the caches is gone: the namespaces and what they
/// share hold each other, and who listens to others would listen forever.
pub(crate) struct Held {
    shared: Arc<Shared>,
    /// Its receivers see its end.
    _alive: watch::Sender<()>,
}

impl Held {
    pub(super) fn new(shared: &Arc<Shared>, alive: watch::Sender<()>) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(shared), _alive: alive })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let spaces = std::mem::take(&mut *self.shared.spaces.lock());
        drop(spaces);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}
