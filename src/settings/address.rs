//! Where a server is.

use aeth_core::{Result, Secret};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// Where a server is: a URL without a password, or the file or environment variable that holds one, which may have a
/// password in it.
///
/// In a settings file it is a text, `{ "file": "/run/secrets/database-url" }` or `{ "env": "DATABASE_URL" }`.
///
/// ```
/// use aetherius::Address;
/// let address = Address::from("redis://cache.internal:6379");
/// assert_eq!(format!("{:?}", Address::from("redis://:hunter2@cache")), "Url(\"redis://***@cache\")");
/// # drop(address);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// The URL. One with a password is refused when the storage is opened: settings are no place for it.
    Url(String),
    /// A file that holds the URL.
    File(PathBuf),
    /// An environment variable that holds the URL, by its name; or `NAME_FILE`, which names a file.
    Env(String),
}

impl Address {
    /// The URL. Blocks on the file system for one in a file.
    ///
    /// # Errors
    /// Those of [`Secret::from_file`] and [`Secret::from_env`].
    pub fn read(&self) -> Result<Secret> {
        match self {
            Self::Url(url) => Ok(Secret::new(url.as_str())),
            Self::File(path) => Secret::from_file(path),
            Self::Env(name) => Secret::from_env(name),
        }
    }

    /// True when a password stands in the settings themselves.
    pub(crate) fn shows_password(&self) -> bool {
        matches!(self, Self::Url(urls) if urls.split(',').any(holds_password))
    }
}

fn holds_password(url: &str) -> bool {
    let (bare, query) = url.split_once('?').unwrap_or((url, ""));
    let rest = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    let authority = rest.split(['/', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || query.contains("password=")
}

/// The URL without what stands before an `@` and without a query, which may hold a password too.
fn without_credentials(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match (bare.split_once("://"), bare.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        (None, Some((_, rest))) => format!("***@{rest}"),
        _ => bare.to_owned(),
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                let shown: Vec<String> = url.split(',').map(without_credentials).collect();
                f.debug_tuple("Url").field(&shown.join(",")).finish()
            }
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
        }
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        Self::Url(url.into())
    }
}

impl From<String> for Address {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

/// The forms that are no text.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kept {
    File(PathBuf),
    Env(String),
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Url(url) => serializer.serialize_str(url),
            Self::File(path) => Kept::File(path.clone()).serialize(serializer),
            Self::Env(name) => Kept::Env(name.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Address;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or the file or env that holds one")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Address, E> {
                if text.trim().is_empty() { Err(E::custom("the URL is empty")) } else { Ok(text.into()) }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Address, A::Error> {
                Ok(match Kept::deserialize(MapAccessDeserializer::new(map)).map_err(A::Error::custom)? {
                    Kept::File(path) => Address::File(path),
                    Kept::Env(name) => Address::Env(name),
                })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_and_never_shown() {
        for (url, shows) in [
            ("redis://cache:6379", false),
            ("postgres://app@db1:5432,db2/app?sslmode=require", false),
            ("redis://:hunter2@cache", true),
            ("postgres://app:hunter2@db/app", true),
            ("postgres://app@db/app?password=hunter2", true),
            ("redis://a,redis://:hunter2@b", true),
        ] {
            let address = Address::from(url);
            assert_eq!(address.shows_password(), shows, "{url}");
            assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
        }
    }
}
