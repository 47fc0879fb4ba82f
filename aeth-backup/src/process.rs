//! Commands of this machine, run so that nothing of them is left behind.

use aeth_core::{ByteStream, Error, Result};
use bytes::BytesMut;
use futures_util::StreamExt;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// Bytes asked from a command's output at once.
const READ: usize = 256 << 10;
/// The most that is kept of what a command says of its failure.
const TAIL: usize = 2 << 10;

/// A command of this machine: no shell is involved. Its input is empty, it is killed with everything that it
/// started when it is not waited for, and the last line that it writes to its standard error is in the error
/// when it fails.
///
/// ```
/// use aeth_backup::ExternalCommand;
/// let dump = ExternalCommand::new("pg_dump").args(["--format=custom", "app"]).env("PGHOST", "/run/postgresql");
/// assert_eq!(format!("{dump:?}"), "ExternalCommand(\"pg_dump\", 2 arguments)");
/// ```
#[derive(Clone)]
pub struct ExternalCommand {
    program: OsString,
    args: Vec<OsString>,
    /// `None` takes a variable away.
    envs: Vec<(OsString, Option<OsString>)>,
    dir: Option<PathBuf>,
}

impl fmt::Debug for ExternalCommand {
    /// Without arguments and variables, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalCommand({:?}, {} arguments)", self.program, self.args.len())
    }
}

impl ExternalCommand {
    /// A program, by path or by its name on `PATH`.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), envs: Vec::new(), dir: None }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment; the others are those of this process.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), Some(value.into())));
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), None));
        self
    }

    /// Runs it in this directory. Default: that of this process.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// Starts it in a process group of its own.
    fn start(&self, output: Stdio) -> Result<Running> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(output).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        for (name, value) in &self.envs {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let mut child = command.spawn().map_err(|error| {
            Error::from_io(error)
                .with_operation("start the command")
                .with_key(self.shown())
                .with_remedy("check that the program is installed and may be run")
        })?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Ok(Running { shown: self.shown(), child, group, output, errors, tail: Vec::new() })
    }

    fn shown(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// Runs it to its end; its output is dropped.
    pub(crate) async fn run(&self) -> Result<()> {
        self.start(Stdio::null())?.finish().await
    }

    /// Runs it to its end and gives its output, of at most `limit` bytes.
    pub(crate) async fn output(&self, limit: usize) -> Result<Vec<u8>> {
        let mut stream = self.stream()?;
        let mut output = Vec::new();
        while let Some(bytes) = stream.next().await {
            output.extend_from_slice(&bytes?);
            if output.len() > limit {
                return Err(Error::invalid(format!("its output has more than {limit} bytes"))
                    .with_operation("run the command")
                    .with_key(self.shown()));
            }
        }
        Ok(output)
    }

    /// Its output as it comes. The stream fails at its end when the command does.
    pub(crate) fn stream(&self) -> Result<ByteStream> {
        let running = self.start(Stdio::piped())?;
        let stream = futures_util::stream::unfold(Some(running), |running| async {
            let mut running = running?;
            match running.read().await {
                Ok(Some(bytes)) => Some((Ok(bytes.freeze()), Some(running))),
                Ok(None) => running.finish().await.err().map(|error| (Err(error), None)),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(stream.boxed())
    }
}

/// A command that was started. Dropping it kills it and what it started.
struct Running {
    shown: String,
    child: Child,
    group: Option<rustix::process::Pid>,
    output: Option<ChildStdout>,
    errors: Option<ChildStderr>,
    tail: Vec<u8>,
}

impl Running {
    /// The next piece of its output; `None` at its end. What it says meanwhile is kept.
    async fn read(&mut self) -> Result<Option<BytesMut>> {
        let mut bytes = BytesMut::with_capacity(READ);
        while let Some(output) = &mut self.output {
            tokio::select! {
                read = output.read_buf(&mut bytes) => {
                    let read = read.map_err(|error| Error::from_io(error).with_key(&self.shown))?;
                    return Ok((read > 0).then_some(bytes));
                }
                () = listen(&mut self.errors, &mut self.tail), if self.errors.is_some() => {}
            }
        }
        Ok(None)
    }

    /// Waits for its end.
    async fn finish(mut self) -> Result<()> {
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status,
                () = listen(&mut self.errors, &mut self.tail), if self.errors.is_some() => {}
            }
        };
        let status = status.map_err(|error| Error::from_io(error).with_key(&self.shown))?;
        // What it wrote last may still be in the pipe; a child of its own may hold the pipe open, so that there is
        // no end to wait for.
        while self.errors.is_some() {
            let heard = listen(&mut self.errors, &mut self.tail);
            if futures_util::FutureExt::now_or_never(heard).is_none() {
                break;
            }
        }
        if status.success() { Ok(()) } else { Err(self.failure(status)) }
    }

    fn failure(&self, status: ExitStatus) -> Error {
        let said = String::from_utf8_lossy(&self.tail);
        let said = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let message = match said {
            Some(said) => format!("the command failed ({status}): {said}"),
            None => format!("the command failed ({status})"),
        };
        Error::other(message).with_operation("run the command").with_key(&self.shown)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A child that was waited for has no id any more, and its number may be another's.
        if let (Some(group), Some(_)) = (self.group, self.child.id()) {
            // It may have ended meanwhile.
            let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Takes in one piece of what a command says, and forgets the source at its end.
async fn listen<R: AsyncRead + Unpin>(source: &mut Option<R>, tail: &mut Vec<u8>) {
    let Some(errors) = source else { return };
    let mut buffer = [0; 1024];
    match errors.read(&mut buffer).await {
        Ok(read) if read > 0 => {
            tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let surplus = tail.len().saturating_sub(TAIL);
            tail.drain(..surplus);
        }
        _ => *source = None,
    }
}
