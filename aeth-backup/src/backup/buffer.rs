//! Memory for chunks.

use crate::chunker::MAX_SIZE;
use aeth_core::{Error, Result};
use memmap2::MmapMut;
use std::ops::Deref;

/// Bytes read at once. What is read beyond a cut is copied to the next chunk's buffer, so not too many.
pub(super) const READ: usize = 256 << 10;

/// A chunk that is being read, or one that was. Its memory has room for the longest chunk from the beginning and takes
/// up what was ever filled of it: it never moves, and is used again.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Memory,
    length: usize,
    /// As far as it was ever filled.
    touched: usize,
}

#[derive(Debug)]
enum Memory {
    /// Zeroes from the system, not touched before they are needed, and given back to it: an allocator would keep
    /// blocks of this size once it has seen one go.
    Mapped(MmapMut),
    Given(Vec<u8>),
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Given(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Given(bytes) => bytes,
        }
    }
}

impl Buffer {
    /// An empty one.
    ///
    /// # Errors
    /// When the system has no memory.
    pub(super) fn new() -> Result<Self> {
        let map = MmapMut::map_anon(MAX_SIZE + READ)
            .map_err(|error| Error::from_io(error).with_operation("map memory for a chunk"))?;
        Ok(Self { memory: Memory::Mapped(map), length: 0, touched: 0 })
    }

    /// A chunk that is there already.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self { memory: Memory::Given(bytes), length, touched: length }
    }

    /// Whether it has room for any chunk.
    pub(super) fn is_reusable(&self) -> bool {
        matches!(self.memory, Memory::Mapped(_))
    }

    /// The bytes of memory that it takes up.
    pub(super) fn takes_up(&self) -> usize {
        self.touched
    }

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Room for so many bytes behind what is there; [`filled`](Self::filled) says how many came.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.length + bytes;
        if self.memory.bytes().len() < end {
            // More than the longest chunk, as a stream may hand over.
            let mut bytes = self.to_vec();
            bytes.resize(end, 0);
            self.memory = Memory::Given(bytes);
        }
        self.memory.bytes_mut().get_mut(self.length..end).unwrap_or_default()
    }

    pub(super) fn filled(&mut self, bytes: usize) {
        self.length = self.memory.bytes().len().min(self.length + bytes);
        self.touched = self.touched.max(self.length);
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
        self.memory.bytes().get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_filled_cut_and_filled_again() {
        let (mut buffer, mut rest) = (Buffer::new().unwrap(), Buffer::new().unwrap());
        buffer.extend(b"first second");
        buffer.split(6, &mut rest);
        assert_eq!((&*buffer, &*rest), (b"first ".as_slice(), b"second".as_slice()));
        buffer.room(10)[..3].copy_from_slice(b"one");
        buffer.filled(3);
        assert_eq!(&*buffer, b"first one");
        buffer.clear();
        assert!(buffer.is_empty() && buffer.is_reusable());
        assert!(!Buffer::of(vec![1; 5]).is_reusable());
        buffer.extend(&vec![7; MAX_SIZE + READ + 1]);
        assert_eq!(buffer.len(), MAX_SIZE + READ + 1);
        let mut long = Buffer::new().unwrap();
        long.extend(&vec![7; MAX_SIZE]);
        long.clear();
        assert_eq!(long.takes_up(), MAX_SIZE, "as long as it is not given back");
    }
}
