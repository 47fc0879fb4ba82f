//! The contestants and their command lines.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process;
use super::spend::spend;
use crate::BoxError;

pub(super) const PASSWORD: &str = "correct horse";

/// How hard is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// zstd 3 or what a tool takes for it.
    Default,
    /// Our fast level.
    Fast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Restic,
    Borg,
    Rustic,
}

/// One contestant.
#[derive(Debug)]
pub(crate) struct Tool {
    kind: Kind,
    program: PathBuf,
    version: String,
    /// Its cache, kept between its runs.
    cache: PathBuf,
}

/// Ours, and the peers that are installed; restic and borg must be.
pub(crate) fn installed(dir: &Path) -> Result<Vec<Tool>, BoxError> {
    let mut tools = vec![Tool::ours()?];
    for (kind, name) in [(Kind::Restic, "restic"), (Kind::Borg, "borg")] {
        let package = if name == "borg" { "borgbackup" } else { name };
        tools.push(Tool::new(kind, testkit::tool(name, package)?, dir.join(format!("{name}-cache")))?);
    }
    let rustic = std::env::var_os("AETH_RUSTIC").map(PathBuf::from);
    match rustic.or_else(|| testkit::tool("rustic", "rustic-rs").ok()) {
        Some(program) => tools.push(Tool::new(Kind::Rustic, program, dir.join("rustic-cache"))?),
        None => eprintln!("rustic is not installed (`cargo install rustic-rs --locked`): no rows against it"),
    }
    Ok(tools)
}

/// restic with a repository and a cache.
pub(crate) fn restic(repository: &Path, cache: &Path) -> Command {
    let mut command = Command::new("restic");
    command.env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_CACHE_DIR", cache);
    command.arg("--quiet").arg("--repo").arg(repository);
    command
}

/// An empty repository with restic's own choice of chunker and password cost.
pub(crate) fn make_template(template: &Path) -> Result<(), BoxError> {
    let mut command = restic(template, &template.with_extension("cache"));
    command.arg("init");
    spend(command).map(drop)
}

/// Copies a repository.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), BoxError> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    spend(command).map(drop)
}

impl Tool {
    pub(crate) fn ours() -> Result<Self, BoxError> {
        let version = format!("aetherius {}", env!("CARGO_PKG_VERSION"));
        let program = std::env::current_exe()?;
        Ok(Self { kind: Kind::Ours, program, version, cache: PathBuf::new() })
    }

    fn new(kind: Kind, program: PathBuf, cache: PathBuf) -> Result<Self, BoxError> {
        let mut command = Command::new(&program);
        command.arg(if kind == Kind::Restic { "version" } else { "--version" });
        let version = spend(command)?.output;
        let version = version.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Ok(Self { kind, program, version, cache })
    }

    /// Its name for files and for looking its figures up.
    pub(crate) fn key(&self) -> &'static str {
        match self.kind {
            Kind::Ours => "ours",
            Kind::Restic => "restic",
            Kind::Borg => "borg",
            Kind::Rustic => "rustic",
        }
    }

    /// Its name and version.
    pub(crate) fn name(&self) -> &str {
        &self.version
    }

    /// Makes an empty repository.
    pub(crate) fn prepare(&self, template: &Path, repository: &Path) -> Result<(), BoxError> {
        if self.kind != Kind::Borg {
            return copy(template, repository);
        }
        if repository.exists() {
            std::fs::remove_dir_all(repository)?;
        }
        let mut command = self.command(repository);
        command.args(["init", "--encryption", "repokey-blake2"]).arg(repository);
        spend(command).map(drop)
    }

    pub(crate) fn backup(&self, repository: &Path, source: &Path, level: Level) -> Command {
        let mut command = self.command(repository);
        match self.kind {
            Kind::Ours => process::backup_arguments(&mut command, &[repository], source, level),
            Kind::Restic | Kind::Rustic => drop(command.arg("backup").arg(source)),
            Kind::Borg => {
                let mut archive = repository.as_os_str().to_owned();
                archive.push("::{now:%s.%f}");
                command.args(["create", "--compression", "zstd,3"]).arg(archive).arg(source);
            }
        }
        command
    }

    /// Restores the last snapshot.
    pub(crate) fn restore(&self, repository: &Path, target: &Path) -> Command {
        let mut command = self.command(repository);
        match self.kind {
            Kind::Ours => process::restore_arguments(&mut command, repository, target),
            Kind::Restic => drop(command.args(["restore", "latest", "--target"]).arg(target)),
            Kind::Rustic => drop(command.args(["restore", "latest"]).arg(target)),
            Kind::Borg => {
                // It has no name for the newest archive, and extracts into the directory where it runs.
                let script = "exec borg extract \"$0::$(borg list --short --last 1 \"$0\")\"";
                command = self.environment(Command::new("sh"), repository);
                command.args(["-c", script]).arg(repository).current_dir(target);
            }
        }
        command
    }

    /// Checks every byte.
    pub(crate) fn check(&self, repository: &Path) -> Command {
        let mut command = self.command(repository);
        match self.kind {
            Kind::Ours => process::check_arguments(&mut command, repository),
            Kind::Restic | Kind::Rustic => drop(command.args(["check", "--read-data"])),
            Kind::Borg => drop(command.args(["check", "--verify-data"]).arg(repository)),
        }
        command
    }

    fn command(&self, repository: &Path) -> Command {
        match self.kind {
            Kind::Restic => restic(repository, &self.cache),
            _ => self.environment(Command::new(&self.program), repository),
        }
    }

    fn environment(&self, mut command: Command, repository: &Path) -> Command {
        match self.kind {
            Kind::Borg => {
                command.env("BORG_PASSPHRASE", PASSWORD).env("BORG_BASE_DIR", &self.cache);
                command.env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes");
            }
            Kind::Rustic => {
                command.env("RUSTIC_REPOSITORY", repository).env("RUSTIC_PASSWORD", PASSWORD);
                command.env("RUSTIC_CACHE_DIR", &self.cache).env("RUSTIC_NO_PROGRESS", "true");
            }
            Kind::Ours | Kind::Restic => {}
        }
        command
    }
}
