//! Google Cloud Storage.

use super::{client, named, no_retries, refused, text};
use crate::adapt::{Engine, ObjectStoreAdapter, ObjectStoreAdapterOptions};
use aeth_core::{Result, Secret};
use object_store::gcp::GoogleCloudStorageBuilder;
use std::sync::Arc;

/// Where a bucket is and who asks for it.
///
/// Without a [service account](Self::with_service_account) the credentials are those of the environment
/// (`GOOGLE_SERVICE_ACCOUNT` and the like) or of the machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// The key of a service account: the JSON text of its file.
    pub service_account: Option<Secret>,
    /// Whether connections without TLS are allowed, as the `gcs_base_url` of an emulator's key may ask for; default
    /// false.
    pub allow_http: bool,
    /// The adapter's options.
    pub adapter: ObjectStoreAdapterOptions,
}

impl GcsOptions {
    /// The default options for a bucket.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            service_account: None,
            allow_http: false,
            adapter: ObjectStoreAdapterOptions::default(),
        }
    }

    /// Sets the key of a service account: the JSON text of its file.
    #[must_use]
    pub fn with_service_account(mut self, json: Secret) -> Self {
        self.service_account = Some(json);
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
    /// A bucket of Google Cloud Storage, with the engine's own pages, parts and signed URLs. Nothing is sent yet.
    ///
    /// # Errors
    /// Invalid for settings that are incomplete or not right.
    pub fn gcs(options: GcsOptions) -> Result<Self> {
        named(&options.bucket, "bucket", "gcs")?;
        let base = match &options.service_account {
            Some(json) => GoogleCloudStorageBuilder::new()
                .with_service_account_key(text(json, "service account's key")?),
            None => GoogleCloudStorageBuilder::from_env(),
        };
        let builder = base
            .with_bucket_name(options.bucket)
            .with_client_options(client(options.allow_http))
            .with_retry(no_retries());
        let store = Arc::new(builder.build().map_err(|error| refused(error, "gcs"))?);
        let adapter = Self::with_options(Arc::clone(&store) as _, Engine::Gcs, options.adapter);
        Ok(adapter.with_pages(Arc::clone(&store) as _).with_parts(Arc::clone(&store) as _).with_signer(store))
    }
}
