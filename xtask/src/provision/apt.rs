//! Debian packages.

use std::process::Command;
use std::time::Duration;

use crate::{Result, run};

/// Installs packages by apt-get, as root or through `sudo -n`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get update && apt-get install -y {}", packages.join(" "));
    if testkit::tool("apt-get", "apt").is_err() {
        return Err(format!(
            "the tests need {} and this is no Debian system: install them by its own means",
            packages.join(", ")
        ));
    }
    let prefix: &[&str] = if testkit::is_root() {
        &[]
    } else if Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|done| done.status.success()) {
        &["sudo", "-n"]
    } else {
        return Err(format!("the tests need {}; run as root: {by_hand}", packages.join(", ")));
    };
    apt_get(prefix, &["update"], &by_hand)?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(prefix, &arguments, &by_hand)
}

fn apt_get(prefix: &[&str], arguments: &[&str], by_hand: &str) -> Result<()> {
    // Run level 1 keeps the packages from starting servers: the tests start their own.
    let mut words: Vec<&str> = prefix.to_vec();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-q"]);
    words.extend(["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"]);
    words.extend(arguments);
    let (program, rest) = words.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(rest);
    if run::stream(command, Duration::from_secs(900)).ok {
        Ok(())
    } else {
        Err(format!("apt-get {} failed; run as root: {by_hand}", arguments.join(" ")))
    }
}
