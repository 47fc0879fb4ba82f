//! The messages.
//!
//! ```text
//! offset  size  field
//! 0       1     format version, 1
//! 1       1     what changed: 1 keys, 2 tags, 3 the whole namespace
//! 2       1     length of the namespace, then its bytes
//! ..      ..    for each key or tag: length (2 bytes, little-endian) and bytes
//! ```

use aeth_core::{Key, Namespace, Tag};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u8 = 1;
const KEYS: u8 = 1;
const TAGS: u8 = 2;
const ALL: u8 = 3;

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Keys(Namespace, Vec<Key>),
    Tags(Namespace, Vec<Tag>),
    All(Namespace),
}

impl News {
    pub(crate) fn namespace(&self) -> &Namespace {
        match self {
            Self::Keys(namespace, _) | Self::Tags(namespace, _) | Self::All(namespace) => namespace,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let (kind, parts): (u8, Vec<&[u8]>) = match self {
            Self::Keys(_, keys) => (KEYS, keys.iter().map(Key::as_bytes).collect()),
            Self::Tags(_, tags) => (TAGS, tags.iter().map(|tag| tag.as_str().as_bytes()).collect()),
            Self::All(_) => (ALL, Vec::new()),
        };
        let name = self.namespace().as_str().as_bytes();
        let length = 3 + name.len() + parts.iter().map(|part| 2 + part.len()).sum::<usize>();
        let mut out = BytesMut::with_capacity(length);
        out.put_u8(VERSION);
        out.put_u8(kind);
        // A namespace has at most 64 bytes, a key 512, a tag 128.
        out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.put_slice(name);
        for part in parts {
            out.put_u16_le(u16::try_from(part.len()).unwrap_or(u16::MAX));
            out.put_slice(part);
        }
        out.freeze()
    }

    /// `None` for what this release does not understand.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let kind = bytes.try_get_u8().ok()?;
        let length = usize::from(bytes.try_get_u8().ok()?);
        let name = take(&mut bytes, length)?;
        let namespace = Namespace::new(std::str::from_utf8(&name).ok()?).ok()?;
        let mut parts = Vec::new();
        while bytes.has_remaining() {
            let length = usize::from(bytes.try_get_u16_le().ok()?);
            parts.push(take(&mut bytes, length)?);
        }
        match kind {
            KEYS => {
                let keys = parts.into_iter().map(|part| Key::new(part).ok()).collect::<Option<_>>()?;
                Some(Self::Keys(namespace, keys))
            }
            TAGS => {
                let tag = |part: Bytes| Tag::new(std::str::from_utf8(&part).ok()?).ok();
                Some(Self::Tags(namespace, parts.into_iter().map(tag).collect::<Option<_>>()?))
            }
            ALL if parts.is_empty() => Some(Self::All(namespace)),
            _ => None,
        }
    }
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    if bytes.len() < length { None } else { Some(bytes.split_to(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_damage_is_noticed() {
        let space = Namespace::new("users").unwrap();
        let keys = vec![Key::new([0, 255]).unwrap(), Key::new("k".repeat(512)).unwrap()];
        let tags = vec![Tag::new("tenant:7").unwrap()];
        for news in [News::Keys(space.clone(), keys), News::Tags(space.clone(), tags), News::All(space)] {
            let bytes = news.encode();
            for cut in 0..bytes.len() {
                assert_ne!(News::decode(bytes.slice(..cut)).as_ref(), Some(&news));
            }
            assert_eq!(News::decode(bytes), Some(news));
        }
        assert_eq!(News::decode(Bytes::from_static(b"\x02\x01\x01a")), None);
    }
}
