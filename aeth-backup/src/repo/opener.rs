//! Opening many blobs, one after the other, without new memory for each.

use super::Location;
use crate::Id;
use crate::crypto::{Hasher, Key};
use crate::format::{Codec, Compression};
use aeth_core::{Error, Result};

/// Buffers and a decompressor that serve one blob after the other.
#[derive(Debug, Default)]
pub(crate) struct Opener {
    codec: Option<Codec>,
    opened: Vec<u8>,
    unpacked: Vec<u8>,
    packed: bool,
    length: usize,
}

/// Other bytes to hash at the same time, as far as they last.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    pub(crate) hasher: Hasher,
    pub(crate) rest: &'a [u8],
}

impl Beside<'_> {
    /// The hash of all of the other bytes.
    pub(crate) fn finish(mut self) -> Id {
        self.hasher.update(self.rest);
        Id::from_bytes(self.hasher.finish())
    }
}

impl Opener {
    /// Opens and decompresses a blob. That it is what its name says, [`verify`](Self::verify) finds out.
    pub(crate) fn unseal(&mut self, key: &Key, location: &Location, sealed: &[u8]) -> Result<()> {
        self.length = 0;
        let unsealed = key.open_over(sealed, &mut self.opened).and_then(|plain| {
            self.length = plain.len();
            self.packed = location.entry.uncompressed > 0;
            if !self.packed {
                return Ok(());
            }
            let codec = match &mut self.codec {
                Some(codec) => codec,
                None => self.codec.insert(Codec::new(Compression::Auto)?),
            };
            let length = usize::try_from(location.entry.uncompressed).unwrap_or(usize::MAX);
            codec.decompress_over(plain, length, &mut self.unpacked)
        });
        unsealed.map_err(|error| error.with_key(place(location)))
    }

    /// What was opened last.
    pub(crate) fn plain(&self) -> &[u8] {
        if self.packed { &self.unpacked } else { self.opened.get(..self.length).unwrap_or_default() }
    }

    /// Whether what was opened is what its name says.
    pub(crate) fn verify(&self, location: &Location, beside: &mut Beside<'_>) -> Result<()> {
        let plain = self.plain();
        let mut hasher = Hasher::new();
        let (now, later) = beside.rest.split_at(plain.len().min(beside.rest.len()));
        hasher.update_beside(plain, &mut beside.hasher, now);
        beside.rest = later;
        matches(hasher, location)
    }

    /// The same for two at once.
    pub(crate) fn verify_both(a: (&Self, &Location), b: (&Self, &Location)) -> (Result<()>, Result<()>) {
        let (mut first, mut second) = (Hasher::new(), Hasher::new());
        first.update_beside(a.0.plain(), &mut second, b.0.plain());
        (matches(first, a.1), matches(second, b.1))
    }
}

fn matches(hasher: Hasher, location: &Location) -> Result<()> {
    if Id::from_bytes(hasher.finish()) == location.entry.id {
        return Ok(());
    }
    Err(Error::corrupt("the blob is not what its name says").with_key(place(location)))
}

fn place(location: &Location) -> String {
    format!("blob {} in pack {}", location.entry.id, location.pack)
}
