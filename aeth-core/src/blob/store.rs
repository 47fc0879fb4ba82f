//! The trait.

use super::{
    Blob, Capabilities, CopyOptions, GetOptions, ListOptions, Page, PresignOptions, PutOptions, PutResult,
    SignedUrl, Upload, UploadId,
};
use crate::{BlobPath, Body, Result};
use async_trait::async_trait;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A store of blobs, or a layer over one.
///
/// Paths are the only structure: there are no directories. What a call may rely on is in
/// [`capabilities`](Self::capabilities); a call that needs more fails with
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and changes nothing. The laws that hold for every
/// store are in the conformance suite.
///
/// Besides the kinds that a method names, each may fail with `Unavailable`, `Timeout`, `Denied`, `Closed` and
/// `Other`.
///
/// Users want [`BlobStoreExt`](super::BlobStoreExt).
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// A short label for messages and metrics (`"local-dir"`, `"encrypted(local-dir)"`); of low cardinality and
    /// without secrets.
    fn name(&self) -> Cow<'_, str>;

    /// What this store can do. Constant over the life of the handle, and cheap.
    fn capabilities(&self) -> Capabilities;

    /// Opens a blob, a part of it, or only its metadata.
    ///
    /// The metadata and all bytes are those of one state of the blob: a concurrent overwrite gives the old or
    /// the new one, never a mixture; a store that finds it cannot go on with the state that it began fails the
    /// stream.
    ///
    /// # Errors
    /// `NotFound`; `Precondition` when a condition does not hold; `Invalid` for a range that starts past the
    /// end; `Corrupt` when stored bytes fail their check (also from the stream).
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing is changed.
    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob>;

    /// Writes a blob, all or nothing: until it returns, and when it fails or is dropped, readers see what was
    /// there before. The store, not the caller, decides about multipart.
    ///
    /// When it fails with `Unavailable` or `Timeout`, whether the write took effect is unknown.
    ///
    /// # Errors
    /// `AlreadyExists` and `Precondition` per [`PutMode`](super::PutMode); `Corrupt` when the bytes do not have
    /// the checksum given or the body's length is not the one that it states; `Full`; the error of the body's
    /// stream, unchanged.
    ///
    /// # Cancel safety
    /// Cancel-safe in that the blob is old or new, never partial; leftovers of a dropped put are removed in the
    /// background or by the next start.
    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult>;

    /// Deletes blobs, each by itself: the result has one entry for each path, in order. A missing blob is
    /// success. Duplicates are allowed, and so is an empty slice.
    ///
    /// # Errors
    /// The outer one when nothing was tried; the inner ones per path.
    ///
    /// # Cancel safety
    /// Any subset of the blobs may be gone; repeating the call completes it.
    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>>;

    /// Copies a blob within the store, all or nothing. A copy onto itself keeps the bytes.
    ///
    /// # Errors
    /// `NotFound` when the source is missing; `AlreadyExists` with
    /// [`CopyMode::Create`](super::CopyMode::Create); `Precondition` when the source has another mark.
    ///
    /// # Cancel safety
    /// The target is old or new, never partial.
    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult>;

    /// Moves a blob within the store. Atomic only with
    /// [`Capability::AtomicRename`](super::Capability::AtomicRename); otherwise a copy followed by a delete,
    /// between which both exist. A rename onto itself changes nothing.
    ///
    /// # Errors
    /// As [`copy_opts`](Self::copy_opts).
    ///
    /// # Cancel safety
    /// The target is old or new, never partial; without the capability the source may remain.
    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult>;

    /// One page of the blobs, in ascending order of path bytes. A path that is not valid in this contract (an
    /// odd name put there by another tool) is left out and reported by `tracing`.
    ///
    /// A blob that exists during the whole listing appears exactly once; one that is written or deleted
    /// meanwhile may or may not.
    ///
    /// # Errors
    /// `Invalid` for a token that this store did not give. An empty or missing prefix is an empty page, not an
    /// error.
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing is changed.
    async fn list_page(&self, options: ListOptions) -> Result<Page>;

    /// Begins an upload in parts, for adapters that must expose one. Hosts use
    /// [`put_opts`](Self::put_opts).
    ///
    /// # Errors
    /// `Unsupported` without [`Capability::Uploads`](super::Capability::Uploads) or
    /// [`Capability::PlainUploads`](super::Capability::PlainUploads).
    ///
    /// # Cancel safety
    /// An upload may have been begun; it is invisible to readers and expires by the store's own rule.
    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>>;

    /// Takes up an upload again, in this or another process.
    ///
    /// # Errors
    /// `NotFound` when there is no such upload (completed, aborted, expired), which with
    /// [`Capability::PlainUploads`](super::Capability::PlainUploads) the next call on it tells; `Unsupported` without
    /// that and [`Capability::ResumeUploads`](super::Capability::ResumeUploads).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>>;

    /// Makes a URL that allows one operation without credentials. A layer that changes or guards the bytes
    /// refuses.
    ///
    /// # Errors
    /// `Unsupported` without [`Capability::Presign`](super::Capability::Presign); `Invalid` for an expiry out
    /// of range.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl>;
}

macro_rules! forward {
    ($($pointer:tt)+) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl BlobStore for $($pointer)+ {
            fn name(&self) -> Cow<'_, str> {
                (**self).name()
            }
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
            async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
                (**self).get_opts(path, options).await
            }
            async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
                (**self).put_opts(path, body, options).await
            }
            async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
                (**self).delete_many(paths).await
            }
            async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
                (**self).copy_opts(from, to, options).await
            }
            async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
                (**self).rename_opts(from, to, options).await
            }
            async fn list_page(&self, options: ListOptions) -> Result<Page> {
                (**self).list_page(options).await
            }
            async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
                (**self).begin_upload(path, options).await
            }
            async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
                (**self).resume_upload(path, id).await
            }
            async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
                (**self).presign(path, options).await
            }
        }
    };
}

forward!(Arc<dyn BlobStore>);
forward!(Box<dyn BlobStore>);
