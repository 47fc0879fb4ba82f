//! Where the repository is, and what opens it.

use super::args::Args;
use aetherius::backup::{Quorum, Repository, RepositoryOptions};
use aetherius::core::backup::{BackupSink, BlobSink};
use aetherius::files::LocalDir;
use aetherius::{Error, ErrorKind, Result, Secret};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The locations and the password.
pub(super) struct Access {
    locations: Vec<Location>,
    password: Secret,
    append_only: bool,
}

enum Location {
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

impl Access {
    pub(super) fn new(args: &Args) -> Result<Self> {
        if args.repo.is_empty() {
            return Err(Error::invalid("no repository is named")
                .with_remedy("give --repo LOCATION, or set AETHERIUS_REPOSITORY"));
        }
        let locations = args.repo.iter().map(|text| parse(text)).collect::<Result<_>>()?;
        let password = password(args.password_file.as_deref(), "AETHERIUS_PASSWORD")?;
        Ok(Self { locations, password, append_only: args.append_only })
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
        Ok(Self { locations, password, append_only: self.append_only })
    }

    pub(super) fn password(&self) -> &Secret {
        &self.password
    }

    /// The replicas. Nothing is made by looking: a place that is missing is no repository.
    pub(super) async fn sinks(&self, make: bool) -> Result<Vec<Arc<dyn BackupSink>>> {
        let mut sinks: Vec<Arc<dyn BackupSink>> = Vec::new();
        for location in &self.locations {
            sinks.push(match location {
                Location::Directory(path) => self.guarded(directory(path, make).await?),
                Location::S3 { bucket, prefix } => self.guarded(s3(bucket, prefix)?),
            });
        }
        Ok(sinks)
    }

    fn guarded(&self, sink: BlobSink) -> Arc<dyn BackupSink> {
        if self.append_only { Arc::new(sink.append_only()) } else { Arc::new(sink) }
    }

    /// Opens the repository. One location that answers is enough.
    pub(super) async fn open(&self) -> Result<Repository> {
        self.open_with(RepositoryOptions::default()).await
    }

    pub(super) async fn open_with(&self, options: RepositoryOptions) -> Result<Repository> {
        let sinks = self.sinks(options.attach_empty).await?;
        Repository::open(sinks, &self.password, options.quorum(Quorum::AtLeast(1))).await
    }
}

fn parse(text: &str) -> Result<Location> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let path = text.strip_prefix("local:").unwrap_or(text);
        return Ok(Location::Directory(PathBuf::from(path)));
    };
    let refused = |message: String, remedy: &'static str| {
        Err(Error::unsupported(message).with_key(text).with_remedy(remedy))
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
        "gs" | "az" | "sftp" | "webdav" | "rest" | "rclone" | "b2" | "swift" => refused(
            format!("this program opens no {scheme}:// locations"),
            "give a directory or s3://BUCKET/PREFIX; in a program of your own any BlobStore can be a location",
        ),
        _ => refused(format!("{scheme}:// is no kind of location"), "give a directory or s3://BUCKET/PREFIX"),
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

#[cfg(feature = "s3")]
fn s3(bucket: &str, prefix: &str) -> Result<BlobSink> {
    use aetherius::BlobPath;
    use aetherius::files::{ObjectStoreAdapter, S3Options};
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut options = S3Options::new(bucket);
    if let Some(region) = var("AWS_REGION").or_else(|| var("AWS_DEFAULT_REGION")) {
        options = options.with_region(region);
    }
    if let Some(endpoint) = var("AWS_ENDPOINT_URL_S3").or_else(|| var("AWS_ENDPOINT_URL")) {
        options = options.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
    }
    if let (Some(key), Some(secret)) = (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
        options = options.with_key(key, Secret::new(secret));
    }
    if let Some(token) = var("AWS_SESSION_TOKEN") {
        options = options.with_token(Secret::new(token));
    }
    let store = ObjectStoreAdapter::s3(options)?;
    let prefix = if prefix.is_empty() { None } else { Some(BlobPath::new(prefix)?) };
    let label =
        prefix.as_ref().map_or_else(|| format!("s3://{bucket}"), |prefix| format!("s3://{bucket}/{prefix}"));
    Ok(BlobSink::new(Arc::new(store), prefix)?.label(label))
}

#[cfg(not(feature = "s3"))]
fn s3(bucket: &str, prefix: &str) -> Result<BlobSink> {
    Err(Error::unsupported("this program was built without S3")
        .with_key(format!("s3://{bucket}/{prefix}"))
        .with_remedy("build it with `--features s3`"))
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
