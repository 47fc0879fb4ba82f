//! A location as a store.

use super::place::{Kind, Place};
use aeth_core::blob::BlobStore;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "opendal-0-59"))]
use aeth_core::blob::{Capabilities, probe};
use aeth_core::policy::{Policy, PolicyStore};
use aeth_core::{Clock, Error, Result};
use aeth_files::{Durability, LocalDir, LocalDirOptions, Prefixed};
use std::sync::Arc;

/// How a location is opened.
#[derive(Debug, Clone)]
pub(crate) struct OpenOptions {
    pub(crate) clock: Arc<dyn Clock>,
    /// What a write survives, in a directory.
    pub(crate) durability: Durability,
    /// Whether servers that are not the service's own are asked what they really do. It costs some requests.
    pub(crate) probe: bool,
}

impl Place {
    /// Opens the store. Calls to servers are made under a policy: attempts are bounded and repeated. Nothing is sent
    /// before the first call, unless the store is probed.
    pub(crate) async fn open(&self, options: &OpenOptions) -> Result<Arc<dyn BlobStore>> {
        let opened = match &self.kind {
            Kind::Directory(path) => {
                let local = LocalDirOptions::default()
                    .with_durability(options.durability)
                    .with_clock(Arc::clone(&options.clock));
                let store = LocalDir::open_with(path, local).await;
                return store.map(|store| Arc::new(store) as _).map_err(|error| self.named(error));
            }
            _ => self.remote(options).await.map_err(|error| self.named(error))?,
        };
        let store = PolicyStore::new(opened, Policy::default(), Arc::clone(&options.clock));
        Ok(match &self.prefix {
            Some(prefix) => Arc::new(Prefixed::new(store, prefix.clone())),
            None => Arc::new(store),
        })
    }

    /// The error of a location, which names it in front of what happened there.
    fn named(&self, error: Error) -> Error {
        let named = Error::new(error.kind(), error.message().to_owned())
            .with_operation("open")
            .with_component("location")
            .with_key(self.label())
            .with_retry(error.retry());
        let named = match error.remedy() {
            Some(remedy) => named.with_remedy(remedy.to_owned()),
            None => named,
        };
        named.with_source(error)
    }

    #[cfg_attr(
        not(any(feature = "s3", feature = "gcs", feature = "azure", feature = "opendal-0-59")),
        allow(clippy::unused_async, reason = "what awaits is behind features")
    )]
    async fn remote(&self, options: &OpenOptions) -> Result<Arc<dyn BlobStore>> {
        match &self.kind {
            #[cfg(feature = "s3")]
            Kind::S3 { bucket } => {
                let store = aeth_files::ObjectStoreAdapter::s3(self.s3(bucket, options))?;
                match self.seen(&store, options).await? {
                    Some(seen) => Ok(Arc::new(store.narrow(&seen))),
                    None => Ok(Arc::new(store)),
                }
            }
            #[cfg(feature = "gcs")]
            Kind::Gcs { bucket } => {
                let mut gcs = aeth_files::GcsOptions::new(bucket).with_adapter(adapter(options));
                if let Some(key) = &self.key {
                    gcs = gcs.with_service_account(key.clone());
                }
                Ok(Arc::new(aeth_files::ObjectStoreAdapter::gcs(gcs)?))
            }
            #[cfg(feature = "azure")]
            Kind::Azure { account, container } => {
                let mut azure = aeth_files::AzureOptions::new(account, container)
                    .with_allow_http(self.settings.allow_http)
                    .with_adapter(adapter(options));
                if let Some(key) = &self.key {
                    azure = azure.with_access_key(key.clone());
                }
                if let Some(endpoint) = &self.settings.endpoint {
                    azure = azure.with_endpoint(endpoint);
                }
                Ok(Arc::new(aeth_files::ObjectStoreAdapter::azure(azure)?))
            }
            #[cfg(feature = "opendal-0-59")]
            Kind::Opendal { uri } => {
                let mut given: Vec<(String, String)> =
                    self.settings.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                for (name, secret) in &self.secrets {
                    given.push((name.clone(), secret.expose_str()?.to_owned()));
                }
                let adapter =
                    aeth_files::OpendalAdapterOptions::default().with_clock(Arc::clone(&options.clock));
                let store = aeth_files::OpendalAdapter::from_uri(uri, given, adapter)?;
                match self.seen(&store, options).await? {
                    Some(seen) => Ok(Arc::new(store.narrow(&seen))),
                    None => Ok(Arc::new(store)),
                }
            }
            _ => Err(Error::unsupported("this build cannot open it")),
        }
    }

    #[cfg(feature = "s3")]
    fn s3(&self, bucket: &str, options: &OpenOptions) -> aeth_files::S3Options {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let settings = &self.settings;
        let mut s3 = aeth_files::S3Options::new(bucket)
            .with_virtual_hosted(settings.virtual_hosted)
            .with_allow_http(settings.allow_http)
            .with_adapter(adapter(options));
        if let Some(region) =
            settings.region.clone().or_else(|| var("AWS_REGION")).or_else(|| var("AWS_DEFAULT_REGION"))
        {
            s3 = s3.with_region(region);
        }
        if let Some(endpoint) = &settings.endpoint {
            s3 = s3.with_endpoint(endpoint);
        } else if let Some(endpoint) = var("AWS_ENDPOINT_URL_S3").or_else(|| var("AWS_ENDPOINT_URL")) {
            // As the AWS tools take it, which ask nobody whether it may be without TLS.
            s3 = s3.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
        }
        if let (Some(user), Some(key)) = (&settings.user, &self.key) {
            s3 = s3.with_key(user, key.clone());
        }
        if let Some(token) = &self.token {
            s3 = s3.with_token(token.clone());
        }
        s3
    }

    /// What a server shows of what its protocol has; `None` when it is the service's own, or cannot be asked now.
    #[cfg(any(feature = "s3", feature = "opendal-0-59"))]
    async fn seen(&self, store: &dyn BlobStore, options: &OpenOptions) -> Result<Option<Capabilities>> {
        let own = self.settings.endpoint.is_none() && matches!(self.kind, Kind::S3 { .. });
        if !options.probe || own {
            return Ok(None);
        }
        let place = match &self.prefix {
            Some(prefix) => prefix.join("tmp")?,
            None => aeth_core::BlobPath::new("tmp")?,
        };
        match probe(store, &place).await {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if error.retry().is_worthwhile() => {
                tracing::warn!(location = self.label(), %error, "the location could not be probed");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn adapter(options: &OpenOptions) -> aeth_files::ObjectStoreAdapterOptions {
    aeth_files::ObjectStoreAdapterOptions::default().with_clock(Arc::clone(&options.clock))
}
