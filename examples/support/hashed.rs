//! Streams that are hashed as they pass.

use aetherius::{Body, ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::io::AsyncReadExt;

const CHUNK: usize = 1 << 20;

/// The hash of what has passed, and how much it was.
#[derive(Clone, Default)]
pub(crate) struct Passed(Arc<Mutex<(Sha256, u64)>>);

impl Passed {
    fn note(&self, bytes: &[u8]) {
        if let Ok(mut state) = self.0.lock() {
            state.0.update(bytes);
            state.1 += bytes.len() as u64;
        }
    }

    /// Hash and length of what has passed.
    pub(crate) fn result(&self) -> ([u8; 32], u64) {
        match self.0.lock() {
            Ok(state) => (state.0.clone().finalize().into(), state.1),
            Err(_) => ([0; 32], 0),
        }
    }
}

/// The content of a file as a body, hashed as it is read: bytes when it is small, otherwise a stream whose
/// length is not promised, for the file may grow.
pub(crate) async fn body(path: &Path) -> Result<(Body, Passed)> {
    let mut file = tokio::fs::File::open(path).await?;
    let passed = Passed::default();
    let first = chunk(&mut file, &passed).await?;
    if first.len() < CHUNK {
        return Ok((Body::Bytes(first), passed));
    }
    let rest = futures_util::stream::try_unfold((file, passed.clone()), |(mut file, passed)| async move {
        let next = chunk(&mut file, &passed).await?;
        Ok::<_, Error>((!next.is_empty()).then_some((next, (file, passed))))
    });
    Ok((Body::once(futures_util::stream::iter([Ok(first)]).chain(rest), None), passed))
}

/// The next [`CHUNK`] bytes, or what is left.
async fn chunk(file: &mut tokio::fs::File, passed: &Passed) -> Result<Bytes> {
    let mut buffer = Vec::with_capacity(64 << 10);
    let read = file.take(CHUNK as u64).read_to_end(&mut buffer).await?;
    passed.note(&buffer[..read]);
    Ok(buffer.into())
}

/// Hash and length of a stream.
pub(crate) async fn drain(mut stream: ByteStream) -> Result<([u8; 32], u64)> {
    let passed = Passed::default();
    while let Some(chunk) = stream.next().await {
        passed.note(&chunk?);
    }
    Ok(passed.result())
}

/// Hash and length of a file. Blocks on I/O.
pub(crate) fn file(path: &Path) -> Result<([u8; 32], u64)> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hash.finalize().into(), length)),
            n => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
}
