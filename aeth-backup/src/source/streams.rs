//! Streams of an application.

use super::entry::{FileSource, VirtualFile};
use aeth_core::{Body, ByteStream, Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

/// Bytes asked from a reader at once.
const READ: usize = 256 << 10;

/// Files whose content the application hands over: bytes, streams, or any [`AsyncRead`]. Each is read once.
#[derive(Default)]
pub struct StreamSource {
    files: Vec<VirtualFile>,
    bodies: Mutex<HashMap<Vec<u8>, Body>>,
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource").field("files", &self.files).finish_non_exhaustive()
    }
}

impl StreamSource {
    /// No file yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with its content. A second file of the same path replaces the first.
    #[must_use]
    pub fn file(mut self, file: VirtualFile, content: impl Into<Body>) -> Self {
        self.files.retain(|other| other.path != file.path);
        self.bodies.get_mut().insert(file.path.clone(), content.into());
        self.files.push(file);
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self
    }

    /// Adds a file that is read from `reader`.
    #[must_use]
    pub fn reader(self, file: VirtualFile, reader: impl AsyncRead + Send + 'static) -> Self {
        let length = file.size;
        let stream = ReaderStream::with_capacity(reader, READ).map_err(Error::from_io);
        self.file(file, Body::once(stream, length))
    }

    /// Adds a file whose content is `bytes`.
    #[must_use]
    pub fn bytes(self, file: VirtualFile, bytes: impl Into<Bytes>) -> Self {
        self.file(file, Body::Bytes(bytes.into()))
    }
}

#[async_trait]
impl FileSource for StreamSource {
    fn list(&self) -> BoxStream<'_, Result<VirtualFile>> {
        futures_util::stream::iter(self.files.iter().cloned().map(Ok)).boxed()
    }

    async fn open(&self, file: &VirtualFile) -> Result<ByteStream> {
        let mut bodies = self.bodies.lock();
        let again = bodies.get(&file.path).and_then(Body::try_clone);
        let body = again.or_else(|| bodies.remove(&file.path));
        body.map(Body::into_stream).ok_or_else(|| {
            Error::invalid("a stream can be read once only")
                .with_key(String::from_utf8_lossy(&file.path))
                .with_remedy("make a new source for each run")
        })
    }
}
