//! A certificate for a server on the loopback interface.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::account;
use crate::tool::{outcome, tool};

/// The names of this machine to itself.
pub(crate) const LOCAL: &str = "DNS:localhost,IP:127.0.0.1";

/// Makes `server.crt` and `server.key` in `dir`: for these names, signed by itself, for a day.
#[track_caller]
pub(crate) fn make(dir: &Path, names: &str) {
    let program = tool("openssl", "openssl").unwrap_or_else(|missing| panic!("{missing}"));
    let mut command = Command::new(program);
    command.current_dir(dir).args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.args(["-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", "server.key"]);
    command.args(["-out", "server.crt", "-addext", &format!("subjectAltName={names}")]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let output = command.output().expect("openssl starts");
    outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}"));
    let key = dir.join("server.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("a file that was just made");
    if let Some(account) = account::for_servers() {
        chown(&key, Some(account.uid), Some(account.gid)).expect("root gives a file away");
    }
}
