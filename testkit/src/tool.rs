//! Finding the tools that tests need, and running restic.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A tool that is not installed, with the command that installs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The program that was looked for.
    pub tool: String,
    /// What to run to have it.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not installed: run `{}` (or `cargo xtask setup`)", self.tool, self.remedy)
    }
}

impl std::error::Error for Missing {}

/// Finds `name` on the `PATH`, or in the directories of system programs that a plain `PATH` lacks.
///
/// # Errors
/// [`Missing`], naming the Debian package.
pub fn tool(name: &str, package: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| Missing { tool: name.into(), remedy: format!("apt-get install {package}") })
}

/// The directory of PostgreSQL's server programs: `AETH_PG_BIN`, else the newest under
/// `/usr/lib/postgresql`, else where `initdb` stands on the `PATH`.
///
/// # Errors
/// [`Missing`], naming the Debian package.
pub fn postgres_bin() -> Result<PathBuf, Missing> {
    if let Some(dir) = std::env::var_os("AETH_PG_BIN") {
        return Ok(dir.into());
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let major = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").is_file().then_some((major, bin))
        })
        .collect();
    versions.sort();
    if let Some((_, bin)) = versions.pop() {
        return Ok(bin);
    }
    let initdb = tool("initdb", "postgresql")?;
    Ok(initdb.parent().map(Path::to_path_buf).unwrap_or_default())
}

/// The Python interpreter that has the judges' packages (`tink`): `AETH_PYTHON`, else the private environment
/// that `cargo xtask setup` makes.
///
/// # Errors
/// [`Missing`] when neither exists.
pub fn python() -> Result<PathBuf, Missing> {
    let candidate = std::env::var_os("AETH_PYTHON")
        .map_or_else(|| crate::target_dir().join("xtask/python/bin/python"), PathBuf::from);
    if candidate.is_file() {
        Ok(candidate)
    } else {
        Err(Missing { tool: "the tests' Python environment".into(), remedy: "cargo xtask setup".into() })
    }
}

/// Azurite: `AETH_AZURITE`, else the one that `cargo xtask setup` installs.
pub(crate) fn azurite() -> Result<PathBuf, Missing> {
    let installed = || crate::target_dir().join("xtask/npm/node_modules/.bin/azurite-blob");
    let candidate = std::env::var_os("AETH_AZURITE").map_or_else(installed, PathBuf::from);
    if candidate.is_file() {
        Ok(candidate)
    } else {
        Err(Missing { tool: "azurite-blob".into(), remedy: "cargo xtask setup".into() })
    }
}

/// rclone: `AETH_RCLONE`, else the one in the tests' Python environment.
pub(crate) fn rclone() -> Result<PathBuf, Missing> {
    let installed = || Some(python().ok()?.parent()?.join("rclone"));
    let candidate = std::env::var_os("AETH_RCLONE").map(PathBuf::from).or_else(installed);
    candidate
        .filter(|file| file.is_file())
        .ok_or_else(|| Missing { tool: "rclone".into(), remedy: "cargo xtask setup".into() })
}

/// Stock restic, bound to one repository and its password.
#[derive(Clone, Debug)]
pub struct Restic {
    program: PathBuf,
    repository: PathBuf,
    password: String,
    cache: Option<PathBuf>,
}

/// Stock restic for the repository directory `repository`.
///
/// Panics with the install command when restic is missing.
#[must_use]
pub fn restic_in(repository: impl Into<PathBuf>, password: &str) -> Restic {
    let program = tool("restic", "restic").unwrap_or_else(|missing| panic!("{missing}"));
    Restic { program, repository: repository.into(), password: password.into(), cache: None }
}

impl Restic {
    /// Keeps a cache in `dir`; without one, restic reads everything from the repository each time.
    #[must_use]
    pub fn cache(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Some(dir.into());
        self
    }

    /// The command `restic ARGS`, for whoever wants to run it on their own terms.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("RESTIC_PASSWORD", &self.password)
            .env_remove("RESTIC_PASSWORD_FILE")
            .env_remove("RESTIC_REPOSITORY_FILE")
            .stdin(std::process::Stdio::null());
        match &self.cache {
            Some(dir) => command.env("RESTIC_CACHE_DIR", dir),
            None => command.arg("--no-cache"),
        };
        command.args(args);
        command
    }

    /// Runs `restic ARGS`.
    ///
    /// # Errors
    /// What restic printed, when it did not end with success.
    pub fn try_run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String, String> {
        let mut command = self.command(args);
        let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
        outcome(&command, &output)
    }

    /// Runs `restic ARGS` and gives its standard output; panics with what it printed when it fails.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.try_run(args).unwrap_or_else(|failure| panic!("{failure}"))
    }
}

pub(crate) fn outcome(command: &Command, output: &Output) -> Result<String, String> {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let err = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{program} {}` ended with {}\n{out}{err}", args.join(" "), output.status))
}
