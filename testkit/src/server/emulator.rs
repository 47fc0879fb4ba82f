//! Private servers of object storage that are not ours.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::free_port;
use super::supervisor::Supervised;
use crate::tool::{self, Missing};

/// A server of object storage on a free loopback port, stopped on drop.
#[derive(Debug)]
pub struct Emulator {
    server: Supervised,
    port: u16,
    // After the server: it must be gone before its directory is.
    dir: TempDir,
}

impl Emulator {
    /// Azurite, which speaks the protocol of Azure Blob Storage; its account is `devstoreaccount1`.
    #[must_use]
    #[track_caller]
    pub fn azurite() -> Self {
        Self::start(tool::azurite(), |port, dir| {
            let location = dir.join("data");
            [
                "--skipApiVersionCheck",
                "--silent",
                "--disableTelemetry",
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port.to_string(),
                "--location",
            ]
            .map(OsString::from)
            .into_iter()
            .chain([location.into_os_string()])
            .collect()
        })
    }

    /// rclone over a directory of its own, which speaks the protocol of S3: any account, one bucket `bucket`.
    #[must_use]
    #[track_caller]
    pub fn rclone_s3() -> Self {
        Self::rclone("s3", &["--auth-key", "key,secret"])
    }

    /// rclone over a directory of its own, which speaks WebDAV to anybody.
    #[must_use]
    #[track_caller]
    pub fn rclone_webdav() -> Self {
        Self::rclone("webdav", &[])
    }

    /// rclone over a directory of its own, which speaks SFTP to anybody.
    #[must_use]
    #[track_caller]
    pub fn rclone_sftp() -> Self {
        Self::rclone("sftp", &["--no-auth"])
    }

    #[track_caller]
    fn rclone(protocol: &str, more: &[&str]) -> Self {
        Self::start(tool::rclone(), |port, dir| {
            std::fs::create_dir_all(dir.join("data/bucket"))
                .expect("the directory of the server can be made");
            let mut args = vec![OsString::from("serve"), protocol.into(), dir.join("data").into()];
            args.extend(["--addr".into(), format!("127.0.0.1:{port}").into()]);
            args.extend(["--config".into(), dir.join("config").into()]);
            args.extend(["--cache-dir".into(), dir.join("cache").into()]);
            // Names that differ in their normalisation are different.
            args.push("--no-unicode-normalization".into());
            args.extend(more.iter().map(OsString::from));
            args
        })
    }

    #[track_caller]
    fn start(program: Result<PathBuf, Missing>, args: impl Fn(u16, &Path) -> Vec<OsString>) -> Self {
        let program = program.unwrap_or_else(|missing| panic!("{missing}"));
        for _ in 0..5 {
            let dir = crate::dir::temp_dir();
            let port = free_port();
            // As ourselves: it keeps what it stores in our directory, and its program may stand in our home.
            let server = Supervised::start_as_owner(dir.path(), &program, &args(port, dir.path()), "KILL");
            if server.wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()) {
                return Self { server, port, dir };
            }
            let log = server.log();
            let taken = ["in use", "EADDRINUSE"].iter().any(|words| log.contains(words));
            assert!(taken, "{} did not start:\n{log}", program.display());
        }
        panic!("{} found every port taken", program.display())
    }

    /// The port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps what it stores.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What it logged, for a failure's message.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }
}
