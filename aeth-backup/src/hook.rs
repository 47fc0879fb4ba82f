//! What happens before and after a run.

use crate::Id;
use crate::process::ExternalCommand;
use crate::repo::Shared;
use aeth_core::{ClockExt, Error, Result};
use futures_util::future::BoxFuture;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How a run ended, as hooks after it are told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The snapshot was made, and nothing was left out.
    Complete(Id),
    /// The snapshot was made; something was left out or changed meanwhile, which the report names.
    Incomplete(Id),
    /// No snapshot was made: an error, or the run was cancelled.
    Failed,
}

impl Outcome {
    /// In one word: `complete`, `incomplete`, `failed`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Complete(_) => "complete",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }
}

type Call = dyn Fn(Option<Outcome>) -> BoxFuture<'static, Result<()>> + Send + Sync;

#[derive(Clone)]
enum Action {
    Call(Arc<Call>),
    Command(ExternalCommand),
}

/// Something that is done before or after a run: an async closure or a command of this machine, with a time limit.
///
/// Hooks [before](crate::Plan::before) the run come in their order, when the repository is locked and everything is ready, right
/// before the sources are read. When one fails, the run fails with its error and no snapshot is made, unless it is
/// [optional](Hook::optional). Hooks [after](crate::Plan::after) it always come once a hook before the run was begun (or there is
/// none), whether the run succeeded, failed, was cancelled or its future was dropped: what was stopped before is
/// started again. One that fails does not undo the snapshot: it is named in the report, which is then not
/// [complete](crate::BackupReport::is_complete), and the others come all the same.
///
/// A command after the run finds the outcome in `AETHERIUS_BACKUP_OUTCOME` (`complete`, `incomplete`, `failed`) and
/// the snapshot's id, if there is one, in `AETHERIUS_BACKUP_SNAPSHOT`.
///
/// ```
/// use aeth_backup::{ExternalCommand, Hook, Plan};
///
/// let plan = Plan::new()
///     .before(Hook::command("freeze", ExternalCommand::new("fsfreeze").args(["-f", "/srv"])))
///     .after(Hook::command("thaw", ExternalCommand::new("fsfreeze").args(["-u", "/srv"])))
///     .after(Hook::call("tell", |outcome| async move {
///         tracing::info!(?outcome, "the backup is over");
///         Ok(())
///     }).optional());
/// # let _ = plan;
/// ```
#[derive(Clone)]
pub struct Hook {
    name: String,
    action: Action,
    timeout: Duration,
    optional: bool,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Hook");
        shown.field("name", &self.name).field("timeout", &self.timeout).field("optional", &self.optional);
        if let Action::Command(command) = &self.action {
            shown.field("command", command);
        }
        shown.finish_non_exhaustive()
    }
}

impl Hook {
    /// An async closure; after the run it is given how that ended, before it `None`.
    pub fn call<F>(
        name: impl Into<String>,
        call: impl Fn(Option<Outcome>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        Self::new(name.into(), Action::Call(Arc::new(move |outcome| Box::pin(call(outcome)))))
    }

    /// A command of this machine.
    #[must_use]
    pub fn command(name: impl Into<String>, command: ExternalCommand) -> Self {
        Self::new(name.into(), Action::Command(command))
    }

    fn new(name: String, action: Action) -> Self {
        Self { name, action, timeout: Duration::from_secs(300), optional: false }
    }

    /// How long it may take before it counts as failed and is stopped. Default: 5 minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Its failure is reported and changes nothing else.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    async fn run(&self, shared: &Shared, outcome: Option<&Outcome>) -> Result<()> {
        // Boxed: a command has large buffers.
        let work = Box::pin(async {
            match &self.action {
                Action::Call(call) => call(outcome.cloned()).await,
                Action::Command(command) => {
                    let mut command = command.clone();
                    if let Some(outcome) = outcome {
                        command = command.env("AETHERIUS_BACKUP_OUTCOME", outcome.as_str());
                    }
                    if let Some(Outcome::Complete(id) | Outcome::Incomplete(id)) = outcome {
                        command = command.env("AETHERIUS_BACKUP_SNAPSHOT", id.to_string());
                    }
                    command.run().await
                }
            }
        });
        let result = shared.clock.timeout(self.timeout, work).await.and_then(|result| result);
        result.map_err(|error| error.with_component(format!("hook {}", self.name)))
    }
}

/// A hook that failed without ending the run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HookFailure {
    /// The hook's name.
    pub hook: String,
    /// Why it failed.
    pub error: Error,
    /// True when the hook was said to be optional.
    pub optional: bool,
}

/// The hooks of one run.
#[derive(Debug)]
pub(crate) struct Hooks {
    shared: Arc<Shared>,
    before: Vec<Hook>,
    /// Taken out when they run; what is left when this is dropped runs in the background.
    after: Vec<Hook>,
    begun: bool,
    failures: Vec<HookFailure>,
}

impl Hooks {
    pub(crate) fn new(shared: &Arc<Shared>, before: Vec<Hook>, after: Vec<Hook>) -> Self {
        Self { shared: Arc::clone(shared), before, after, begun: false, failures: Vec::new() }
    }

    /// Runs those before the run.
    pub(crate) async fn before(&mut self) -> Result<()> {
        self.begun = true;
        for hook in std::mem::take(&mut self.before) {
            if let Err(error) = hook.run(&self.shared, None).await {
                if !hook.optional {
                    return Err(error);
                }
                self.note(hook, error);
            }
        }
        Ok(())
    }

    /// Runs those after the run, if it came so far that there is something to end; gives all failures.
    pub(crate) async fn after(mut self, outcome: &Outcome) -> Vec<HookFailure> {
        while self.begun && !self.after.is_empty() {
            let hook = self.after.remove(0);
            // Dropped while it runs, it is stopped; those that are left go on in the background.
            if let Err(error) = hook.run(&self.shared, Some(outcome)).await {
                self.note(hook, error);
            }
        }
        std::mem::take(&mut self.failures)
    }

    fn note(&mut self, hook: Hook, error: Error) {
        tracing::warn!(hook = hook.name, %error, "a hook of the backup failed");
        self.failures.push(HookFailure { hook: hook.name, error, optional: hook.optional });
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        if !self.begun || self.after.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (shared, after) = (Arc::clone(&self.shared), std::mem::take(&mut self.after));
        drop(self.shared.tasks.spawn(async move {
            for hook in after {
                if let Err(error) = hook.run(&shared, Some(&Outcome::Failed)).await {
                    tracing::warn!(hook = hook.name, %error, "a hook of the backup failed");
                }
            }
        }));
    }
}
