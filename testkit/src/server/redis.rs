//! A private Redis.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::free_port;
use super::supervisor::Supervised;
use crate::dir::service_dir;
use crate::tool::{self, outcome};

/// A Redis server of its own, stopped on drop.
#[derive(Debug)]
pub struct Redis {
    server: Supervised,
    program: PathBuf,
    options: Vec<String>,
    port: u16,
    // After the server: it must be gone before its directory is.
    dir: TempDir,
}

/// Options of a [`Redis`] to start.
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    options: Vec<String>,
}

impl RedisBuilder {
    /// Adds a directive, as `redis.conf` names it: `option("maxmemory", "8mb")`.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Starts the server and waits until it answers.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Redis {
        let program =
            tool::tool("redis-server", "redis-server").unwrap_or_else(|missing| panic!("{missing}"));
        let dir = service_dir();
        for _ in 0..5 {
            let port = free_port();
            let server = launch(&program, dir.path(), port, &self.options);
            if server.wait_until(|| answers(port)) {
                return Redis { server, program, options: self.options, port, dir };
            }
            let log = server.log();
            assert!(log.contains("Address already in use"), "redis-server did not start:\n{log}");
        }
        panic!("redis-server found every port taken")
    }
}

impl Redis {
    /// Starts a server with Redis's own defaults, without persistence.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().option("save", "").option("appendonly", "no").start()
    }

    /// Chooses the server's options first.
    #[must_use]
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// One server for all the tests of this process. They share it: give each its own key prefix.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Runs `redis-cli ARGS` against it; panics with its output when it fails.
    #[track_caller]
    pub fn cli(&self, args: &[&str]) -> String {
        let program = tool::tool("redis-cli", "redis-tools").unwrap_or_else(|missing| panic!("{missing}"));
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).args(args);
        let output = command.output().expect("redis-cli starts");
        outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}")).trim_end().to_owned()
    }

    /// Ends the server at once, as a crash does; [`restart`](Self::restart) brings it back.
    pub fn kill(&mut self) {
        self.server.stop("KILL");
    }

    /// Ends the server in order, saving what its options say.
    pub fn stop(&mut self) {
        self.server.stop("TERM");
    }

    /// Starts it again on the same port and directory.
    #[track_caller]
    pub fn restart(&mut self) {
        self.server.stop("TERM");
        self.server = launch(&self.program, self.dir.path(), self.port, &self.options);
        let up = self.server.wait_until(|| answers(self.port));
        assert!(up, "redis-server did not start again:\n{}", self.server.log());
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.server.signal(Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }
}

fn launch(program: &Path, dir: &Path, port: u16, options: &[String]) -> Supervised {
    let port = port.to_string();
    let fixed = ["--port", &port, "--bind", "127.0.0.1", "--daemonize", "no", "--logfile", ""];
    let mut args: Vec<OsString> = fixed.map(OsString::from).into();
    args.extend(["--dir".into(), dir.as_os_str().to_owned()]);
    args.extend(options.iter().map(OsString::from));
    Supervised::start(dir, program, &args, "KILL")
}

/// Whether a Redis answers there; one that asks for a password is up as well.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut reply = [0; 8];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut reply[..5]).is_ok()
        && (reply.starts_with(b"+PONG") || reply.starts_with(b"-NOAU"))
}
