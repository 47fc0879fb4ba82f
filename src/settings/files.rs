//! Settings of the files.

use super::{LocationSettings, Size, Span};
use serde::{Deserialize, Serialize};

/// Settings of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FilesSettings {
    /// Whether files are encrypted at rest.
    pub encryption: Encryption,
    /// What an acknowledged write survives, where files lie in a directory.
    pub durability: Durability,
    /// Where the files lie. Default: in the data directory. Several are a mirror: each holds everything, a write is
    /// acknowledged when a quorum has it, and the first one decides conditional writes.
    ///
    /// A location holds the files under `files/` and, when they are encrypted, their keyset under `keys/`, sealed by the
    /// secret, so that every process with the secret can share it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<LocationSettings>,
    /// How many locations must have a write before it is acknowledged. Default: more than half of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_quorum: Option<u32>,
    /// Keeps parts of files that were read, sealed as they are stored, nearer than the locations. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_cache: Option<PageCacheSettings>,
    /// Whether files are compressed before they are encrypted. Default: no. It needs the feature `zstd`, and is to be
    /// chosen before the first file is stored.
    pub compression: Compression,
    /// How many bytes may be stored; what would be more is refused as `Full`. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
}

/// Settings of the cache of pages of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PageCacheSettings {
    /// Its budget. Default: 64 MiB.
    pub size: Size,
    /// Whether it lies in the data directory and outlives the process, or in memory. Default: memory.
    pub on_disk: bool,
    /// How old what is known of a file may be, when other processes write to the same locations without a backplane.
    /// Default: 0, each read asks.
    pub revalidate_after: Span,
}

impl Default for PageCacheSettings {
    fn default() -> Self {
        Self { size: Size::from_mib(64), on_disk: false, revalidate_after: Span::default() }
    }
}

/// Whether files are encrypted at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Encryption {
    /// As soon as there is a secret.
    #[default]
    Auto,
    /// Always: without a secret the configuration is refused.
    Required,
    /// Never.
    Off,
}

/// What an acknowledged write of a file survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// A loss of power.
    #[default]
    Full,
    /// The end of the process, not a loss of power.
    Process,
}

/// Whether files are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compression {
    /// They are stored as they are.
    #[default]
    Off,
    /// By zstd, where it helps.
    Zstd,
}
