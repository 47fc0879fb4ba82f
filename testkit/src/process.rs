//! Programs under test: run them, watch them, kill them.

use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Whether this process is root, who ignores file modes and may mount.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sends SIGKILL to the process group that `pid` leads; a group that is gone already is a success.
///
/// # Errors
/// As the system answers: not permitted.
pub fn kill_group(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    match kill_process_group(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Sends SIGKILL to `pid` and all its descendants, which `/proc` tells: for programs that stay in our own
/// process group, so that a terminal's Ctrl-C reaches them too.
pub fn kill_tree(pid: u32) {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name in parentheses: the state, then the parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent| (child, parent)));
    }
    let mut doomed = vec![pid];
    let mut at = 0;
    while let Some(&parent) = doomed.get(at) {
        doomed.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(child, _)| *child));
        at += 1;
    }
    for pid in doomed.into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
        // One that ended meanwhile is what is wanted.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// A program under test, in a process group of its own, its output collected while it runs. Killed on drop.
#[derive(Debug)]
pub struct Subject {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    started: Instant,
    peak: u64,
}

/// How a [`Subject`] ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
    /// The most resident memory that [`Subject::wait`] saw, in bytes; 0 where there is no `/proc`.
    pub peak_memory: u64,
}

impl Ended {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Both outputs, for a failure's message.
    #[must_use]
    pub fn output(&self) -> String {
        format!("exit {:?}, signal {:?}\n{}{}", self.code, self.signal, self.stdout, self.stderr)
    }
}

impl Subject {
    /// Starts `command` with no standard input.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self { child, stdout, stderr, started: Instant::now(), peak: 0 }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; after `limit` it is killed and the call panics.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        while self.running() {
            if Instant::now() >= deadline {
                let ended = self.kill();
                panic!("still running after {limit:?}: {}", ended.output());
            }
            // The kernel keeps the high-water mark, so looking rarely loses only the last moments.
            self.peak = self.peak.max(peak_memory(self.pid()));
            std::thread::sleep(Duration::from_millis(5));
        }
        self.finish()
    }

    /// Sends SIGKILL to it and all that it started, and waits for its end.
    pub fn kill(mut self) -> Ended {
        self.kill_now();
        self.finish()
    }

    /// Lets it run for `delay`, then kills it; one that ends before is left to its own end.
    pub fn kill_after(mut self, delay: Duration) -> Ended {
        let deadline = self.started + delay;
        while self.running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.kill()
    }

    fn kill_now(&self) {
        // The group may be gone: that is what is wanted.
        drop(kill_group(self.child.id()));
    }

    fn finish(&mut self) -> Ended {
        let status = self.child.wait().expect("a child that this process started can be waited for");
        let took = self.started.elapsed();
        let text =
            |reader: Option<JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
        Ended {
            code: status.code(),
            signal: status.signal(),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
            took,
            peak_memory: self.peak,
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if self.running() {
            self.kill_now();
            drop(self.child.wait());
        }
    }
}

fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A reader that fails half-way still shows what came before.
        drop(from.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
