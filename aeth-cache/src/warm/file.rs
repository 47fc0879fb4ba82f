//! The bytes that are kept.
//!
//! ```text
//! offset  size  field
//! 0       4     magic "AETW"
//! 4       1     format version, 1
//! 5       1     1 keys, 2 values
//! 6       1     1 when no change came after it: saved at close
//! 7       8     number of the process's caches, by chance
//! 15      8     when it was saved (milliseconds since the Unix epoch)
//! 23      4     number of records
//! ..      ..    the records, hottest first
//! -4      4     CRC-32C of everything before
//! ```
//! A record: length (1 byte) and bytes of the namespace, length (2) and bytes of the key; for a value also the
//! generation of its key (4), the clears (8) and tag epoch (8) of its namespace, length (4) and bytes of its cache
//! envelope. Integers are little-endian.

use aeth_core::cache::{Entry, decode_envelope, encode_envelope};
use aeth_core::{Error, Key, Namespace, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: [u8; 4] = *b"AETW";
const VERSION: u8 = 1;
const KEYS: u8 = 1;
const VALUES: u8 = 2;
const HEADER: usize = 27;

/// What stands in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) clean: bool,
    pub(super) instance: u64,
    pub(super) saved: u64,
}

/// A value with the state of its key when it was saved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) namespace: Namespace,
    pub(super) key: Key,
    pub(super) generation: u32,
    pub(super) clears: u64,
    pub(super) tag_epoch: u64,
    pub(super) entry: Entry,
}

/// Writes a file.
pub(super) struct Writer {
    out: BytesMut,
    count: u32,
}

impl Writer {
    pub(super) fn keys(header: Header) -> Self {
        Self::new(KEYS, header)
    }

    pub(super) fn values(header: Header) -> Self {
        Self::new(VALUES, header)
    }

    fn new(kind: u8, header: Header) -> Self {
        let mut out = BytesMut::with_capacity(64 << 10);
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_u8(kind);
        out.put_u8(u8::from(header.clean));
        out.put_u64_le(header.instance);
        out.put_u64_le(header.saved);
        out.put_u32_le(0);
        Self { out, count: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn key(&mut self, namespace: &Namespace, key: &[u8]) {
        // A namespace has at most 64 bytes, a key 512.
        self.out.put_u8(u8::try_from(namespace.as_str().len()).unwrap_or(u8::MAX));
        self.out.put_slice(namespace.as_str().as_bytes());
        self.out.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
        self.out.put_slice(key);
        self.count = self.count.saturating_add(1);
    }

    pub(super) fn value(
        &mut self,
        namespace: &Namespace,
        key: &[u8],
        (generation, clears, tag_epoch): (u32, u64, u64),
        entry: &Entry,
    ) {
        let envelope = encode_envelope(entry);
        let Ok(length) = u32::try_from(envelope.len()) else { return };
        self.key(namespace, key);
        self.out.put_u32_le(generation);
        self.out.put_u64_le(clears);
        self.out.put_u64_le(tag_epoch);
        self.out.put_u32_le(length);
        self.out.put_slice(&envelope);
    }

    pub(super) fn finish(mut self) -> Bytes {
        self.out[HEADER - 4..HEADER].copy_from_slice(&self.count.to_le_bytes());
        let checksum = crc32c::crc32c(&self.out);
        self.out.put_u32_le(checksum);
        self.out.freeze()
    }
}

/// The keys of a file.
pub(super) fn read_keys(bytes: &Bytes) -> Result<Vec<(Namespace, Key)>> {
    let (_, count, mut rest) = open(bytes, KEYS)?;
    let keys = (0..count).map(|_| key(&mut rest)).collect::<Option<Vec<_>>>();
    keys.filter(|_| rest.is_empty()).ok_or_else(damaged)
}

/// The values of a file. One whose envelope this release does not know is left out.
pub(super) fn read_values(bytes: &Bytes) -> Result<(Header, Vec<Record>)> {
    let (header, count, mut rest) = open(bytes, VALUES)?;
    let mut records = Vec::new();
    for _ in 0..count {
        if let Some(record) = value(&mut rest).ok_or_else(damaged)? {
            records.push(record);
        }
    }
    if rest.is_empty() { Ok((header, records)) } else { Err(damaged()) }
}

fn open(bytes: &Bytes, kind: u8) -> Result<(Header, u32, Bytes)> {
    let Some(body) = bytes.len().checked_sub(4).filter(|body| *body >= HEADER) else { return Err(damaged()) };
    if bytes[..4] != MAGIC || crc32c::crc32c(&bytes[..body]) != (&bytes[body..]).get_u32_le() {
        return Err(damaged());
    }
    if bytes[4] != VERSION || bytes[5] != kind {
        return Err(Error::unsupported(format!(
            "the saved warmth has the format {} of kind {}, which this release does not know",
            bytes[4], bytes[5]
        )));
    }
    let mut rest = bytes.slice(6..body);
    let clean = rest.get_u8() == 1;
    let (instance, saved, count) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u32_le());
    Ok((Header { clean, instance, saved }, count, rest))
}

fn key(rest: &mut Bytes) -> Option<(Namespace, Key)> {
    let length = usize::from(rest.try_get_u8().ok()?);
    let name = take(rest, length)?;
    let length = usize::from(rest.try_get_u16_le().ok()?);
    let key = take(rest, length)?;
    Some((Namespace::new(std::str::from_utf8(&name).ok()?).ok()?, Key::new(key).ok()?))
}

/// `Some(None)` for an envelope of another release.
fn value(rest: &mut Bytes) -> Option<Option<Record>> {
    let (namespace, key) = key(rest)?;
    let generation = rest.try_get_u32_le().ok()?;
    let clears = rest.try_get_u64_le().ok()?;
    let tag_epoch = rest.try_get_u64_le().ok()?;
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    let envelope = take(rest, length)?;
    let record = |entry| Record { namespace, key, generation, clears, tag_epoch, entry };
    Some(decode_envelope(envelope).ok().map(record))
}

fn take(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    if rest.len() < length { None } else { Some(rest.split_to(length)) }
}

fn damaged() -> Error {
    Error::corrupt("the saved warmth of the cache is damaged").with_remedy("the cache starts cold; delete it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_damage_is_noticed() {
        let header = Header { clean: true, instance: 7, saved: 9 };
        let space = Namespace::new("users").unwrap();
        let entry = Entry::new("value", 1, 2).with_version(3);
        let mut writer = Writer::values(header);
        writer.value(&space, b"k", (4, 5, 6), &entry);
        let values = writer.finish();
        let key = Key::new("k").unwrap();
        let record = Record {
            namespace: space.clone(),
            key: key.clone(),
            generation: 4,
            clears: 5,
            tag_epoch: 6,
            entry,
        };
        assert_eq!(read_values(&values).unwrap(), (header, vec![record]));
        let mut writer = Writer::keys(header);
        writer.key(&space, b"k");
        let keys = writer.finish();
        assert_eq!(read_keys(&keys).unwrap(), [(space, key)]);
        assert!(read_keys(&values).is_err() && read_values(&keys).is_err());
        for cut in 0..values.len() {
            assert!(read_values(&values.slice(..cut)).is_err());
        }
        for at in 0..values.len() {
            let mut flipped = values.to_vec();
            flipped[at] ^= 16;
            assert!(read_values(&flipped.into()).is_err());
        }
    }
}
