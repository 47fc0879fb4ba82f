//! Keeps one server: starts it, and ends it when told to or when the owner is gone.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::account;

/// Starts the server, prints its pid, then waits for a line: a signal's name ends the server in order; the
/// end of the input means that the owner died: the server gets its `last` signal and its directory goes too. The last kill takes
/// whatever is left of the process group, this shell included.
const SCRIPT: &str = r#"
ulimit -c 0
log=$1 dir=$2 last=$3; shift 3
"$@" >>"$log" 2>&1 </dev/null &
pid=$!
echo "$pid"
orderly=1
read -r signal || { orderly=0; signal=$last; }
kill -s "$signal" "$pid" 2>/dev/null
kill -s CONT "$pid" 2>/dev/null
( sleep 20; kill -s KILL "$pid" ) >/dev/null 2>&1 &
wait "$pid"
[ "$orderly" = 1 ] || { sleep 0.2; rm -rf -- "$dir"; }
kill -s KILL -- "-$$"
"#;

/// How long a server may take to answer; generous, because a loaded machine is no fault of the test.
const READY: Duration = Duration::from_secs(60);

/// A server and the shell that watches over it.
#[derive(Debug)]
pub(crate) struct Supervised {
    shell: Child,
    orders: Option<ChildStdin>,
    pid: Pid,
    log: PathBuf,
}

impl Supervised {
    /// Starts `program args…` for the owner of `dir`, under the servers' account, logging to `dir/log`.
    /// `last` is the signal that ends it when the owner has died.
    #[track_caller]
    pub(crate) fn start(dir: &Path, program: &Path, args: &[OsString], last: &str) -> Self {
        Self::spawn(dir, program, args, last, account::for_servers())
    }

    /// The same under our own account.
    #[track_caller]
    pub(crate) fn start_as_owner(dir: &Path, program: &Path, args: &[OsString], last: &str) -> Self {
        Self::spawn(dir, program, args, last, None)
    }

    #[track_caller]
    fn spawn(
        dir: &Path,
        program: &Path,
        args: &[OsString],
        last: &str,
        account: Option<account::Account>,
    ) -> Self {
        let log = dir.join("log");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "server"]).arg(&log).arg(dir).arg(last).arg(program).args(args);
        command.current_dir(dir).env("LC_ALL", "C.UTF-8").env_remove("PGDATA").env_remove("PGPORT");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
        let mut shell = command.spawn().unwrap_or_else(|e| panic!("cannot start {}: {e}", program.display()));
        let orders = shell.stdin.take();
        let mut line = String::new();
        let out = shell.stdout.take().expect("stdout was asked for");
        BufReader::new(out).read_line(&mut line).expect("the supervisor's pipe can be read");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.unwrap_or_else(|| panic!("the supervisor of {} gave no pid", program.display()));
        Self { shell, orders, pid, log }
    }

    /// Waits until `ready` says so. `false` when the server ended before, or never answered.
    pub(crate) fn wait_until(&self, mut ready: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + READY;
        while Instant::now() < deadline {
            if ready() {
                return true;
            }
            if !self.alive() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether the server's process runs; one that ended and was not waited for yet does not.
    pub(crate) fn alive(&self) -> bool {
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid())) {
            Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')),
            Err(_) => !Path::new("/proc/self").exists() && kill_process(self.pid, Signal::CONT).is_ok(),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // A server that is gone already needs no signal.
        let _ = kill_process(self.pid, signal);
    }

    /// Signals the processes that the server has started.
    pub(crate) fn signal_children(&self, signal: Signal) {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for entry in entries {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // `pid (name) state parent …`
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent =
                stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
            if parent == Some(self.pid())
                && let Some(pid) = Pid::from_raw(pid)
            {
                // One that has ended meanwhile needs no signal.
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Ends the server by the signal `name` (`TERM`, `INT`, `QUIT`, `KILL`) and waits for its end.
    pub(crate) fn stop(&mut self, name: &str) {
        if let Some(mut orders) = self.orders.take() {
            // A supervisor that is gone took the server with it.
            drop(writeln!(orders, "{name}"));
            drop(orders.flush());
            drop(self.shell.wait());
        }
    }

    /// What the server logged, for a failure's message.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop("KILL");
    }
}
