//! Where the repository is, and what opens it.

use super::args::Args;
use aetherius::backup::{Quorum, Repository, RepositoryOptions};
use aetherius::core::backup::{BackupSink, BlobSink};
use aetherius::files::LocalDir;
use aetherius::{Error, ErrorKind, Result, Secret};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The locations and the password.
pub(super) struct Access {
    locations: Vec<Location>,
    password: Secret,
    append_only: bool,
    quorum: Quorum,
    /// How long what is written to buckets cannot be destroyed, and whether nobody can change that.
    object_lock: Option<(Duration, bool)>,
}

enum Location {
    Directory(PathBuf),
    S3 {
        bucket: String,
        prefix: String,
    },
    /// A URI that opendal takes.
    Service(String),
}

impl Access {
    pub(super) fn new(args: &Args) -> Result<Self> {
        if args.repo.is_empty() {
            return Err(Error::invalid("no repository is named")
                .with_remedy("give --repo LOCATION, or set AETHERIUS_REPOSITORY"));
        }
        let locations = args.repo.iter().map(|text| parse(text)).collect::<Result<_>>()?;
        let password = password(args.password_file.as_deref(), "AETHERIUS_PASSWORD")?;
        let object_lock = args.object_lock.map(|time| (time.duration(), args.compliance));
        Ok(Self { locations, password, append_only: args.append_only, quorum: args.quorum, object_lock })
    }

    /// Another repository, with a password of its own or the same.
    pub(super) fn other(&self, locations: &[String], file: Option<&Path>) -> Result<Self> {
        const VARIABLE: &str = "AETHERIUS_TO_PASSWORD";
        let password = if file.is_some() || std::env::var_os(VARIABLE).is_some() {
            password(file, VARIABLE)?
        } else {
            self.password.clone()
        };
        let locations = locations.iter().map(|text| parse(text)).collect::<Result<_>>()?;
        let (append_only, object_lock) = (self.append_only, self.object_lock);
        Ok(Self { locations, password, append_only, quorum: self.quorum, object_lock })
    }

    pub(super) fn password(&self) -> &Secret {
        &self.password
    }

    /// The replicas. Nothing is made by looking: a place that is missing is no repository.
    pub(super) async fn sinks(&self, make: bool) -> Result<Vec<Arc<dyn BackupSink>>> {
        let mut sinks: Vec<Arc<dyn BackupSink>> = Vec::new();
        for location in &self.locations {
            let sink = match location {
                Location::Directory(path) => directory(path, make).await?,
                Location::S3 { bucket, prefix } => {
                    super::bucket::s3(bucket, prefix, self.object_lock.map(|(_, compliance)| compliance))?
                }
                Location::Service(uri) => super::bucket::service(uri)?,
            };
            sinks.push(if self.append_only { Arc::new(sink.append_only()) } else { Arc::new(sink) });
        }
        Ok(sinks)
    }

    pub(super) fn options(&self, options: RepositoryOptions) -> RepositoryOptions {
        match self.object_lock {
            Some((time, _)) => options.object_lock(time),
            None => options,
        }
    }

    /// Opens the repository. One location that answers is enough, unless more are asked for.
    pub(super) async fn open(&self) -> Result<Repository> {
        self.open_with(RepositoryOptions::default()).await
    }

    pub(super) async fn open_with(&self, options: RepositoryOptions) -> Result<Repository> {
        let sinks = self.sinks(options.attach_empty).await?;
        // A store knows itself and what it was asked for; where there is one location, it is the one that is meant.
        let only = if let [sink] = &sinks[..] { Some(sink.name().to_string()) } else { None };
        let opened = Repository::open(sinks, &self.password, self.options(options.quorum(self.quorum))).await;
        opened.map_err(|error| match only {
            Some(name) if !error.to_string().contains(&name) => at(&name, error),
            _ => error,
        })
    }
}

/// An error with the location in front.
fn at(location: &str, error: Error) -> Error {
    let named = Error::new(error.kind(), format!("{location}: {error}")).with_retry(error.retry());
    named.with_source(error)
}

fn parse(text: &str) -> Result<Location> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let path = text.strip_prefix("local:").unwrap_or(text);
        return Ok(Location::Directory(PathBuf::from(path)));
    };
    match scheme {
        "file" => Ok(Location::Directory(PathBuf::from(rest))),
        "s3" => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(Error::invalid("the location names no bucket")
                    .with_key(text)
                    .with_remedy("write s3://BUCKET/PREFIX"));
            }
            Ok(Location::S3 { bucket: bucket.into(), prefix: prefix.trim_matches('/').into() })
        }
        _ if super::bucket::is_service(scheme) => Ok(Location::Service(text.to_owned())),
        _ => Err(Error::unsupported(format!("{scheme}:// is no kind of location that this program opens"))
            .with_key(super::bucket::without_secrets(text))
            .with_remedy(
                "give a directory, s3://BUCKET/PREFIX, or one of the URIs in --help; in a program of your own any \
                 BlobStore can be a location",
            )),
    }
}

async fn directory(path: &Path, make: bool) -> Result<BlobSink> {
    let there = tokio::fs::try_exists(path).await.map_err(Error::from);
    let shown = path.display().to_string();
    let named = |error: Error| error.with_operation("open").with_component(shown.clone());
    if !make && !there.map_err(named)? {
        return Err(named(
            Error::not_found("there is no repository")
                .with_remedy("check the location (is the disk mounted?), or make one with `init`"),
        ));
    }
    let store = LocalDir::open(path).await.map_err(named)?;
    Ok(BlobSink::new(Arc::new(store), None)?.label(shown))
}

/// The password in the first line of a file.
pub(super) fn read_password(file: &Path) -> Result<Secret> {
    password(Some(file), "")
}

fn password(file: Option<&Path>, variable: &str) -> Result<Secret> {
    let bytes = match file {
        Some(file) => {
            let text = std::fs::read(file).map_err(|error| {
                Error::from(error).with_operation("read the password file").with_key(file.display())
            })?;
            text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec()
        }
        None => match std::env::var_os(variable) {
            Some(text) => std::os::unix::ffi::OsStringExt::into_vec(text),
            None => {
                return Err(Error::new(ErrorKind::Invalid, "there is no password")
                    .with_remedy("set AETHERIUS_PASSWORD, or give --password-file FILE"));
            }
        },
    };
    // An editor of another system ends lines with a return as well.
    let bytes = bytes.strip_suffix(b"\r").map(<[u8]>::to_vec).unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(Error::invalid("the password is empty")
            .with_remedy("give one in the environment, or in the first line of the password file"));
    }
    Ok(Secret::new(bytes))
}
