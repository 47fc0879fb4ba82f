//! Constructors of the engines that object_store brings.
//!
//! All of them switch object_store's own retries off, because the host's policy repeats calls, and its limit on whole
//! requests, because the adapter limits each wait instead: a large body may take as long as it moves.

#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "s3")]
mod object_lock;
#[cfg(feature = "s3")]
mod s3;

#[cfg(feature = "azure")]
pub use azure::AzureOptions;
#[cfg(feature = "gcs")]
pub use gcs::GcsOptions;
#[cfg(feature = "http")]
pub use http::HttpOptions;
#[cfg(feature = "s3")]
pub use object_lock::{ObjectLockMode, S3ObjectLock};
#[cfg(feature = "s3")]
pub use s3::S3Options;

use aeth_core::Error;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use aeth_core::{Result, Secret};
use object_store::{ClientOptions, RetryConfig};
use std::time::Duration;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT).with_allow_http(allow_http)
}

fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// A secret that is text.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn text(secret: &Secret, what: &'static str) -> Result<String> {
    let text = std::str::from_utf8(secret.expose());
    text.map(Into::into).map_err(|_| Error::invalid(format!("the {what} is not text")))
}

/// Refuses a name that is missing, which object_store would only find when it asks the engine.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn named(name: &str, what: &'static str, engine: &'static str) -> Result<()> {
    if !name.trim().is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!("the name of the {what} is empty"))
        .with_component(engine)
        .with_operation("open")
        .with_remedy(format!("name the {what}")))
}

/// An error of a builder: the settings are wrong or incomplete.
fn refused(error: object_store::Error, engine: &'static str) -> Error {
    Error::invalid("the settings are not complete or not right")
        .with_component(engine)
        .with_operation("open")
        .with_source(error)
        .with_remedy("see the source of this error for the setting that it names")
}
