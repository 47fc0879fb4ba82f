//! Locations that are not directories.

#[cfg(not(all(feature = "s3", feature = "opendal-services")))]
use aetherius::Error;
use aetherius::Result;
use aetherius::core::backup::BlobSink;
#[cfg(any(feature = "s3", feature = "opendal-services"))]
use std::sync::Arc;

#[cfg(feature = "s3")]
pub(super) fn s3(bucket: &str, prefix: &str, object_lock: Option<bool>) -> Result<BlobSink> {
    use aetherius::files::{ObjectLockMode, ObjectStoreAdapter, S3ObjectLock, S3Options};
    use aetherius::{BlobPath, Secret};
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
    let store = ObjectStoreAdapter::s3(options.clone())?;
    let prefix = if prefix.is_empty() { None } else { Some(BlobPath::new(prefix)?) };
    let label =
        prefix.as_ref().map_or_else(|| format!("s3://{bucket}"), |prefix| format!("s3://{bucket}/{prefix}"));
    let sink = BlobSink::new(Arc::new(store), prefix)?.label(label);
    let Some(compliance) = object_lock else { return Ok(sink) };
    let mode = if compliance { ObjectLockMode::Compliance } else { ObjectLockMode::Governance };
    Ok(sink.object_lock(Arc::new(S3ObjectLock::new(options, mode)?)))
}

#[cfg(not(feature = "s3"))]
pub(super) fn s3(bucket: &str, prefix: &str, _: Option<bool>) -> Result<BlobSink> {
    Err(Error::unsupported("this program was built without S3")
        .with_key(format!("s3://{bucket}/{prefix}"))
        .with_remedy("build it with `--features s3`"))
}

/// The kinds of locations that this program opens through opendal. Others need their service in the manifest.
#[cfg(feature = "opendal-services")]
pub(super) fn is_service(scheme: &str) -> bool {
    matches!(scheme, "fs" | "webdav")
}

#[cfg(not(feature = "opendal-services"))]
pub(super) fn is_service(_: &str) -> bool {
    false
}

/// A URI without what may be secret: its query, in which opendal takes keys and passwords, and the password of a user.
pub(super) fn without_secrets(uri: &str) -> String {
    let uri = uri.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Some((user, host)) = authority.rsplit_once('@') else { return uri.to_owned() };
    let user = user.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}{path}")
}

#[cfg(feature = "opendal-services")]
pub(super) fn service(uri: &str) -> Result<BlobSink> {
    use aetherius::files::{OpendalAdapter, OpendalAdapterOptions};
    let label = without_secrets(uri);
    let (uri, options) = explained(uri);
    let store = OpendalAdapter::from_uri(&uri, options, OpendalAdapterOptions::default())
        .map_err(|error| error.with_key(&label))?;
    Ok(BlobSink::new(Arc::new(store), None)?.label(label))
}

/// A URI as opendal reads it: it takes users and passwords as options of the service.
#[cfg(feature = "opendal-services")]
fn explained(uri: &str) -> (String, Vec<(String, String)>) {
    let plain = || (uri.to_owned(), Vec::new());
    let Some((scheme, rest)) = uri.split_once("://") else { return plain() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match (scheme, user.map(|user| user.split_once(':').unwrap_or((user, "")))) {
        ("webdav", Some((user, password))) => {
            let options = vec![option("username", user), option("password", password)];
            (format!("webdav://{host}{path}"), options)
        }
        _ => plain(),
    }
}

#[cfg(not(feature = "opendal-services"))]
pub(super) fn service(uri: &str) -> Result<BlobSink> {
    Err(Error::unsupported("this program was built without opendal")
        .with_key(without_secrets(uri))
        .with_remedy("build it with `--features opendal-services`"))
}
