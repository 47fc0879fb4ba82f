//! Azure Blob Storage.

use super::{client, named, no_retries, refused, text};
use crate::adapt::{Engine, ObjectStoreAdapter, ObjectStoreAdapterOptions};
use aeth_core::{Result, Secret};
use object_store::azure::MicrosoftAzureBuilder;
use std::sync::Arc;

/// Where a container is and who asks for it.
///
/// Without an [access key](Self::with_access_key) the credentials are those of the environment
/// (`AZURE_STORAGE_ACCOUNT_KEY` and the like) or of the machine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AzureOptions {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// A key of the account, in base64.
    pub access_key: Option<Secret>,
    /// The URL of another server than Azure's, for example of the emulator; one with `http://` needs
    /// [`allow_http`](Self::allow_http).
    pub endpoint: Option<String>,
    /// Whether connections without TLS are allowed; default false.
    pub allow_http: bool,
    /// The adapter's options.
    pub adapter: ObjectStoreAdapterOptions,
}

impl AzureOptions {
    /// The default options for a container.
    #[must_use]
    pub fn new(account: impl Into<String>, container: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            container: container.into(),
            access_key: None,
            endpoint: None,
            allow_http: false,
            adapter: ObjectStoreAdapterOptions::default(),
        }
    }

    /// Sets a key of the account, in base64.
    #[must_use]
    pub fn with_access_key(mut self, key: Secret) -> Self {
        self.access_key = Some(key);
        self
    }

    /// Sets the URL of another server than Azure's.
    #[must_use]
    pub fn with_endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
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
    /// A container of Azure Blob Storage, with the engine's own pages, parts and signed URLs. Nothing is sent yet.
    ///
    /// # Errors
    /// Invalid for settings that are incomplete or not right.
    pub fn azure(options: AzureOptions) -> Result<Self> {
        named(&options.account, "account", "azure")?;
        named(&options.container, "container", "azure")?;
        let base = match &options.access_key {
            Some(key) => MicrosoftAzureBuilder::new().with_access_key(text(key, "access key")?),
            None => MicrosoftAzureBuilder::from_env(),
        };
        let mut builder = base
            .with_account(options.account)
            .with_container_name(options.container)
            .with_client_options(client(options.allow_http))
            .with_retry(no_retries());
        if let Some(endpoint) = options.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = Arc::new(builder.build().map_err(|error| refused(error, "azure"))?);
        let adapter = Self::with_options(Arc::clone(&store) as _, Engine::Azure, options.adapter);
        Ok(adapter.with_pages(Arc::clone(&store) as _).with_parts(Arc::clone(&store) as _).with_signer(store))
    }
}
