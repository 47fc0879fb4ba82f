//! HTTP servers with WebDAV.

use super::{client, no_retries, refused};
use crate::adapt::{Engine, ObjectStoreAdapter, ObjectStoreAdapterOptions};
use aeth_core::Result;
use object_store::http::HttpBuilder;
use std::fmt;
use std::sync::Arc;

/// Where a server is.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// The URL under which the blobs are; a user and a password in it are sent as HTTP's basic authentication.
    pub url: String,
    /// Whether connections without TLS are allowed; default false.
    pub allow_http: bool,
    /// The adapter's options.
    pub adapter: ObjectStoreAdapterOptions,
}

impl HttpOptions {
    /// The default options for a URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), allow_http: false, adapter: ObjectStoreAdapterOptions::default() }
    }

    /// Allows connections without TLS.
    #[must_use]
    pub fn with_allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }

    /// Sets the adapter's options.
    #[must_use]
    pub fn with_adapter(mut self, options: ObjectStoreAdapterOptions) -> Self {
        self.adapter = options;
        self
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL, which may hold a password.
        f.debug_struct("HttpOptions").field("allow_http", &self.allow_http).finish_non_exhaustive()
    }
}

impl ObjectStoreAdapter {
    /// A server that speaks WebDAV. Nothing is sent yet.
    ///
    /// # Errors
    /// Invalid for a URL that is none.
    pub fn http(options: HttpOptions) -> Result<Self> {
        let builder = HttpBuilder::new()
            .with_url(options.url)
            .with_client_options(client(options.allow_http))
            .with_retry(no_retries());
        let store = builder.build().map_err(|error| refused(error, "http"))?;
        Ok(Self::with_options(Arc::new(store), Engine::Http, options.adapter))
    }
}
