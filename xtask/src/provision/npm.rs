//! A private folder with the servers that come by npm.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::{Result, run, workspace};

/// Azurite speaks the protocol of Azure Blob Storage.
const PACKAGES: &[&str] = &["azurite@3.37.0"];

/// Has them in `target/xtask/npm`, unless `AETH_AZURITE` says where Azurite is.
pub(crate) fn packages() -> Result<()> {
    if std::env::var_os("AETH_AZURITE").is_some() {
        return Ok(());
    }
    let dir = workspace::target_dir()?.join("xtask/npm");
    let stamp = dir.join("packages");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix"]);
    npm.arg(&dir).args(PACKAGES);
    if !run::stream(npm, Duration::from_secs(900)).ok {
        return Err(format!(
            "npm could not install {}; give the path of azurite-blob in AETH_AZURITE",
            PACKAGES.join(", ")
        ));
    }
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))
}
