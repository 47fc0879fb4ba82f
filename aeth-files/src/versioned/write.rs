//! Writes: what is there is kept before it goes.

use super::Inside;
use super::place::{id, place};
use crate::checksum::{Verifier, check_length};
use aeth_core::blob::{
    BlobMeta, BlobStore, BlobStoreExt, Capability, CopyMode, CopyOptions, PutMode, PutOptions, PutResult,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use bytes::BytesMut;
use futures_util::{StreamExt, stream};

/// How often a write begins anew because another one came first.
const ATTEMPTS: usize = 64;
/// Bodies up to this length are kept in memory, so that they can be sent again.
const SHORT: u64 = 8 << 20;

/// What a write replaces.
pub(super) enum Before {
    Nothing,
    /// It was kept.
    Kept(Box<BlobMeta>),
}

fn busy(path: &BlobPath) -> Error {
    Error::new(ErrorKind::Busy, "the blob is replaced again and again")
        .with_component("versioned")
        .with_key(path)
}

fn refused(mode: &PutMode, path: &BlobPath) -> Error {
    let (kind, what) = match mode {
        PutMode::Create => (ErrorKind::AlreadyExists, "there is a blob already"),
        _ => (ErrorKind::Precondition, "the blob has another etag than the one demanded, or is missing"),
    };
    Error::new(kind, what).with_component("versioned").with_key(path)
}

impl Inside {
    /// Keeps what is at a path.
    pub(super) async fn keep(&self, path: &BlobPath) -> Result<Before> {
        for _ in 0..ATTEMPTS {
            let meta = match self.inner.head(path).await {
                Ok(meta) => meta,
                Err(error) if error.is_not_found() => return Ok(Before::Nothing),
                Err(error) => return Err(error),
            };
            let to = place(path, &id(meta.modified, self.clock.now())?)?;
            let mut options = CopyOptions::default();
            options.if_match.clone_from(&meta.etag);
            match self.inner.copy_opts(path, &to, options).await {
                Ok(_) => return Ok(Before::Kept(Box::new(meta))),
                // It was replaced or deleted meanwhile: that one has kept it.
                Err(error) if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy(path))
    }

    pub(super) async fn put(
        &self,
        path: &BlobPath,
        body: Body,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        // Whether there is room for the names of its versions.
        place(path, &id(self.clock.now(), self.clock.now())?)?;
        if let PutMode::Create = options.mode {
            // It replaces nothing.
            return self.inner.put_opts(path, body, options).await;
        }
        if let PutMode::Match(_) = options.mode {
            self.caps.require(Capability::CompareAndSwap)?;
        }
        let length = body.length();
        let short = match body {
            body @ (Body::Bytes(_) | Body::Reopenable(_)) => Ok(body),
            body => read_short(body, length, &mut options).await.map_err(|error| error.with_key(path))?,
        };
        let (again, mut once) = match short {
            Ok(body) => (Some(body), None),
            Err(stream) => (None, Some(stream)),
        };
        for _ in 0..ATTEMPTS {
            let body = match (&again, once.take()) {
                (Some(body), _) => body.try_clone(),
                (None, once) => once,
            };
            let Some(body) = body else { return Err(busy(path)) };
            // Only what can be sent again is sent while others wait.
            let _turn = if again.is_some() { self.turn(path).await } else { None };
            let before = self.keep(path).await?;
            let mut put = options.clone();
            put.mode = match (&options.mode, &before) {
                (PutMode::Match(wanted), Before::Kept(meta)) if meta.etag.as_ref() == Some(wanted) => {
                    options.mode.clone()
                }
                (PutMode::Match(_), _) => return Err(refused(&options.mode, path)),
                _ if !self.swaps => PutMode::Overwrite,
                (_, Before::Nothing) => PutMode::Create,
                (_, Before::Kept(meta)) => meta.etag.clone().map_or(PutMode::Overwrite, PutMode::Match),
            };
            match self.inner.put_opts(path, body, put).await {
                Err(error)
                    if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::AlreadyExists)
                        && !matches!(options.mode, PutMode::Match(_)) => {}
                done => return done,
            }
        }
        Err(busy(path))
    }

    pub(super) async fn delete(&self, path: &BlobPath) -> Result<()> {
        let _turn = self.turn(path).await;
        match self.keep(path).await? {
            Before::Nothing => Ok(()),
            Before::Kept(_) => self.inner.delete(path).await,
        }
    }

    pub(super) async fn copy(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        place(to, &id(self.clock.now(), self.clock.now())?)?;
        let _turn = self.turn(to).await;
        if options.mode != CopyMode::Create && self.inner.exists(from).await? {
            self.keep(to).await?;
        }
        self.inner.copy_opts(from, to, options).await
    }

    pub(super) async fn rename(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        if from == to {
            return self.inner.rename_opts(from, to, options).await;
        }
        place(to, &id(self.clock.now(), self.clock.now())?)?;
        // In one order, so that two renames do not wait for each other.
        let (first, second) = if from < to { (from, to) } else { (to, from) };
        let _first = self.turn(first).await;
        let _second = if self.same_turn(first, second) { None } else { self.turn(second).await };
        if options.mode == CopyMode::Create && self.inner.exists(to).await? {
            return self.inner.rename_opts(from, to, options).await;
        }
        if self.inner.exists(from).await? {
            self.keep(to).await?;
            self.keep(from).await?;
        }
        self.inner.rename_opts(from, to, options).await
    }
}

/// Reads a body that can be read once as far as it is short: then it can be sent again. A longer one comes back as it
/// was.
async fn read_short(
    body: Body,
    length: Option<u64>,
    options: &mut PutOptions,
) -> Result<std::result::Result<Body, Body>> {
    let mut stream = body.into_stream();
    let mut short = BytesMut::new();
    while length.is_none_or(|length| length <= SHORT) && short.len() as u64 <= SHORT {
        let Some(chunk) = stream.next().await else {
            check_length(length, short.len() as u64)?;
            if let Some(mut verifier) = Verifier::of(options.checksum.take().as_ref())? {
                verifier.update(&short);
                verifier.finish()?;
            }
            return Ok(Ok(Body::Bytes(short.freeze())));
        };
        short.extend_from_slice(&chunk?);
    }
    let begun = stream::iter((!short.is_empty()).then(|| Ok(short.freeze())));
    Ok(Err(Body::once(begun.chain(stream), length)))
}
