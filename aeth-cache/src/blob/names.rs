//! Where the blobs of entries and tags lie.
//!
//! ```text
//! PREFIX ns-NAMESPACE / k / KEY.e       an entry
//! PREFIX ns-NAMESPACE / t / TAG.m       the mark of a tag
//! ```
//! Keys and tags are in Base32 (RFC 4648 §6, lower case, no padding), which every file system keeps apart, cut into
//! directories of 200 letters.

use aeth_core::{BlobPath, Error, Key, Namespace, Result, Tag};
use std::hash::{BuildHasher, RandomState};

const LONGEST_PREFIX: usize = 64;
/// File systems allow 255 bytes.
const SEGMENT: usize = 200;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Makes the paths.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    hasher: RandomState,
}

impl Names {
    pub(super) fn new(prefix: String) -> Result<Self> {
        if prefix.len() > LONGEST_PREFIX {
            return Err(Error::invalid(format!("the prefix of a blob tier has {} bytes", prefix.len()))
                .with_remedy("take at most 64 bytes"));
        }
        BlobPath::new(format!("{prefix}ns"))?;
        Ok(Self { prefix, hasher: RandomState::new() })
    }

    /// What the paths of all entries begin with.
    pub(super) fn entries(&self, namespace: &Namespace) -> String {
        format!("{}ns-{namespace}/k/", self.prefix)
    }

    pub(super) fn entry(&self, namespace: &Namespace, key: &Key) -> Result<BlobPath> {
        let mut path = self.entries(namespace);
        push(&mut path, key.as_bytes());
        path.push_str(".e");
        Ok(BlobPath::new(path)?)
    }

    pub(super) fn tag(&self, namespace: &Namespace, tag: &Tag) -> Result<BlobPath> {
        let mut path = format!("{}ns-{namespace}/t/", self.prefix);
        push(&mut path, tag.as_str().as_bytes());
        path.push_str(".m");
        Ok(BlobPath::new(path)?)
    }

    /// One of `locks` locks for a path.
    pub(super) fn lock(&self, path: &BlobPath, locks: usize) -> usize {
        usize::try_from(self.hasher.hash_one(path) % locks.max(1) as u64).unwrap_or(0)
    }
}

/// Bytes in Base32. The end of a name has a dot, which no directory has: no name is the directory of another.
fn push(path: &mut String, bytes: &[u8]) {
    let (mut bits, mut held, mut letters) = (0_u32, 0, 0);
    let mut letter = |bits: u32| {
        if letters > 0 && letters % SEGMENT == 0 {
            path.push('/');
        }
        letters += 1;
        path.push(char::from(ALPHABET[(bits & 31) as usize]));
    };
    for byte in bytes {
        bits = (bits << 8 | u32::from(*byte)) & 0xffff;
        held += 8;
        while held >= 5 {
            held -= 5;
            letter(bits >> held);
        }
    }
    if held > 0 {
        letter(bits << (5 - held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_rfc_and_fit() {
        let text = |bytes: &[u8]| {
            let mut text = String::new();
            push(&mut text, bytes);
            text
        };
        // RFC 4648 §10.
        for (bytes, expected) in [("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq")] {
            assert_eq!(text(bytes.as_bytes()), expected);
        }
        assert_eq!(text(b"fooba"), "mzxw6ytb");
        assert_eq!(text(b"foobar"), "mzxw6ytboi");
        let names = Names::new("x".repeat(LONGEST_PREFIX)).unwrap();
        let namespace = Namespace::new("n".repeat(64)).unwrap();
        let longest = names.entry(&namespace, &Key::new([255; 512]).unwrap()).unwrap();
        assert!(longest.as_str().split('/').all(|segment| segment.len() <= 204));
        assert!(names.tag(&namespace, &Tag::new("t".repeat(128)).unwrap()).is_ok());
        assert!(Names::new("../".into()).is_err() && Names::new("x".repeat(65)).is_err());
    }
}
