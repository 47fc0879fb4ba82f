//! Memory for chunks.

use crate::chunker::MAX_SIZE;
use std::ops::Deref;

/// Bytes read at once. What is read beyond a cut is copied to the next chunk's buffer, so not too many.
pub(super) const READ: usize = 256 << 10;

/// A chunk that is being read, or one that was. Its memory has room for the longest chunk from the beginning and takes
/// up what was ever filled of it: it never moves, and is used again.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Zeroes from the system, not touched before they are needed.
    bytes: Vec<u8>,
    length: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; MAX_SIZE + READ], length: 0 }
    }

    /// A chunk that is there already.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self { bytes, length }
    }

    /// Whether it has room for any chunk.
    pub(super) fn is_roomy(&self) -> bool {
        self.bytes.len() >= MAX_SIZE + READ
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Room for so many bytes behind what is there; [`filled`](Self::filled) says how many came.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.length + bytes;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.length..end).unwrap_or_default()
    }

    pub(super) fn filled(&mut self, bytes: usize) {
        self.length = self.bytes.len().min(self.length + bytes);
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Keeps the first `end` bytes and moves the others into `rest`.
    pub(super) fn split(&mut self, end: usize, rest: &mut Self) {
        rest.extend(self.get(end..).unwrap_or_default());
        self.length = self.length.min(end);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_filled_cut_and_filled_again() {
        let (mut buffer, mut rest) = (Buffer::new(), Buffer::new());
        buffer.extend(b"first second");
        buffer.split(6, &mut rest);
        assert_eq!((&*buffer, &*rest), (b"first ".as_slice(), b"second".as_slice()));
        buffer.room(10)[..3].copy_from_slice(b"one");
        buffer.filled(3);
        assert_eq!(&*buffer, b"first one");
        buffer.clear();
        assert!(buffer.is_empty() && buffer.is_roomy());
        assert!(!Buffer::of(vec![1; 5]).is_roomy());
        // More than the longest chunk, as a stream may hand over.
        buffer.extend(&vec![7; MAX_SIZE + READ + 1]);
        assert_eq!(buffer.len(), MAX_SIZE + READ + 1);
    }
}
