//! The facade on servers, by configuration alone: the same code on Redis, PostgreSQL and object stores. The servers are
//! real ones, started here; for S3 it is moto.
#![cfg(all(
    feature = "cache",
    feature = "files",
    feature = "backup",
    feature = "metrics",
    feature = "sqlite",
    feature = "redis",
    feature = "postgres",
    feature = "s3"
))]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

mod cache;
mod database;
mod files;
mod mistakes;
mod shutdown;
mod whole;

use aetherius::{LocationSettings, Secret, SecretSource, Settings};
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::Moto;

const DEADLINE: Duration = Duration::from_secs(20);
const SECRET: &str = "a test's own secret";

/// A file with a secret in it, as a container gets it.
fn secret_file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    path
}

/// Settings over a data directory of its own, with the secret in a file.
fn settings(dir: &Path, name: &str) -> Settings {
    let mut settings = Settings::new(dir.join(name));
    settings.secret = Some(SecretSource::File(secret_file(dir, "secret", SECRET)));
    settings
}

/// A bucket of moto, which is made, as settings name it.
fn bucket(dir: &Path, bucket: &str, prefix: &str) -> LocationSettings {
    Moto::shared().make_bucket(bucket);
    let mut location = LocationSettings::new(format!("s3://{bucket}/{prefix}"));
    location.endpoint = Some(Moto::shared().url());
    location.allow_http = true;
    location.region = Some("us-east-1".into());
    location.user = Some("app".into());
    location.key = Some(SecretSource::File(secret_file(dir, "s3-key", "a-very-secret-key")));
    location
}

fn redis_settings(url: &str, prefix: &str) -> aetherius::RedisSettings {
    let mut redis = aetherius::RedisSettings::new(url);
    redis.prefix = prefix.into();
    redis
}

fn secret() -> Secret {
    Secret::new(SECRET)
}
