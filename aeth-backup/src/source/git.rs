//! A git repository, as a bundle.

use super::entry::{FileSource, VirtualFile};
use crate::Id;
use crate::process::ExternalCommand;
use aeth_core::{ByteStream, Error, Result};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Names and marks of references take this much at most.
const REFERENCES: usize = 64 << 20;
/// Variables that would lead git to another repository, or change what it does with this one.
const MISLEADING: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
];

/// A git repository with all its branches, tags, notes and stashes, as one bundle: `git clone NAME.bundle` (or
/// `git clone --mirror`, for every reference) makes a repository of it again, and `git bundle verify` checks it.
///
/// The stock `git` makes the bundle, of one state of all references, while others go on committing, collecting
/// garbage and repacking: a copy of the files of `.git` would be of no single moment, and would have to know
/// packs, alternates and reftables as git does. A bundle whose references did not change since the parent
/// snapshot is not made again. What is not committed (working tree, index), hooks and configuration are not in a
/// bundle: back the directory up for them.
///
/// ```
/// use aeth_backup::{GitSource, Plan, Source};
/// let project = GitSource::new("/srv/git/project.git");
/// let plan = Plan::new().source(Source::files("/git/project.bundle", project));
/// # let _ = plan;
/// ```
#[derive(Debug, Clone)]
pub struct GitSource {
    repository: PathBuf,
    git: OsString,
    any_owner: bool,
}

impl GitSource {
    /// The repository at `path`: a bare one, or one with a working tree. The source is one file; give its place
    /// a name that ends in `.bundle`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { repository: path.into(), git: "git".into(), any_owner: false }
    }

    /// The `git` to use. Default: the one on `PATH`.
    #[must_use]
    pub fn git(mut self, program: impl Into<OsString>) -> Self {
        self.git = program.into();
        self
    }

    /// Reads repositories of other users, which git refuses by itself because their configuration may run
    /// programs. Default: no.
    #[must_use]
    pub fn any_owner(mut self, yes: bool) -> Self {
        self.any_owner = yes;
        self
    }

    /// The repository's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.repository
    }

    fn command<const N: usize>(&self, args: [&str; N]) -> ExternalCommand {
        let mut command = ExternalCommand::new(self.git.clone())
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0");
        for name in MISLEADING {
            command = command.env_remove(name);
        }
        if self.any_owner {
            command = command.args(["-c", "safe.directory=*"]);
        }
        // One thread gives the same bytes again for the same objects, which is what finds them in the repository.
        command.arg("-C").arg(self.repository.clone()).args(["-c", "pack.threads=1"]).args(args)
    }

    fn described(&self, error: Error) -> Error {
        error.with_component(format!("git repository {}", self.repository.display())).with_remedy(
            "check that git is installed, and that the path is a repository that this user may read",
        )
    }

    async fn ask<const N: usize>(&self, args: [&str; N]) -> Result<String> {
        let output = self.command(args).output(REFERENCES).await.map_err(|error| self.described(error))?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    async fn describe(&self) -> Result<VirtualFile> {
        if self.ask(["rev-parse", "--is-shallow-repository"]).await?.trim() == "true" {
            return Err(Error::unsupported("the repository is shallow: a bundle of it could not be cloned")
                .with_component(format!("git repository {}", self.repository.display()))
                .with_remedy("fetch the rest with `git fetch --unshallow`, or back its directory up"));
        }
        let format = "--format=%(creatordate:unix) %(objectname) %(refname)";
        let references = self.ask(["for-each-ref", format]).await?;
        if references.trim().is_empty() {
            return Err(Error::invalid("the repository has no commit on any branch or tag")
                .with_component(format!("git repository {}", self.repository.display()))
                .with_remedy("commit something first, or leave it out of the plan"));
        }
        // Detached or not, what it names is part of the bundle.
        let head = self.ask(["rev-parse", "--verify", "--quiet", "HEAD"]).await.unwrap_or_default();
        let newest = references.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).max();
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(newest.unwrap_or(0))).unwrap_or(UNIX_EPOCH);
        let mut mark = [0; 8];
        let state = Id::of(format!("{references}\n{head}").as_bytes());
        mark.copy_from_slice(state.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
        Ok(VirtualFile::new("", time).fingerprint(u64::from_le_bytes(mark)))
    }
}

#[async_trait]
impl FileSource for GitSource {
    fn list(&self) -> BoxStream<'_, Result<VirtualFile>> {
        futures_util::stream::once(self.describe()).boxed()
    }

    async fn open(&self, _file: &VirtualFile) -> Result<ByteStream> {
        let stream = self.command(["bundle", "create", "--quiet", "-", "--all"]).stream();
        stream.map_err(|error| self.described(error))
    }
}
