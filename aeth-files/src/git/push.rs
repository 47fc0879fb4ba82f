//! Pushing, by stock git, which knows every transport and every way to prove who one is.

use super::GitArchive;
use super::error::{COMPONENT, io};
use super::options::{branch, tag};
use crate::blocking::blocking;
use aeth_core::{Clock, Error, ErrorKind, Result, Secret};
use base64::Engine as _;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How much of what git says is kept.
const LISTEN: u64 = 64 << 10;

/// What is pushed, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PushOptions {
    /// The branches; default: that of the archive.
    pub branches: Vec<String>,
    /// The tags; default: all.
    pub tags: Option<Vec<String>>,
    /// Replace branches of the remote whose history is another; default: refuse.
    pub force: bool,
    /// The user and the token or password for `https`; default: what git's own configuration gives.
    pub login: Option<(String, Secret)>,
    /// The program; default `git`, looked up as a shell would.
    pub git: PathBuf,
    /// How long it may take; default 10 min.
    pub timeout: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            branches: Vec::new(),
            tags: None,
            force: false,
            login: None,
            git: "git".into(),
            timeout: Duration::from_secs(600),
        }
    }
}

impl PushOptions {
    /// Pushes these branches.
    #[must_use]
    pub fn with_branches(mut self, branches: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.branches = branches.into_iter().map(Into::into).collect();
        self
    }

    /// Pushes these tags and no others.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags = Some(tags.into_iter().map(Into::into).collect());
        self
    }

    /// Replaces branches of the remote whose history is another.
    #[must_use]
    pub fn with_force(mut self) -> Self {
        self.force = true;
        self
    }

    /// The user and the token or password for `https`. It reaches git by its environment, not its arguments.
    #[must_use]
    pub fn with_login(mut self, user: impl Into<String>, token: Secret) -> Self {
        self.login = Some((user.into(), token));
        self
    }

    /// The program.
    #[must_use]
    pub fn with_git(mut self, program: impl Into<PathBuf>) -> Self {
        self.git = program.into();
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl GitArchive {
    /// Pushes branches and tags to a remote (a path, `https://…`, `ssh://…`, `user@host:path`), all of them or none
    /// when the remote can do that. The large blobs do not go along: copy [`large_store`](Self::large_store) too.
    ///
    /// # Errors
    /// `Precondition` when the remote has what the archive does not have; `Denied`; `NotFound` for a repository
    /// that is not there; `Unavailable`; `Timeout`; `Unsupported` when git is not installed; `Invalid` for names
    /// that are none. Passwords in the remote's URL are not shown.
    ///
    /// # Cancel safety
    /// Git is stopped; the remote has the old references or the new ones.
    pub async fn push(&self, remote: &str, options: PushOptions) -> Result<()> {
        let shown = redact(remote, remote);
        let pushed = self.run_push(remote, &options).await;
        pushed.map_err(|error| error.with_operation("push").with_component(COMPONENT).with_key(shown))
    }

    async fn run_push(&self, remote: &str, options: &PushOptions) -> Result<()> {
        if remote.is_empty()
            || remote.starts_with('-')
            || remote.contains(['\0', '\n'])
            || remote.contains("::")
        {
            return Err(Error::invalid("this is no remote").with_remedy("give a path or a URL"));
        }
        let command = self.command(remote, options)?;
        let stop = Arc::new(AtomicBool::new(false));
        let _stop_on_drop = StopOnDrop(Arc::clone(&stop));
        let (clock, timeout, remote) =
            (Arc::clone(&self.0.options.clock), options.timeout, remote.to_owned());
        blocking(move || run(command, &*clock, timeout, &stop, &remote)).await
    }

    fn command(&self, remote: &str, options: &PushOptions) -> Result<Command> {
        let mut refs = Vec::new();
        let force = if options.force { "+" } else { "" };
        let own = [self.0.options.branch.clone()];
        for name in if options.branches.is_empty() { &own[..] } else { &options.branches } {
            let name = branch(name)?;
            refs.push(format!("{force}{0}:{0}", name.as_bstr()));
        }
        match &options.tags {
            None => refs.push(format!("{force}refs/tags/*:refs/tags/*")),
            Some(names) => {
                for name in names {
                    let name = tag(name)?;
                    refs.push(format!("{force}{0}:{0}", name.as_bstr()));
                }
            }
        }
        let mut command = Command::new(&options.git);
        command.arg("--git-dir").arg(&self.0.dir);
        command.args(["push", "--porcelain", "--no-progress", "--no-verify", "--"]).arg(remote).args(refs);
        // Nobody is there to be asked.
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh");
        if std::env::var_os("GIT_SSH_COMMAND").is_none() {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        if let Some((user, token)) = &options.login {
            let login = base64::engine::general_purpose::STANDARD
                .encode([user.as_bytes(), b":", token.expose()].concat());
            command.env("GIT_CONFIG_COUNT", "1");
            command.env("GIT_CONFIG_KEY_0", "http.extraHeader");
            command.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {login}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Ok(command)
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn run(
    mut command: Command,
    clock: &dyn Clock,
    timeout: Duration,
    stop: &AtomicBool,
    remote: &str,
) -> Result<()> {
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::unsupported("pushing needs the program git, which is not there")
                .with_remedy("install git, or name the program in the options")
                .with_source(error)
        }
        _ => io(error),
    })?;
    let said = [listen(child.stdout.take()), listen(child.stderr.take())];
    let began = clock.monotonic();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io)? {
            break status;
        }
        let late = clock.monotonic().saturating_sub(began) > timeout;
        if late || stop.load(Ordering::Relaxed) {
            end(&mut child);
            return Err(Error::timeout(format!("git did not end within {timeout:?}"))
                .with_remedy("see whether the remote answers, or raise the timeout"));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said: String = said.into_iter().map(|said| said.join().unwrap_or_default()).collect();
    if status.success() { Ok(()) } else { Err(failure(&said, remote)) }
}

/// Ends git and the programs that it started.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // One that ended meanwhile is what is wanted.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    drop(child.wait());
}

fn listen(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // A reader that fails half-way still has what came before; the rest must not block git.
            drop(from.by_ref().take(LISTEN).read_to_end(&mut bytes));
            drop(std::io::copy(&mut from, &mut std::io::sink()));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What git's words mean; they are those of the C locale.
fn failure(said: &str, remote: &str) -> Error {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let error = if says(&["[rejected]", "non-fast-forward", "fetch first", "stale info"]) {
        Error::new(ErrorKind::Precondition, "the remote has what the archive does not have")
            .with_remedy("fetch it with git and look, push to another branch, or force")
    } else if says(&["[remote rejected]"]) {
        Error::new(ErrorKind::Denied, "the remote does not accept the push")
            .with_remedy("see what it says, and the rules of the remote's branch")
    } else if says(&[
        "Authentication failed",
        "Permission denied",
        "could not read Username",
        "403",
        "Access denied",
    ]) {
        Error::new(ErrorKind::Denied, "the remote does not let us in")
            .with_remedy("give a login, or set up git's credentials or an SSH key")
    } else if says(&["does not appear to be a git repository", "not found", "does not exist"]) {
        Error::not_found("there is no such repository").with_remedy("make the repository at the remote first")
    } else if says(&["src refspec"]) {
        Error::not_found("the archive has no such branch or tag").with_remedy("commit first")
    } else if says(&[
        "Could not resolve",
        "Failed to connect",
        "Connection refused",
        "unable to access",
        "timed out",
        "Could not read from remote",
    ]) {
        Error::unavailable("the remote does not answer").with_remedy("try again later")
    } else {
        Error::other("git could not push")
    };
    error.with_source(redact(said, remote).trim().to_owned())
}

/// The text without the user and password of the remote's URL.
fn redact(text: &str, remote: &str) -> String {
    let login = remote.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
    match login {
        Some((login, _)) if !login.is_empty() => text.replace(&format!("{login}@"), "***@"),
        _ => text.to_owned(),
    }
}
