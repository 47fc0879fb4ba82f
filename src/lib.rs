//! An application's whole storage layer in one dependency.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[allow(dead_code)]
mod data_dir;
mod settings;

pub use aeth_core::{Error, ErrorKind, Result, Retry, Secret};
pub use settings::{
    BackupSettings, CacheSettings, DatabaseSettings, Durability, Encryption, FilesSettings, HealthSettings,
    Problem, Problems, SecretSource, Settings, Size, Span,
};
