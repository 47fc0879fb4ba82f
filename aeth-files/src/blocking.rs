//! Blocking work, off the runtime's reactor threads.

use aeth_core::{Error, Result};

/// Runs blocking work on the runtime's blocking threads.
///
/// A caller that is dropped does not stop it: it runs to its end in the background, which is why everything
/// that it does must be whole when it ends.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    join(tokio::task::spawn_blocking(work).await)
}

/// The result of blocking work that was awaited.
pub(crate) fn join<T>(joined: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    match joined {
        Ok(result) => result,
        Err(error) if error.is_cancelled() => {
            Err(Error::closed("the runtime is shutting down").with_source(error))
        }
        Err(error) => Err(Error::other("the blocking work panicked").with_source(error)),
    }
}
