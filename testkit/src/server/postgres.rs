//! A private PostgreSQL cluster.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use super::supervisor::Supervised;
use super::{certificate, free_port, template};
use crate::dir::service_dir;
use crate::tool::{self, outcome};

/// A PostgreSQL cluster of its own, stopped on drop.
///
/// It trusts every local connection as `postgres`, over the loopback interface and over a socket in
/// [`socket_dir`](Self::socket_dir); replication is open (`wal_level = logical`, ten senders). `fsync` is off:
/// killing the server loses nothing that way, only a power cut would.
#[derive(Debug)]
pub struct Postgres {
    server: Supervised,
    bin: PathBuf,
    settings: Vec<String>,
    port: u16,
    databases: AtomicU32,
    // After the server: it must be gone before its directory is.
    dir: TempDir,
}

/// Options of a [`Postgres`] to start.
#[derive(Clone, Debug, Default)]
pub struct PostgresBuilder {
    settings: Vec<String>,
    access: Option<String>,
    tls: Option<String>,
    stranger: bool,
}

impl PostgresBuilder {
    /// Adds a setting as `postgresql.conf` names it.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// Replaces the rules of who may connect how (`pg_hba.conf`). `psql` and the waiting for readiness use the
    /// loopback interface as `postgres`, so leave that trusted for what they need.
    #[must_use]
    pub fn access(mut self, rules: &str) -> Self {
        self.access = Some(format!("{rules}\n"));
        self
    }

    /// Initialises the cluster anew. The others are copies of one and have its system identifier, as if they were
    /// one cluster's.
    #[must_use]
    pub fn stranger(mut self) -> Self {
        self.stranger = true;
        self
    }

    /// Turns TLS on, with a certificate for `localhost` that signs itself; see [`Postgres::certificate`].
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = Some(certificate::LOCAL.into());
        self
    }

    /// Turns TLS on, with a certificate for a host of another name than this one's.
    #[must_use]
    pub fn tls_for(mut self, host: &str) -> Self {
        self.tls = Some(format!("DNS:{host}"));
        self
    }

    /// Starts an empty cluster and waits until it accepts connections.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Postgres {
        let bin = tool::postgres_bin().unwrap_or_else(|missing| panic!("{missing}"));
        let dir = service_dir();
        let data = dir.path().join("data");
        if self.stranger {
            template::initdb(&bin, &data);
        } else {
            template::copy_to(&bin, &data);
        }
        if let Some(rules) = &self.access {
            std::fs::write(data.join("pg_hba.conf"), rules).expect("the new cluster can be written");
        }
        if let Some(names) = &self.tls {
            certificate::make(dir.path(), names);
            self.settings.push("ssl=on".into());
            self.settings.push(format!("ssl_cert_file={}", dir.path().join("server.crt").display()));
            self.settings.push(format!("ssl_key_file={}", dir.path().join("server.key").display()));
        }
        self.launch(bin, dir)
    }

    /// Starts a streaming standby of `primary`, made by `pg_basebackup`.
    #[must_use]
    #[track_caller]
    pub fn start_standby(self, primary: &Postgres) -> Postgres {
        let dir = service_dir();
        let mut command = template::as_server_account(primary.program("pg_basebackup"));
        command.current_dir("/").arg("-D").arg(dir.path().join("data"));
        command.args([
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
            "-U",
            "postgres",
            "-h",
            "127.0.0.1",
            "-p",
        ]);
        command.arg(primary.port.to_string());
        let output = command.output().expect("pg_basebackup starts");
        outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}"));
        self.launch(primary.bin.clone(), dir)
    }

    /// Starts a server on a data directory that something else made at `dir/data`, such as a restore.
    /// The servers' account must own it; see [`Postgres::prepare`].
    #[must_use]
    #[track_caller]
    pub fn start_in(self, dir: TempDir) -> Postgres {
        let bin = tool::postgres_bin().unwrap_or_else(|missing| panic!("{missing}"));
        self.launch(bin, dir)
    }

    #[track_caller]
    fn launch(self, bin: PathBuf, dir: TempDir) -> Postgres {
        for _ in 0..5 {
            let port = free_port();
            let server = launch(&bin, dir.path(), port, &self.settings);
            if server.wait_until(|| accepts(&bin, port)) {
                let databases = AtomicU32::new(0);
                return Postgres { server, bin, settings: self.settings, port, databases, dir };
            }
            let log = server.log();
            assert!(log.contains("could not bind"), "postgres did not start:\n{log}");
        }
        panic!("postgres found every port taken")
    }
}

impl Postgres {
    /// Starts an empty cluster.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Chooses settings first.
    #[must_use]
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// One cluster for all the tests of this process; take a [`database`](Self::database) for each.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// An empty directory for [`PostgresBuilder::start_in`]; after filling `data` in it, call
    /// [`prepare`](Self::prepare).
    #[must_use]
    pub fn empty_dir() -> TempDir {
        service_dir()
    }

    /// Gives everything under `dir` to the servers' account, with the modes that postgres demands.
    #[track_caller]
    pub fn prepare(dir: &TempDir) {
        let data = dir.path().join("data");
        if let Some(account) = crate::account::for_servers() {
            let mut command = Command::new("chown");
            command.arg("-R").arg(format!("{}:{}", account.uid, account.gid)).arg(&data);
            let output = command.output().expect("chown is part of every system");
            outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}"));
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&data, mode).unwrap_or_else(|e| panic!("{}: {e}", data.display()));
    }

    /// Creates an empty database and gives its name.
    #[track_caller]
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// `postgres://postgres@127.0.0.1:PORT/DATABASE`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The postmaster's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// One of the server's own programs: `program("pg_verifybackup")`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Runs SQL through `psql` and gives its rows, unaligned, columns separated by `|`; panics on an error.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(self.program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", "127.0.0.1"]);
        command.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]);
        let output = command.output().expect("psql starts");
        outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}")).trim_end().to_owned()
    }

    /// Makes a standby a primary. Not by SQL: a standby cancels queries that are in its log's way.
    #[track_caller]
    pub fn promote(&self) {
        let mut command = template::as_server_account(self.program("pg_ctl"));
        command.current_dir("/").args(["promote", "-w", "-s", "-D"]).arg(self.data_dir());
        let output = command.output().expect("pg_ctl starts");
        outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Makes a standby follow another primary: the one that was promoted.
    #[track_caller]
    pub fn follow(&self, primary: &Self) {
        let from = format!("host=127.0.0.1 port={} user=postgres", primary.port);
        self.psql("postgres", &format!("ALTER SYSTEM SET primary_conninfo = '{from}'"));
        self.psql("postgres", "SELECT pg_reload_conf()");
    }

    /// The certificate of a server with TLS, which is its own authority.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("server.crt")
    }

    /// Ends the server at once, as a crash does; [`restart`](Self::restart) brings it back through recovery.
    pub fn kill(&mut self) {
        self.server.stop("QUIT");
    }

    /// Ends the server in order.
    pub fn stop(&mut self) {
        self.server.stop("INT");
    }

    /// Starts it again on the same port and data, without waiting until it takes connections.
    pub fn restart_unready(&mut self) {
        self.server.stop("INT");
        self.server = launch(&self.bin, self.dir.path(), self.port, &self.settings);
    }

    /// Starts it again on the same port and data.
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_unready();
        let up = self.server.wait_until(|| accepts(&self.bin, self.port));
        assert!(up, "postgres did not start again:\n{}", self.server.log());
    }

    /// Freezes the postmaster: nobody new gets in; connections that stand go on.
    pub fn pause(&self) {
        self.server.signal(Signal::STOP);
    }

    /// Lets a frozen postmaster go on.
    pub fn resume(&self) {
        self.server.signal(Signal::CONT);
    }

    /// Freezes the whole server, as a machine that hangs: connections stand, and nothing answers. Linux only.
    pub fn freeze(&self) {
        self.pause();
        self.server.signal_children(Signal::STOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server.signal_children(Signal::CONT);
        self.resume();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Not by SIGKILL: its children would be left to find out by themselves.
        self.server.stop("QUIT");
    }
}

fn launch(bin: &Path, dir: &Path, port: u16, settings: &[String]) -> Supervised {
    let fixed = [
        format!("port={port}"),
        format!("unix_socket_directories={}", dir.display()),
        "listen_addresses=127.0.0.1".into(),
        "fsync=off".into(),
        "wal_level=logical".into(),
        "max_wal_senders=10".into(),
        // Two base backups at once must not take the log from one another, nor a standby that was away lose it.
        "wal_keep_size=256MB".into(),
        "max_connections=200".into(),
        "shared_buffers=64MB".into(),
        "logging_collector=off".into(),
    ];
    let mut args: Vec<OsString> = vec!["-D".into(), dir.join("data").into_os_string()];
    for setting in fixed.iter().chain(settings) {
        args.extend(["-c".into(), OsString::from(setting)]);
    }
    Supervised::start(dir, &bin.join("postgres"), &args, "QUIT")
}

fn accepts(bin: &Path, port: u16) -> bool {
    let mut command = Command::new(bin.join("pg_isready"));
    command.args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]);
    command.status().is_ok_and(|status| status.success())
}
