//! Pointers to blobs that are kept out of git, in the format of Git LFS.

use crate::random::to_hex;
use aeth_core::{BlobPath, Result};

/// A text longer than this is no pointer, by the specification.
pub(super) const LONGEST: u64 = 1024;
const VERSION: &str = "version https://git-lfs.github.com/spec/v1";

/// What stands in git for a large blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) sha256: [u8; 32],
    pub(super) size: u64,
}

impl Pointer {
    /// The text, as the specification orders its lines.
    pub(super) fn text(&self) -> String {
        format!("{VERSION}\noid sha256:{}\nsize {}\n", to_hex(&self.sha256), self.size)
    }

    /// Where the blob is in the store of the large ones, which is where Git LFS has it.
    pub(super) fn path(&self) -> Result<BlobPath> {
        let id = to_hex(&self.sha256);
        Ok(BlobPath::new(format!("{}/{}/{id}", &id[..2], &id[2..4]))?)
    }

    /// Reads a text, when it is a pointer.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() as u64 > LONGEST {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let (mut sha256, mut size) = (None, None);
        let mut lines = text.lines();
        if lines.next()? != VERSION {
            return None;
        }
        for line in lines {
            let (key, value) = line.split_once(' ')?;
            match key {
                "oid" => sha256 = Some(digest(value.strip_prefix("sha256:")?)?),
                "size" => size = Some(value.parse().ok()?),
                // Extensions change the bytes: those that other tools make are not resolved here.
                _ => return None,
            }
        }
        Some(Self { sha256: sha256?, size: size? })
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_of_the_specification_is_read_and_written() {
        let text = "version https://git-lfs.github.com/spec/v1\n\
            oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
        let pointer = Pointer::parse(text.as_bytes()).unwrap();
        assert_eq!((pointer.size, pointer.text().as_str()), (12345, text));
        assert!(pointer.path().unwrap().as_str().starts_with("4d/7a/4d7a2146"));
        let cut = &text[..text.len() - 12];
        for bad in ["", "version https://git-lfs.github.com/spec/v1\n", cut, &text.replace("4d7a", "4D7A")] {
            assert_eq!(Pointer::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
