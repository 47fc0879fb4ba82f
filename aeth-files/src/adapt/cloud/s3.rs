//! Amazon S3 and what speaks its protocol.

use super::{client, named, no_retries, refused, text};
use crate::adapt::{Engine, ObjectStoreAdapter, ObjectStoreAdapterOptions};
use aeth_core::{Result, Secret};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use std::sync::Arc;

/// Where a bucket is and who asks for it.
///
/// Without [`key`](Self::with_key) the credentials are those of the environment (`AWS_ACCESS_KEY_ID` and the other
/// variables of the AWS tools), of the web identity, or of the machine's role.
///
/// object_store keeps a copy of the secret key in memory that is not erased.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// Its region; default the environment's, or `us-east-1`.
    pub region: Option<String>,
    /// The URL of a server that is not Amazon's; one with `http://` needs
    /// [`allow_http`](Self::allow_http).
    pub endpoint: Option<String>,
    /// The name of the key and the secret key.
    pub key: Option<(String, Secret)>,
    /// The token of temporary credentials.
    pub token: Option<Secret>,
    /// Whether the bucket's name is part of the host's; default false.
    pub virtual_hosted: bool,
    /// Whether connections without TLS are allowed; default false.
    pub allow_http: bool,
    /// The adapter's options.
    pub adapter: ObjectStoreAdapterOptions,
}

impl S3Options {
    /// The default options for a bucket.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            region: None,
            endpoint: None,
            key: None,
            token: None,
            virtual_hosted: false,
            allow_http: false,
            adapter: ObjectStoreAdapterOptions::default(),
        }
    }

    /// Sets the region.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the URL of a server that is not Amazon's.
    #[must_use]
    pub fn with_endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Sets the name of the key and the secret key.
    #[must_use]
    pub fn with_key(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.key = Some((name.into(), secret));
        self
    }

    /// Sets the token of temporary credentials.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// Names the bucket in the host instead of in the path.
    #[must_use]
    pub fn with_virtual_hosted(mut self, virtual_hosted: bool) -> Self {
        self.virtual_hosted = virtual_hosted;
        self
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

impl ObjectStoreAdapter {
    /// A bucket of Amazon S3 or of a server with its protocol, with the engine's own pages, parts and signed URLs. Nothing is
    /// sent yet: probe it, or read something, to see whether it is there.
    ///
    /// # Errors
    /// Invalid for settings that are incomplete or not right.
    pub fn s3(options: S3Options) -> Result<Self> {
        let adapter = options.adapter.clone();
        let store = Arc::new(bucket(options)?);
        let adapter = Self::with_options(Arc::clone(&store) as _, Engine::S3, adapter);
        Ok(adapter.with_pages(Arc::clone(&store) as _).with_parts(Arc::clone(&store) as _).with_signer(store))
    }
}

/// The bucket that options name.
pub(super) fn bucket(options: S3Options) -> Result<AmazonS3> {
    named(&options.bucket, "bucket", "s3")?;
    let base = match &options.key {
        Some(_) => AmazonS3Builder::new(),
        None => AmazonS3Builder::from_env(),
    };
    let mut builder = base
        .with_bucket_name(options.bucket)
        .with_client_options(client(options.allow_http))
        .with_retry(no_retries())
        .with_virtual_hosted_style_request(options.virtual_hosted);
    if let Some(region) = options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some((name, secret)) = options.key {
        builder = builder.with_access_key_id(name).with_secret_access_key(text(&secret, "secret key")?);
    }
    if let Some(token) = options.token {
        builder = builder.with_token(text(&token, "token")?);
    }
    builder.build().map_err(|error| refused(error, "s3"))
}
