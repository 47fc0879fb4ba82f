//! A private PgBouncer before a private PostgreSQL.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::supervisor::Supervised;
use super::{Postgres, free_port};
use crate::dir::service_dir;
use crate::tool::tool as find;

/// A PgBouncer that pools transactions (unless told otherwise) on a free loopback port, stopped on drop.
#[derive(Debug)]
pub struct PgBouncer {
    server: Supervised,
    port: u16,
    // After the server: it must be gone before its directory is.
    _dir: TempDir,
}

/// Options of a [`PgBouncer`] to start.
#[derive(Clone, Debug)]
pub struct PgBouncerBuilder {
    settings: Vec<String>,
}

impl PgBouncerBuilder {
    /// Adds a setting as `pgbouncer.ini` names it; a later one wins.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name} = {value}"));
        self
    }

    /// Starts it before `postgres`, and waits until it accepts connections.
    #[must_use]
    #[track_caller]
    pub fn start(self, postgres: &Postgres) -> PgBouncer {
        let program = find("pgbouncer", "pgbouncer").unwrap_or_else(|missing| panic!("{missing}"));
        let ready = postgres.program("pg_isready");
        for _ in 0..5 {
            let dir = service_dir();
            let port = free_port();
            let server = self.launch(&program, dir.path(), port, postgres.port());
            if server.wait_until(|| accepts(&ready, port)) {
                return PgBouncer { server, port, _dir: dir };
            }
            let log = server.log();
            assert!(log.contains("in use"), "pgbouncer did not start:\n{log}");
        }
        panic!("pgbouncer found every port taken")
    }

    fn launch(&self, program: &Path, dir: &Path, port: u16, server: u16) -> Supervised {
        let config: PathBuf = dir.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             max_client_conn = 500\nserver_login_retry = 1\n{}\n",
            self.settings.join("\n")
        );
        std::fs::write(&config, text).expect("a directory that was just made");
        Supervised::start(dir, program, &[OsString::from(config)], "TERM")
    }
}

impl PgBouncer {
    /// Starts one before `postgres`, with four server connections for each database.
    #[must_use]
    #[track_caller]
    pub fn start(postgres: &Postgres) -> Self {
        Self::builder().start(postgres)
    }

    /// Chooses settings first.
    #[must_use]
    pub fn builder() -> PgBouncerBuilder {
        PgBouncerBuilder { settings: vec!["pool_mode = transaction".into(), "default_pool_size = 4".into()] }
    }

    /// `postgres://postgres@127.0.0.1:PORT/DATABASE`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.server.stop("TERM");
    }
}

fn accepts(ready: &Path, port: u16) -> bool {
    let mut command = Command::new(ready);
    command.args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-p", &port.to_string()]);
    command.status().is_ok_and(|status| status.success())
}
