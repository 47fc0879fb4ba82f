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
        let (prefix, space, key) = (self.prefix.as_bytes(), namespace.as_str().as_bytes(), key.as_bytes());
        let mut name = Vec::with_capacity(prefix.len() + space.len() + key.len() + 6);
        name.push(b'{');
        name.extend_from_slice(prefix);
        name.push(b':');
        name.extend_from_slice(space);
        name.push(b':');
        name.extend_from_slice(key);
        name.push(b'}');
        name
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
