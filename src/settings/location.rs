//! A place for bytes: a directory, or a prefix of an object store.

use super::SecretSource;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A place for bytes: a directory, or a part of an object store.
///
/// | what | written | feature |
/// |---|---|---|
/// | a directory | `/srv/app`, `file:///srv/app` | |
/// | Amazon S3, and what speaks its protocol | `s3://bucket/prefix` | `s3` |
/// | Google Cloud Storage | `gs://bucket/prefix` | `gcs` |
/// | Azure Blob Storage | `az://account/container/prefix` | `azure` |
/// | any service that the host has enabled in opendal | opendal's own URI, such as `sftp://host/path` | `opendal-0-59` |
///
/// In a settings file it is that text, or a table with the text under `at` and whatever else the service needs. What is
/// not said comes from where the service's own tools take it: `AWS_ACCESS_KEY_ID` and the like, the machine's role.
///
/// ```
/// use aetherius::{LocationSettings, SecretSource};
/// let location: LocationSettings = serde_json::from_str(r#"{
///     "at": "s3://backups/app",
///     "endpoint": "https://minio.internal:9000",
///     "user": "app",
///     "key": { "file": "/run/secrets/minio" }
/// }"#).unwrap();
/// assert_eq!(location.key, Some(SecretSource::File("/run/secrets/minio".into())));
/// assert_eq!(serde_json::from_str::<LocationSettings>(r#""/mnt/usb""#).unwrap(), "/mnt/usb".into());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocationSettings {
    /// The place, as in the table above.
    pub at: PathBuf,
    /// Its name in reports and metrics, and in a mirror's journal. Default: the place itself.
    pub name: Option<String>,
    /// The URL of the server, when it is not the service's own (S3, Azure).
    pub endpoint: Option<String>,
    /// The region (S3).
    pub region: Option<String>,
    /// The name of the key (S3: the access key ID).
    pub user: Option<String>,
    /// The key: S3's secret access key, the JSON text of a service account (GCS), the account's key (Azure).
    pub key: Option<SecretSource>,
    /// The token of temporary credentials (S3).
    pub token: Option<SecretSource>,
    /// Whether the bucket's name is part of the host's (S3). Default: no.
    pub virtual_hosted: bool,
    /// Whether an endpoint without TLS is allowed. Default: no.
    pub allow_http: bool,
    /// What else the service takes, by opendal's names.
    pub options: BTreeMap<String, String>,
    /// What of that is secret.
    pub secrets: BTreeMap<String, SecretSource>,
}

impl LocationSettings {
    /// This place, with nothing said about it.
    #[must_use]
    pub fn new(at: impl Into<PathBuf>) -> Self {
        Self { at: at.into(), ..Self::default() }
    }

    /// Its name, or the place itself.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.at.display().to_string())
    }
}

impl From<&str> for LocationSettings {
    fn from(at: &str) -> Self {
        Self::new(at)
    }
}

impl From<String> for LocationSettings {
    fn from(at: String) -> Self {
        Self::new(at)
    }
}

impl From<PathBuf> for LocationSettings {
    fn from(at: PathBuf) -> Self {
        Self::new(at)
    }
}

impl From<&Path> for LocationSettings {
    fn from(at: &Path) -> Self {
        Self::new(at)
    }
}

impl From<&PathBuf> for LocationSettings {
    fn from(at: &PathBuf) -> Self {
        Self::new(at)
    }
}

/// The table of a settings file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    at: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<SecretSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<SecretSource>,
    #[serde(default, skip_serializing_if = "is_default")]
    virtual_hosted: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    allow_http: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    options: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    secrets: BTreeMap<String, SecretSource>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

macro_rules! convert {
    ($from:ty => $to:ty: $($field:ident)*) => {
        impl From<$from> for $to {
            fn from(from: $from) -> Self {
                Self { $($field: from.$field),* }
            }
        }
    };
}
convert!(Table => LocationSettings:
    at name endpoint region user key token virtual_hosted allow_http options secrets);
convert!(LocationSettings => Table:
    at name endpoint region user key token virtual_hosted allow_http options secrets);

impl Serialize for LocationSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::new(&self.at) {
            self.at.serialize(serializer)
        } else {
            Table::from(self.clone()).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for LocationSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = LocationSettings;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a place, or a table with the place under `at`")
            }
            fn visit_str<E>(self, text: &str) -> Result<LocationSettings, E> {
                Ok(text.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LocationSettings, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map));
                table.map(Into::into).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
