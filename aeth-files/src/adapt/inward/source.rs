//! Bodies, cut into payloads.

use crate::checksum::{Verifier, check_length};
use aeth_core::blob::Checksum;
use aeth_core::{Body, ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::PutPayload;

/// A body that is read in payloads of a given size and checked at its end.
pub(super) struct Source {
    stream: Option<ByteStream>,
    stated: Option<u64>,
    total: u64,
    verifier: Option<Verifier>,
    /// What the present payload has so far.
    gathered: Vec<Bytes>,
    length: usize,
    /// What was read beyond it.
    rest: Bytes,
}

impl Source {
    /// # Errors
    /// Unsupported for a checksum that is not known.
    pub(super) fn new(body: Body, checksum: Option<&Checksum>) -> Result<Self> {
        Ok(Self {
            stated: body.length(),
            stream: Some(body.into_stream()),
            total: 0,
            verifier: Verifier::of(checksum)?,
            gathered: Vec::new(),
            length: 0,
            rest: Bytes::new(),
        })
    }

    /// How many bytes were read.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The next payload of `size` bytes, or fewer at the end; and whether it is the last. The last one is only given
    /// when length and checksum are right.
    ///
    /// # Errors
    /// Those of the body, unchanged; Corrupt for a wrong length or checksum.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was read is kept for the next call with the same size.
    pub(super) async fn next(&mut self, size: usize) -> Result<(PutPayload, bool)> {
        loop {
            if !self.rest.is_empty() {
                if self.length == size {
                    return Ok((self.take(), false));
                }
                let part = self.rest.split_to((size - self.length).min(self.rest.len()));
                self.length += part.len();
                self.gathered.push(part);
                continue;
            }
            let Some(stream) = &mut self.stream else {
                return Ok((self.take(), true));
            };
            match stream.next().await {
                Some(chunk) => self.rest = self.seen(chunk?)?,
                None => {
                    self.stream = None;
                    check_length(self.stated, self.total)?;
                    self.verifier.take().map_or(Ok(()), Verifier::finish)?;
                }
            }
        }
    }

    fn seen(&mut self, chunk: Bytes) -> Result<Bytes> {
        self.total = self.total.saturating_add(chunk.len() as u64);
        if self.stated.is_some_and(|stated| self.total > stated) {
            check_length(self.stated, self.total)?;
        }
        if let Some(verifier) = &mut self.verifier {
            verifier.update(&chunk);
        }
        Ok(chunk)
    }

    fn take(&mut self) -> PutPayload {
        self.length = 0;
        self.gathered.drain(..).collect()
    }
}

/// The size of parts for a body of this length: at least `least`, and so that 9,000 parts suffice.
pub(super) fn part_size(least: usize, stated: Option<u64>) -> Result<usize> {
    let needed = stated.unwrap_or_default().div_ceil(9_000).next_multiple_of(1 << 20);
    let needed =
        usize::try_from(needed).map_err(|_| Error::invalid("the body is too long for this machine"))?;
    Ok(if stated.is_some_and(|stated| stated / 9_000 >= least as u64) { needed } else { least })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    async fn cut(chunks: &[usize], size: usize) -> Vec<(usize, bool)> {
        let chunks: Vec<_> = chunks.iter().map(|length| Ok(Bytes::from(vec![7; *length]))).collect();
        let mut source = Source::new(Body::once(stream::iter(chunks), None), None).unwrap();
        let mut parts = Vec::new();
        loop {
            let (part, last) = source.next(size).await.unwrap();
            parts.push((part.content_length(), last));
            if last {
                return parts;
            }
        }
    }

    #[tokio::test]
    async fn bodies_are_cut_exactly() {
        assert_eq!(cut(&[], 10).await, [(0, true)]);
        assert_eq!(cut(&[10], 10).await, [(10, true)]);
        assert_eq!(cut(&[4, 0, 6, 0], 10).await, [(10, true)]);
        assert_eq!(cut(&[25], 10).await, [(10, false), (10, false), (5, true)]);
        assert_eq!(cut(&[9, 2], 10).await, [(10, false), (1, true)]);
    }

    #[test]
    fn parts_grow_with_the_body() {
        assert_eq!(part_size(8 << 20, None).unwrap(), 8 << 20);
        assert_eq!(part_size(8 << 20, Some(1 << 30)).unwrap(), 8 << 20);
        let size = part_size(8 << 20, Some(1 << 40)).unwrap() as u64;
        assert!(size > 8 << 20 && (1_u64 << 40).div_ceil(size) <= 10_000);
    }
}
