//! What is written into a blob.

use crate::{Error, Result};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use std::fmt;
use std::sync::Arc;

/// A stream of byte chunks.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// The content of a put: bytes in memory, a stream that can be opened again, or one that cannot.
///
/// A retrying wrapper repeats only the first two.
#[non_exhaustive]
pub enum Body {
    /// All bytes at hand.
    Bytes(Bytes),
    /// A stream that can be opened as often as needed, each time with the same bytes.
    Reopenable(Arc<dyn Reopen>),
    /// A stream that can be read once, with its length in bytes when that is known.
    Once(ByteStream, Option<u64>),
}

/// A source whose stream can be opened more than once.
pub trait Reopen: fmt::Debug + Send + Sync + 'static {
    /// Opens the stream from its start; every stream gives the same bytes.
    fn open(&self) -> ByteStream;

    /// The length in bytes, when it is known.
    fn len(&self) -> Option<u64>;

    /// True when the length is known to be zero.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl Body {
    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::Bytes(Bytes::new())
    }

    /// A body that can be read once, from any stream of chunks.
    pub fn once(
        stream: impl futures_core::Stream<Item = Result<Bytes>> + Send + 'static,
        length: Option<u64>,
    ) -> Self {
        Self::Once(stream.boxed(), length)
    }

    /// A body that can be opened again.
    pub fn reopenable(source: impl Reopen) -> Self {
        Self::Reopenable(Arc::new(source))
    }

    /// The length in bytes, when it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Reopenable(source) => source.len(),
            Self::Once(_, length) => *length,
        }
    }

    /// A second body with the same bytes; `None` for one that can be read only once.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match self {
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Reopenable(source) => Some(Self::Reopenable(Arc::clone(source))),
            Self::Once(..) => None,
        }
    }

    /// The bytes as a stream of chunks.
    #[must_use]
    pub fn into_stream(self) -> ByteStream {
        match self {
            Self::Bytes(bytes) if bytes.is_empty() => futures_util::stream::empty().boxed(),
            Self::Bytes(bytes) => futures_util::stream::iter([Ok(bytes)]).boxed(),
            Self::Reopenable(source) => source.open(),
            Self::Once(stream, _) => stream,
        }
    }

    /// All bytes in one buffer.
    ///
    /// # Errors
    /// Those of the stream, and [`ErrorKind::Full`](crate::ErrorKind::Full) past `limit` bytes.
    ///
    /// # Cancel safety
    /// Not cancel-safe: what was read is lost.
    pub async fn collect(self, limit: u64) -> Result<Bytes> {
        if let Self::Bytes(bytes) = &self {
            check_limit(bytes.len() as u64, limit)?;
            return Ok(bytes.clone());
        }
        let expected = self.length().unwrap_or(0);
        collect_sized(self.into_stream(), limit, expected).await
    }
}

/// The most that is set aside for a length that somebody stated and that is not proven yet.
const MOST_AT_ONCE: u64 = 64 << 20;

/// All bytes of a stream in one buffer.
///
/// # Errors
/// Those of the stream, and [`ErrorKind::Full`](crate::ErrorKind::Full) past `limit` bytes.
///
/// # Cancel safety
/// Not cancel-safe: what was read is lost.
pub async fn collect_stream(stream: ByteStream, limit: u64) -> Result<Bytes> {
    collect_sized(stream, limit, 0).await
}

/// The same of a stream that should have `expected` bytes: the buffer is made for them at once, where growing would
/// make it up to twice as large. With more or fewer bytes the result is as right.
///
/// # Errors
/// Those of [`collect_stream`].
///
/// # Cancel safety
/// Not cancel-safe: what was read is lost.
pub async fn collect_sized(mut stream: ByteStream, limit: u64, expected: u64) -> Result<Bytes> {
    let expected = usize::try_from(expected.min(limit).min(MOST_AT_ONCE)).unwrap_or(0);
    let mut first = Bytes::new();
    let mut rest: Option<bytes::BytesMut> = None;
    let mut total = 0_u64;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        total += chunk.len() as u64;
        check_limit(total, limit)?;
        match &mut rest {
            Some(buffer) => buffer.extend_from_slice(&chunk),
            None if first.is_empty() => first = chunk,
            None => {
                let mut buffer = bytes::BytesMut::with_capacity(expected.max(first.len() + chunk.len()));
                buffer.extend_from_slice(&first);
                buffer.extend_from_slice(&chunk);
                rest = Some(buffer);
            }
        }
    }
    Ok(rest.map_or(first, bytes::BytesMut::freeze))
}

fn check_limit(total: u64, limit: u64) -> Result<()> {
    if total > limit {
        return Err(Error::new(
            crate::ErrorKind::Full,
            format!("more than {limit} bytes, which is the limit here"),
        )
        .with_remedy("read it as a stream"));
    }
    Ok(())
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, length) = match self {
            Self::Bytes(_) => ("Bytes", self.length()),
            Self::Reopenable(_) => ("Reopenable", self.length()),
            Self::Once(..) => ("Once", self.length()),
        };
        f.debug_struct(name).field("length", &length).finish()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use futures_util::{StreamExt, stream};

    fn in_chunks(of: usize, many: usize) -> ByteStream {
        stream::iter((0..many).map(move |n| Ok(Bytes::from(vec![n as u8; of])))).boxed()
    }

    #[tokio::test]
    async fn what_has_a_known_length_is_collected_in_a_buffer_of_that_length() {
        for (expected, capacity) in [(700, 700), (650, 1_400)] {
            let bytes = collect_sized(in_chunks(100, 7), u64::MAX, expected).await.unwrap();
            assert_eq!((bytes.len(), bytes[0], bytes[699]), (700, 0, 6));
            assert!(bytes.try_into_mut().unwrap().capacity() <= capacity);
        }
        // Who states too much gets no more, and nothing is set aside past the limit.
        assert_eq!(collect_sized(in_chunks(100, 7), u64::MAX, u64::MAX).await.unwrap().len(), 700);
        let error = collect_sized(in_chunks(100, 7), 600, 700).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Full);
        // One chunk is given on as it is.
        let whole = Bytes::from_static(b"one");
        let only = stream::iter([Ok(whole.clone())]).boxed();
        assert_eq!(collect_sized(only, 10, 3).await.unwrap().as_ptr(), whole.as_ptr());
    }
}
