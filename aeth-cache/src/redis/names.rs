//! The names of keys.
//!
//! ```text
//! {PREFIX:NAMESPACE:KEY}     the value
//! {PREFIX:NAMESPACE:KEY}:l   its lease
//! {PREFIX:NAMESPACE}:t       the state of the namespace
//! PREFIX:b:CHANNEL           a channel of the backplane
//! {PREFIX:k:NAME}            a leader lock, with :n its fencing number
//! ```
//! In a cluster the slot is that of the text from the first `{` to the first `}`. A value and its lease agree on
//! it even when the key holds braces. No two names are equal: prefixes and namespaces hold neither `:` nor
//! braces, a value ends in `}`, a lease in `l`, a state in `t`.

use aeth_core::{Key, Namespace};

#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn value(&self, namespace: &Namespace, key: &Key) -> Vec<u8> {
        let mut name = Vec::new();
        self.write_value(&mut name, namespace, key);
        name
    }

    /// The same, behind what is in `name`.
    pub(super) fn write_value(&self, name: &mut Vec<u8>, namespace: &Namespace, key: &Key) {
        let (prefix, space, key) = (self.prefix.as_bytes(), namespace.as_str().as_bytes(), key.as_bytes());
        name.reserve(prefix.len() + space.len() + key.len() + 6);
        name.push(b'{');
        name.extend_from_slice(prefix);
        name.push(b':');
        name.extend_from_slice(space);
        name.push(b':');
        name.extend_from_slice(key);
        name.push(b'}');
    }

    pub(super) fn lease(&self, namespace: &Namespace, key: &Key) -> Vec<u8> {
        let mut name = self.value(namespace, key);
        name.extend_from_slice(b":l");
        name
    }

    pub(super) fn state(&self, namespace: &Namespace) -> Vec<u8> {
        format!("{{{}:{namespace}}}:t", self.prefix).into_bytes()
    }

    pub(super) fn channel(&self, channel: &str) -> String {
        format!("{}:b:{channel}", self.prefix)
    }

    pub(super) fn leader(&self, name: &str) -> Vec<u8> {
        format!("{{{}:k:{name}}}", self.prefix).into_bytes()
    }

    pub(super) fn fencing(&self, name: &str) -> Vec<u8> {
        format!("{{{}:k:{name}}}:n", self.prefix).into_bytes()
    }
}

/// The slot of a key in a cluster: CRC-16 (XMODEM) of its hash tag (Redis Cluster specification).
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let length = rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0)?;
        rest.get(..length)
    });
    let crc =
        tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_are_those_of_the_server() {
        let known: [(&[u8], u16); 5] = [
            (b"123456789", 12_739),
            (b"foo", 12_182),
            (b"{foo}bar", 12_182),
            (b"a{foo}{bar}", 12_182),
            // An empty tag is none.
            (b"{}foo", 9_500),
        ];
        for (key, expected) in known {
            assert_eq!(slot(key), expected, "{}", String::from_utf8_lossy(key));
        }
        let (space, key) = (Namespace::new("users").unwrap(), Key::new("a}b{c").unwrap());
        let names = Names::new("aeth");
        assert_eq!(slot(&names.value(&space, &key)), slot(&names.lease(&space, &key)));
    }
}
