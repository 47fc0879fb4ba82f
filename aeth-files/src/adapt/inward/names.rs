//! Names on engines that do not take all of ours.
//!
//! Azure's metadata names are C# identifiers: letters, digits and `_`, no digit first. Other characters are written as
//! `_xHH_`, as .NET's `XmlConvert.EncodeName` does, so that names without them are what they are for every tool.

use super::{Engine, ObjectStoreAdapter};
use crate::adapt::convert;
use aeth_core::blob::Attributes;
use aeth_core::{Error, Result};
use object_store::path::Path;
use std::fmt::Write as _;

impl ObjectStoreAdapter {
    /// Our path in the engine's words. Azure takes a backslash for a slash, so that the blob would be another one; and it
    /// lists in XML, which has no words for two characters: a container with such a name could not be listed any more.
    pub(super) fn outer(&self, path: &str) -> Result<Path> {
        if self.engine == Engine::Azure && path.contains(['\\', '\u{fffe}', '\u{ffff}']) {
            return Err(Error::invalid("the path has a character that the engine does not keep")
                .with_key(path)
                .with_remedy("leave backslashes, U+FFFE and U+FFFF out of paths"));
        }
        convert::outer_path(path)
    }

    /// Our attributes in the engine's words.
    pub(super) fn outer_attributes(&self, attributes: &Attributes) -> object_store::Attributes {
        if self.engine != Engine::Azure || attributes.user.is_empty() {
            return convert::outer_attributes(attributes);
        }
        let mut named = attributes.clone();
        named.user = attributes.user.iter().map(|(name, value)| (encode(name), value.clone())).collect();
        convert::outer_attributes(&named)
    }

    /// The engine's attributes as ours.
    pub(super) fn inner_attributes(&self, attributes: &object_store::Attributes) -> Result<Attributes> {
        let mut named = convert::inner_attributes(attributes)?;
        if self.engine == Engine::Azure {
            named.user = named.user.into_iter().map(|(name, value)| (decode(&name), value)).collect();
        }
        Ok(named)
    }
}

fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let escape = name.as_bytes().get(at + 1) == Some(&b'x');
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => text.push(char::from(byte)),
            b'0'..=b'9' if at > 0 => text.push(char::from(byte)),
            b'_' if !escape => text.push('_'),
            _ => {
                // Writing into a string cannot fail.
                let _ = write!(text, "_x{byte:02x}_");
            }
        }
    }
    text
}

fn decode(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let escaped = rest.strip_prefix("_x").and_then(|tail| {
            let code = u8::from_str_radix(tail.get(..2)?, 16).ok()?;
            Some((code, tail.get(2..)?.strip_prefix('_')?))
        });
        if let Some((code, tail)) = escaped {
            bytes.push(code);
            rest = tail;
        } else {
            let (first, tail) = rest.split_at(rest.chars().next().map_or(1, char::len_utf8));
            bytes.extend_from_slice(first.as_bytes());
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_the_engine_would_change_are_refused() {
        let over = |engine| {
            ObjectStoreAdapter::new(std::sync::Arc::new(object_store::memory::InMemory::new()), engine)
        };
        let azure = over(Engine::Azure);
        for path in ["a\\b", "a\u{fffe}", "\u{ffff}"] {
            assert_eq!(azure.outer(path).unwrap_err().kind(), aeth_core::ErrorKind::Invalid, "{path:?}");
            assert_eq!(over(Engine::S3).outer(path).unwrap().as_ref(), path);
        }
        assert_eq!(azure.outer("a b/ü").unwrap().as_ref(), "a b/ü");
    }

    #[test]
    fn names_are_identifiers_and_come_back() {
        for name in ["owner", "a-2", "aeth-tier", "test_key", "2fast", "_x2d_", "a_x", "x__", "-", "ä-b"] {
            let encoded = encode(name);
            let identifier = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(
                encoded.chars().all(identifier) && !encoded.starts_with(|c: char| c.is_ascii_digit()),
                "{encoded}"
            );
            assert_eq!(decode(&encoded), name);
        }
        assert_eq!((encode("test_key"), encode("a-2")), ("test_key".into(), "a_x2d_2".into()));
        assert_eq!(decode("of_another_tool"), "of_another_tool");
    }
}
