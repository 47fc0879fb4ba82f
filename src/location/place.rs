//! What a location's settings mean, and what is wrong with them.

use crate::settings::{LocationSettings, Problems, SecretSource};
use aeth_core::{BlobPath, Error, Result, Secret};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A location whose settings are understood, with its secrets read.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(super) settings: LocationSettings,
    pub(super) kind: Kind,
    pub(super) prefix: Option<BlobPath>,
    pub(super) key: Option<Secret>,
    pub(super) token: Option<Secret>,
    pub(super) secrets: BTreeMap<String, Secret>,
}

/// What holds the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory(PathBuf),
    S3 { bucket: String },
    Gcs { bucket: String },
    Azure { account: String, container: String },
    Opendal { uri: String },
}

/// The field of the settings that each kind takes, besides `at` and `name`.
impl Kind {
    fn takes(&self) -> &'static [&'static str] {
        match self {
            Self::Directory(_) => &[],
            Self::S3 { .. } => {
                &["endpoint", "region", "user", "key", "token", "virtual_hosted", "allow_http"]
            }
            Self::Gcs { .. } => &["key"],
            Self::Azure { .. } => &["endpoint", "key", "allow_http"],
            Self::Opendal { .. } => &["options", "secrets"],
        }
    }

    fn what(&self) -> &'static str {
        match self {
            Self::Directory(_) => "a directory",
            Self::S3 { .. } => "S3",
            Self::Gcs { .. } => "Google Cloud Storage",
            Self::Azure { .. } => "Azure Blob Storage",
            Self::Opendal { .. } => "a service of opendal",
        }
    }
}

impl Place {
    /// Understands a location, or adds what is wrong with it to the problems, under the name of its setting. Reads its
    /// secrets.
    pub(crate) fn check(setting: &str, location: &LocationSettings, problems: &mut Problems) -> Option<Self> {
        let (kind, prefix) = match parse(location) {
            Ok(parsed) => parsed,
            Err(error) => {
                problems.add_error(setting, &error);
                return None;
            }
        };
        let before = problems.iter().count();
        for field in said(location).into_iter().filter(|field| !kind.takes().contains(field)) {
            let message = format!("means nothing for {}, which `{}` is", kind.what(), location.label());
            problems.add(format!("{setting}.{field}"), message, "leave it out");
        }
        let http = location.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        if http && !location.allow_http {
            problems.add(
                format!("{setting}.endpoint"),
                "has no TLS",
                "write https://, or set allow_http where the network is trusted",
            );
        }
        if location.user.is_some() != location.key.is_some() && matches!(kind, Kind::S3 { .. }) {
            problems.add(
                format!("{setting}.key"),
                "S3 takes a user and its key",
                "give both, or neither to use the credentials of the environment",
            );
        }
        let mut read = |field: &str, source: &SecretSource| {
            source.read().map_err(|error| problems.add_error(format!("{setting}.{field}"), &error)).ok()
        };
        let place = Self {
            key: location.key.as_ref().and_then(|source| read("key", source)),
            token: location.token.as_ref().and_then(|source| read("token", source)),
            secrets: location
                .secrets
                .iter()
                .filter_map(|(name, source)| Some((name.clone(), read(&format!("secrets.{name}"), source)?)))
                .collect(),
            settings: location.clone(),
            kind,
            prefix,
        };
        (problems.iter().count() == before).then_some(place)
    }

    /// The directory, when it is one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Directory(path) => Some(path),
            _ => None,
        }
    }

    /// Its name in reports.
    pub(crate) fn label(&self) -> String {
        self.settings.label()
    }

    /// True for the same place, however it is spelt otherwise.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.prefix == other.prefix
            && self.settings.endpoint == other.settings.endpoint
    }
}

/// The names of the fields that say something.
fn said(location: &LocationSettings) -> Vec<&'static str> {
    let fields = [
        ("endpoint", location.endpoint.is_some()),
        ("region", location.region.is_some()),
        ("user", location.user.is_some()),
        ("key", location.key.is_some()),
        ("token", location.token.is_some()),
        ("virtual_hosted", location.virtual_hosted),
        ("allow_http", location.allow_http),
        ("options", !location.options.is_empty()),
        ("secrets", !location.secrets.is_empty()),
    ];
    fields.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect()
}

fn parse(location: &LocationSettings) -> Result<(Kind, Option<BlobPath>)> {
    if location.at.as_os_str().is_empty() {
        return Err(
            Error::invalid("is empty").with_remedy("name a directory, or a place such as s3://bucket/prefix")
        );
    }
    let url = location.at.to_str().and_then(|text| text.split_once("://"));
    let Some((scheme, rest)) = url else {
        return Ok((Kind::Directory(location.at.clone()), None));
    };
    let needs = |feature: &'static str, there: bool| {
        if there {
            return Ok(());
        }
        Err(Error::unsupported(format!("this build opens no {scheme}:// locations"))
            .with_remedy(format!("build with the feature `{feature}`")))
    };
    let mut parts = rest.splitn(2, '/');
    let mut part = |what: &'static str, form: &'static str| match parts.next() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(Error::invalid(format!("names no {what}")).with_remedy(format!("write {form}"))),
    };
    let prefix =
        |text: Option<&str>| match text.map(|text| text.trim_matches('/')).filter(|text| !text.is_empty()) {
            Some(text) => BlobPath::new(text).map(Some).map_err(|error| {
                Error::from(error).with_remedy("write a prefix without empty segments, `.` and `..`")
            }),
            None => Ok(None),
        };
    match scheme {
        "file" if rest.starts_with('/') => Ok((Kind::Directory(rest.into()), None)),
        "file" => Err(Error::invalid("names no absolute path").with_remedy("write file:///path")),
        "s3" => {
            needs("s3", cfg!(feature = "s3"))?;
            let bucket = part("bucket", "s3://BUCKET/PREFIX")?;
            Ok((Kind::S3 { bucket }, prefix(parts.next())?))
        }
        "gs" => {
            needs("gcs", cfg!(feature = "gcs"))?;
            let bucket = part("bucket", "gs://BUCKET/PREFIX")?;
            Ok((Kind::Gcs { bucket }, prefix(parts.next())?))
        }
        "az" => {
            needs("azure", cfg!(feature = "azure"))?;
            let account = part("storage account", "az://ACCOUNT/CONTAINER/PREFIX")?;
            let (container, rest) = match parts.next().map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            {
                Some((container, rest)) if !container.is_empty() => (container.to_owned(), rest),
                _ => {
                    return Err(Error::invalid("names no container")
                        .with_remedy("write az://ACCOUNT/CONTAINER/PREFIX"));
                }
            };
            Ok((Kind::Azure { account, container }, prefix(Some(rest))?))
        }
        _ => {
            needs("opendal-0-59", cfg!(feature = "opendal-0-59"))?;
            Ok((Kind::Opendal { uri: format!("{scheme}://{rest}") }, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(location: &LocationSettings) -> String {
        let mut problems = Problems::default();
        let place = Place::check("x[0]", location, &mut problems);
        assert_eq!(place.is_none(), !problems.is_empty());
        problems.to_string()
    }

    #[test]
    fn places_are_told_apart_and_mistakes_named() {
        let kind = |at: &str| Place::check("x", &at.into(), &mut Problems::default()).unwrap();
        assert_eq!(kind("/srv/app").directory(), Some(Path::new("/srv/app")));
        assert_eq!(kind("relative").directory(), Some(Path::new("relative")));
        assert_eq!(kind("file:///srv/app").directory(), Some(Path::new("/srv/app")));
        for (at, wanted) in [("", "empty"), ("file://srv", "absolute"), ("ftps3://x/y", "opendal")] {
            let said = problems(&at.into());
            let opendal = cfg!(feature = "opendal-0-59") && wanted == "opendal";
            assert!(opendal || said.contains(wanted), "{at}: {said}");
        }
        let mut plain = LocationSettings::new("/srv/app");
        plain.region = Some("eu".into());
        plain.options.insert("a".into(), "b".into());
        let said = problems(&plain);
        assert!(said.contains("x[0].region") && said.contains("x[0].options"), "{said}");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn s3_is_checked_before_anything_is_asked() {
        let place = Place::check("x", &"s3://bucket/a/b/".into(), &mut Problems::default()).unwrap();
        assert_eq!(place.kind, Kind::S3 { bucket: "bucket".into() });
        assert_eq!(place.prefix.as_ref().map(BlobPath::as_str), Some("a/b"));
        let mut location = LocationSettings::new("s3://bucket");
        location.endpoint = Some("http://minio:9000".into());
        location.user = Some("app".into());
        location.token = Some(SecretSource::File("/no/such/token".into()));
        let said = problems(&location);
        for named in ["x[0].endpoint", "allow_http", "x[0].key", "x[0].token", "/no/such/token"] {
            assert!(said.contains(named), "{named} is not in {said}");
        }
        assert!(problems(&"s3:///prefix".into()).contains("bucket"));
        assert!(problems(&"s3://bucket/a/../b".into()).contains("prefix"));
    }
}
