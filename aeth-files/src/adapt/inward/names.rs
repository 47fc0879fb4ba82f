//! Names of user metadata on engines that take only identifiers.
//!
//! Azure's metadata names are C# identifiers: letters, digits and `_`, no digit first. Other characters are written as
//! `_xHH_`, as .NET's `XmlConvert.EncodeName` does, so that names without them are what they are for every tool.

use super::{Engine, ObjectStoreAdapter};
use crate::adapt::convert;
use aeth_core::Result;
use aeth_core::blob::Attributes;
use std::fmt::Write as _;

impl ObjectStoreAdapter {
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
