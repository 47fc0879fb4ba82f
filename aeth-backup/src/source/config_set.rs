//! The configuration of an application.

use super::entry::{FileSource, VirtualFile};
use crate::repo::{Repository, SnapshotEntry};
use aeth_core::{Body, ByteStream, Error, Result, Secret};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where secrets stand below the set.
const SECRETS: &str = "secrets";
/// A configuration is small; more than this is a mistake.
const LONGEST: u64 = 64 << 20;

/// Named texts, settings and secrets of an application, as small files: `NAME` for each text, `secrets/NAME` for
/// each secret, readable by their owner only. The repository seals all of them as it seals every file.
///
/// A secret is shown by nothing here but its name: not by `Debug`, not by an error, not by a report.
/// [`ConfigSet::from_snapshot`] gives the set back.
///
/// ```
/// use aeth_backup::{ConfigSet, Plan, Source};
/// use aeth_core::Secret;
///
/// let set = ConfigSet::new()
///     .text("app.toml", "listen = \"127.0.0.1:80\"\n")?
///     .value("limits.json", &std::collections::BTreeMap::from([("uploads", 10)]))?
///     .secret("signing-key", Secret::new("hush".to_owned()))?;
/// assert!(!format!("{set:?}").contains("hush"));
/// let plan = Plan::new().source(Source::files("/app/config", set));
/// # let _ = plan;
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ConfigSet {
    texts: BTreeMap<String, Bytes>,
    secrets: BTreeMap<String, Secret>,
    modified: Option<SystemTime>,
}

impl fmt::Debug for ConfigSet {
    /// Names only: a text may hold what should not be in a log either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigSet")
            .field("texts", &self.texts.keys())
            .field("secrets", &self.secrets.keys())
            .finish_non_exhaustive()
    }
}

impl ConfigSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text, in the place of an earlier one of that name. Names are relative paths of segments separated
    /// by `/`; `secrets` is kept for secrets.
    ///
    /// # Errors
    /// `Invalid` for a name that is none.
    pub fn text(mut self, name: impl Into<String>, text: impl Into<Bytes>) -> Result<Self> {
        let name = checked(name.into())?;
        if name.split('/').next() == Some(SECRETS) {
            return Err(refused(&name, "the name belongs to the secrets"));
        }
        self.texts.insert(name, text.into());
        Ok(self)
    }

    /// Adds settings, as JSON that people can read.
    ///
    /// # Errors
    /// `Invalid` for a name that is none, and for a value that has no JSON form.
    pub fn value(self, name: impl Into<String>, value: &(impl Serialize + ?Sized)) -> Result<Self> {
        let name = name.into();
        let json = serde_json::to_vec_pretty(value).map_err(|error| {
            Error::invalid("the settings have no JSON form").with_key(&name).with_source(error)
        })?;
        self.text(name, json)
    }

    /// Adds a secret, in the place of an earlier one of that name.
    ///
    /// # Errors
    /// `Invalid` for a name that is none.
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Result<Self> {
        self.secrets.insert(checked(name.into())?, secret);
        Ok(self)
    }

    /// The time that the files carry. Default: the Unix epoch, so that an unchanged set is an unchanged tree.
    #[must_use]
    pub fn modified(mut self, time: SystemTime) -> Self {
        self.modified = Some(time);
        self
    }

    /// The texts, by name.
    #[must_use]
    pub fn texts(&self) -> &BTreeMap<String, Bytes> {
        &self.texts
    }

    /// The secrets, by name.
    #[must_use]
    pub fn secrets(&self) -> &BTreeMap<String, Secret> {
        &self.secrets
    }

    /// Reads the set that stands at `at` in a snapshot.
    ///
    /// # Errors
    /// `NotFound` when nothing stands there; `Invalid` for names that are not UTF-8 and for files of more than
    /// 64 MiB, which no set has; those of the repository.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn from_snapshot(repository: &Repository, snapshot: &SnapshotEntry, at: &str) -> Result<Self> {
        let mut set = Self::new();
        let mut entries = repository.entries(snapshot, at);
        let root = at.trim_end_matches('/').to_owned();
        while let Some(entry) = entries.try_next().await? {
            if entry.node.content.is_none() {
                continue;
            }
            let path = String::from_utf8(entry.path)
                .map_err(|_| Error::invalid("the configuration has a name that is not UTF-8").with_key(at))?;
            if entry.node.size > LONGEST {
                return Err(
                    Error::invalid("the file is too long to be part of a configuration").with_key(path)
                );
            }
            let name = path.strip_prefix(&root).unwrap_or(&path).trim_start_matches('/');
            let pieces: Vec<Bytes> = repository.content(&entry.node).try_collect().await?;
            let content = pieces.concat();
            set = match name.strip_prefix("secrets/") {
                Some(name) => set.secret(name, Secret::new(content))?,
                None => set.text(name, content)?,
            };
        }
        Ok(set)
    }

    fn files(&self) -> Vec<VirtualFile> {
        let time = self.modified.unwrap_or(UNIX_EPOCH);
        let file = |name: &str, length: usize| {
            VirtualFile::new(name, time).size(u64::try_from(length).unwrap_or(u64::MAX))
        };
        let texts = self.texts.iter().map(|(name, text)| file(name, text.len()).permissions(0o640));
        let secrets = self.secrets.iter().map(|(name, secret)| {
            file(&format!("{SECRETS}/{name}"), secret.expose().len()).permissions(0o600)
        });
        let mut files: Vec<_> = texts.chain(secrets).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }
}

#[async_trait]
impl FileSource for ConfigSet {
    fn list(&self) -> BoxStream<'_, Result<VirtualFile>> {
        futures_util::stream::iter(self.files().into_iter().map(Ok)).boxed()
    }

    async fn open(&self, file: &VirtualFile) -> Result<ByteStream> {
        let name = String::from_utf8_lossy(&file.path);
        let content = match name.strip_prefix("secrets/") {
            Some(name) => self.secrets.get(name).map(|secret| Bytes::copy_from_slice(secret.expose())),
            None => self.texts.get(&*name).cloned(),
        };
        let content = content.ok_or_else(|| Error::not_found("the set has no such entry").with_key(&name))?;
        Ok(Body::Bytes(content).into_stream())
    }
}

fn checked(name: String) -> Result<String> {
    let valid = name.len() <= 255
        && name.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
        && !name.chars().any(char::is_control);
    if valid { Ok(name) } else { Err(refused(&name, "not a name for a part of a configuration")) }
}

fn refused(name: &str, message: &'static str) -> Error {
    Error::invalid(message)
        .with_operation("add to the configuration set")
        .with_key(name)
        .with_remedy("give a relative path without empty, `.` and `..` segments, outside of `secrets`")
}
