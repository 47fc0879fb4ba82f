//! Signed URLs.

use super::AsObjectStore;
use crate::adapt::convert::inner_path;
use crate::adapt::error::{Call, outer};
use aeth_core::blob::{BlobStore, PresignMethod, PresignOptions};
use aeth_core::{Error, Result};
use async_trait::async_trait;
use object_store::Result as OuterResult;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer, Url};
use std::time::Duration;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Signer for AsObjectStore {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> OuterResult<Url> {
        self.sign(method, path, expires_in).await.map_err(|error| outer(error, Call::Read, path))
    }

    async fn signed_url_opts(
        &self,
        method: Method,
        path: &Path,
        expires_in: Duration,
        options: &SignedUrlOptions,
    ) -> OuterResult<Url> {
        if options.is_empty() {
            return self.signed_url(method, path, expires_in).await;
        }
        // A URL without the demanded parameters would allow more than was asked for.
        let error =
            Error::unsupported("a URL cannot be signed together with more parameters or headers here");
        Err(outer(error, Call::Read, path))
    }

    async fn signed_urls(
        &self,
        method: Method,
        paths: &[Path],
        expires_in: Duration,
    ) -> OuterResult<Vec<Url>> {
        let mut urls = Vec::with_capacity(paths.len());
        for path in paths {
            urls.push(self.signed_url(method.clone(), path, expires_in).await?);
        }
        Ok(urls)
    }
}

impl AsObjectStore {
    async fn sign(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        let method = match method {
            Method::GET => PresignMethod::Get,
            Method::PUT => PresignMethod::Put,
            Method::HEAD => PresignMethod::Head,
            Method::DELETE => PresignMethod::Delete,
            other => return Err(Error::unsupported(format!("no URL can be signed for the method {other}"))),
        };
        let signed = self.store.presign(&inner_path(path)?, PresignOptions::new(method, expires_in)).await?;
        if !signed.headers.is_empty() {
            return Err(Error::unsupported(
                "the URL needs headers, which object_store's signer cannot give back",
            ));
        }
        // Not with the parse error as its source: it may show the URL, which is a permission.
        Url::parse(&signed.url).map_err(|_| Error::other("the store signed something that is not a URL"))
    }
}
