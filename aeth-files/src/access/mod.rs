//! Access by rules.

mod policy;

pub use policy::{AccessPolicy, AccessRule, Action, Principal};

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use async_trait::async_trait;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A decision that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audited<'a> {
    /// Who asked.
    pub principal: &'a str,
    /// What for.
    pub action: Action,
    /// The path, or the prefix of a listing.
    pub path: &'a str,
    /// Whether it was allowed.
    pub allowed: bool,
}

/// Receives every decision, on the caller's task: it must not block.
pub type OnAudit = Arc<dyn Fn(Audited<'_>) + Send + Sync>;

/// A layer through which a principal can do what the rules allow, and nothing else.
///
/// Everything else fails with `Denied` before the store below is asked. Blobs that a principal may not list are not
/// in its listings. Presigned URLs are refused, because whoever has one needs no rule. Who the principal is, is the
/// host's to know: one handle is for one principal, made by [`for_principal`](Self::for_principal).
///
/// ```
/// use aeth_core::blob::{BlobStore, BlobStoreExt};
/// use aeth_core::{BlobPath, ErrorKind};
/// use aeth_files::{Access, AccessPolicy, AccessRule, Action, MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let policy = AccessPolicy::new([AccessRule::allow("ann", Action::ALL).below("ann/")]);
/// let access = Access::new(MemoryStore::new(), policy);
/// let ann = access.for_principal("ann");
/// ann.put(&BlobPath::new("ann/a")?, "mine").await?;
/// let denied = ann.put(&BlobPath::new("ben/a")?, "not mine").await.unwrap_err();
/// assert_eq!(denied.kind(), ErrorKind::Denied);
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Access {
    inner: Arc<dyn BlobStore>,
    name: Arc<str>,
    policy: Arc<RwLock<Arc<AccessPolicy>>>,
    audit: Option<OnAudit>,
}

impl Access {
    /// Puts these rules before a store.
    #[must_use]
    pub fn new(store: impl BlobStore, policy: AccessPolicy) -> Self {
        let name = format!("access({})", store.name()).into();
        Self { inner: Arc::new(store), name, policy: Arc::new(RwLock::new(Arc::new(policy))), audit: None }
    }

    /// Shows every decision to this.
    #[must_use]
    pub fn with_audit(mut self, audit: OnAudit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Takes other rules from now on, for all handles.
    pub fn replace_policy(&self, policy: AccessPolicy) {
        *self.policy.write() = Arc::new(policy);
    }

    /// The store as this principal may use it.
    #[must_use]
    pub fn for_principal(&self, principal: impl Into<String>) -> AccessStore {
        AccessStore { access: self.clone(), principal: principal.into().into() }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("inner", &self.inner)
            .field("policy", &self.policy.read())
            .finish_non_exhaustive()
    }
}

/// A store as one principal may use it; made by [`Access::for_principal`].
#[derive(Debug, Clone)]
pub struct AccessStore {
    access: Access,
    principal: Arc<str>,
}

impl AccessStore {
    fn policy(&self) -> Arc<AccessPolicy> {
        Arc::clone(&self.access.policy.read())
    }

    fn audit(&self, action: Action, path: &str, allowed: bool) {
        if let Some(audit) = &self.access.audit {
            audit(Audited { principal: &self.principal, action, path, allowed });
        }
    }

    fn demand(&self, action: Action, path: &BlobPath) -> Result<()> {
        let allowed = self.policy().permits(&self.principal, action, path.as_str());
        self.audit(action, path.as_str(), allowed);
        if allowed {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Denied, format!("no rule allows to {} it", action.as_str()))
            .with_component("access")
            .with_key(path)
            .with_remedy("ask whoever keeps the rules for one that does"))
    }

    fn inner(&self) -> &dyn BlobStore {
        &*self.access.inner
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for AccessStore {
    fn name(&self) -> Cow<'_, str> {
        (*self.access.name).into()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities().without(Capability::Presign)
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.demand(Action::Read, path)?;
        self.inner().get_opts(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.demand(Action::Write, path)?;
        self.inner().put_opts(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let verdicts: Vec<Result<()>> = paths.iter().map(|path| self.demand(Action::Delete, path)).collect();
        let allowed = verdicts.iter().zip(paths).filter(|(verdict, _)| verdict.is_ok());
        let allowed: Vec<BlobPath> = allowed.map(|(_, path)| path.clone()).collect();
        let mut results = self.inner().delete_many(&allowed).await?.into_iter();
        let missing = || Err(Error::other("the store gave too few answers").with_component("access"));
        let result = |verdict: Result<()>| verdict.and_then(|()| results.next().unwrap_or_else(missing));
        Ok(verdicts.into_iter().map(result).collect())
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.demand(Action::Read, from)?;
        self.demand(Action::Write, to)?;
        self.inner().copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.demand(Action::Read, from)?;
        self.demand(Action::Delete, from)?;
        self.demand(Action::Write, to)?;
        self.inner().rename_opts(from, to, options).await
    }

    async fn list_page(&self, mut options: ListOptions) -> Result<Page> {
        let policy = self.policy();
        let prefix = options.prefix.clone().unwrap_or_default();
        let allowed = policy.may_permit_below(&self.principal, Action::List, &prefix);
        self.audit(Action::List, &prefix, allowed);
        if !allowed {
            return Err(Error::new(ErrorKind::Denied, "no rule allows to list there")
                .with_component("access")
                .with_key(&prefix)
                .with_remedy("list a prefix that a rule allows"));
        }
        loop {
            let mut page = self.inner().list_page(options.clone()).await?;
            page.blobs.retain(|meta| policy.permits(&self.principal, Action::List, meta.path.as_str()));
            page.prefixes.retain(|group| policy.may_permit_below(&self.principal, Action::List, group));
            // A page of nothing but what may not be seen is none.
            match page.next.take_if(|_| page.blobs.is_empty() && page.prefixes.is_empty()) {
                Some(token) => options.token = Some(token),
                None => return Ok(page),
            }
        }
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.demand(Action::Write, path)?;
        self.inner().begin_upload(path, options).await
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.demand(Action::Write, path)?;
        self.inner().resume_upload(path, id).await
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(Error::unsupported("a URL would lead around the rules")
            .with_operation("presign")
            .with_component("access")
            .with_key(path))
    }
}
